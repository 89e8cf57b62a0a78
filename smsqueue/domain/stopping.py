"""What ends waiting recipients before they are sent: cancel, a disabled owner, time, our account refused."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.errors import SmsQueueError
from smsqueue.db import changed, table_of
from smsqueue.domain import first_ten, standing
from smsqueue.domain.jobs import campaign_tag
from smsqueue.domain.journal import mark_crashed
from smsqueue.domain.optouts import suppress
from smsqueue.domain.settlement import GAVE_UP, Rows, end_waiting
from smsqueue.gateways.base import Rejected
from smsqueue.models import Campaign, State, Status, User
from smsqueue.queue import holding
from smsqueue.queue.events import emit_once_committed

campaigns = table_of(Campaign)
OWNER_DISABLED = "Stopped: the account of the person who sent this was disabled."
CANCELLED = "Cancelled before it was sent."
TOO_LATE = "Not sent in time: it was no longer valid."
RUNNING = (Status.SCHEDULED, Status.PENDING, Status.PROCESSING, Status.PAUSED)


class NotRunning(SmsQueueError):
    """Only a campaign that waits or sends can be stopped."""


def start(session: Session, campaign: Campaign, now: datetime) -> None:
    """Set a pending campaign, or a scheduled one whose time has come, to processing, with the time."""
    if standing.is_early(campaign, now):
        return
    waiting = campaigns.c.status.in_((Status.SCHEDULED, Status.PENDING))
    mine = sa.update(campaigns).where(campaigns.c.id == campaign.id, waiting)
    started = sa.func.coalesce(campaigns.c.started_at, now)
    if changed(session, mine.values(status=Status.PROCESSING, started_at=started)):
        emit_once_committed(session, "campaign.started", campaign_id=campaign.id, total=campaign.total)
    session.refresh(campaign)


def stop(session: Session, campaign: Campaign, reason: str) -> None:
    """Stop a running campaign: what waits is credited back at once, calls in flight are still recorded.

    Raises NotRunning.
    """
    if not _could_stop(session, campaign, reason):
        what = "was not confirmed yet" if campaign.status == Status.DRAFT else "has ended already"
        raise NotRunning(f"This campaign {what}: there is nothing to cancel.")


def stop_campaigns_of(session: Session, user_id: int) -> list[int]:
    """Stop every running campaign of a person and return their ids."""
    theirs = sa.select(Campaign).where(Campaign.user_id == user_id, Campaign.status.in_(RUNNING))
    found = session.scalars(theirs).all()
    return [campaign.id for campaign in found if _could_stop(session, campaign, OWNER_DISABLED)]


def _could_stop(session: Session, campaign: Campaign, reason: str) -> bool:
    """Stop a campaign unless it does not run; recipients before the campaign's row, as everywhere."""
    if campaign.status not in RUNNING:
        return False  # above all a draft: it has recipients that wait, but no credits to give back
    end_waiting(session, campaign, None, State.CANCELLED, error=reason)
    running = sa.update(campaigns).where(campaigns.c.id == campaign.id, campaigns.c.status.in_(RUNNING))
    if not changed(session, running.values(status=Status.CANCELLED, error=reason)):
        return False
    session.refresh(campaign)
    holding.let_go(session, campaign_tag(campaign.id))  # jobs that waited for a time find nothing left, and end
    emit_once_committed(session, "campaign.stopped", campaign_id=campaign.id, reason=reason)
    return True


def stop_for_account(session: Session, campaign: Campaign, refusal: Rejected) -> None:
    """End a campaign whose gateway refuses us as a whole: no other recipient would fare better.

    One that was cancelled, or is over, keeps its own reason.
    """
    reason = f"Stopped: the gateway refuses our account ({refusal.code}: {refusal.reason})"[:300]
    end_waiting(session, campaign, None, State.FAILED, error=reason, code=refusal.code[:40])
    running = sa.update(campaigns).where(campaigns.c.id == campaign.id, campaigns.c.status.in_(RUNNING))
    if changed(session, running.values(error=reason, gave_up=campaigns.c.gave_up + 1)):
        holding.let_go(session, campaign_tag(campaign.id))
        told = f"the gateway refuses our account ({refusal.code})"  # its words may repeat the text
        emit_once_committed(session, "campaign.stopped", campaign_id=campaign.id, reason=told)


def end_what_may_not_go(session: Session, campaign: Campaign, rows: Rows, now: datetime) -> bool:
    """End the waiting recipients of a slice that may not be sent any more; say whether none of them may go now."""
    session.refresh(campaign)
    owner = session.get_one(User, campaign.user_id)
    if campaign.status == Status.CANCELLED:
        end_waiting(session, campaign, rows, State.CANCELLED, error=campaign.error or CANCELLED)
    elif campaign.status in RUNNING and not owner.active:
        _could_stop(session, campaign, OWNER_DISABLED)
    elif _is_too_late(campaign, now):
        end_waiting(session, campaign, rows, State.EXPIRED, error=TOO_LATE)
    else:
        suppress(session, campaign, rows)
        return campaign.status != Status.PROCESSING or first_ten.holds(campaign, rows)
    return True


def _is_too_late(campaign: Campaign, now: datetime) -> bool:
    if campaign.status == Status.PAUSED:
        return False  # it gets the time of its pause back
    return campaign.valid_until is not None and now >= campaign.valid_until


def give_up(session: Session, campaign: Campaign, rows: Rows, reason: str, now: datetime) -> None:
    """End a slice that spent its tries: queued recipients fail and are credited, open calls become unknown.

    A slice that had nothing left to do gave nothing up, and a campaign that was cancelled keeps that reason.
    """
    crashed = mark_crashed(session, campaign, rows, now)
    if end_waiting(session, campaign, rows, State.FAILED, error=reason[:300], code=GAVE_UP) or crashed:
        mine = sa.update(campaigns).where(campaigns.c.id == campaign.id, campaigns.c.status.in_(RUNNING))
        session.execute(mine.values(error=reason[:500], gave_up=campaigns.c.gave_up + 1))
