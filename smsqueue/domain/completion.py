"""Closing a campaign, once: its verdict, one notice and one mail, in one transaction.

What a rule sends again after that is closed without another notice; what a person sends again is told anew.
"""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain import first_ten, notices
from smsqueue.domain.jobs import campaign_tag
from smsqueue.models import Campaign, Status
from smsqueue.queue import holding
from smsqueue.queue.events import emit_once_committed

RUNNING = (Status.SCHEDULED, Status.PENDING, Status.PROCESSING, Status.PAUSED, Status.CANCELLED)
NOTHING_WENT = "No message was accepted by the gateway."


def locked(session: Session, campaign_id: int) -> Campaign:
    """Return the campaign as it is on disk, locked until the transaction ends."""
    # key_share: on PostgreSQL a plain FOR UPDATE waits for everybody who has written a ledger row that names the
    # campaign, and they may wait for us.
    statement = sa.select(Campaign).where(Campaign.id == campaign_id).with_for_update(key_share=True)
    return session.scalars(statement.execution_options(populate_existing=True)).one()


def close(session: Session, campaign_id: int) -> bool:
    """End the campaign if nothing of it is queued or being sent, and say whether this call did.

    Must run in a transaction of its own: two workers that finish together each see only their own rows before.
    Before that it asks whether the first ten let the rest go, or stop it.
    """
    first_ten.judge(session, campaign_id)  # locks recipients, so it comes before the campaign's lock
    campaign = locked(session, campaign_id)
    if campaign.finished_at or campaign.status not in RUNNING or campaign.queued or campaign.sending:
        return False
    campaign.finished_at, campaign.paused_at = now(), None
    if campaign.status != Status.CANCELLED:
        failed = campaign.gave_up or not (campaign.accepted + campaign.unknown)
        campaign.status = Status.FAILED if failed else Status.COMPLETED
        if failed and not campaign.error:
            campaign.error = NOTHING_WENT
    holding.let_go(session, campaign_tag(campaign_id))  # jobs that were on hold find nothing left, and end
    if not campaign.is_end_told:
        notices.tell_of_ending(session, campaign)
        campaign.is_end_told = True
    emit_once_committed(session, "campaign.ended", campaign_id=campaign.id, status=campaign.status, **campaign.counts)
    return True


def open_without_rows(session: Session) -> list[int]:
    """Return campaigns that should be closed but are not: whoever should have closed them died."""
    statement = sa.select(Campaign.id).where(
        Campaign.status.in_(RUNNING), Campaign.finished_at.is_(None), Campaign.queued == 0, Campaign.sending == 0
    )
    return list(session.scalars(statement.limit(100)))
