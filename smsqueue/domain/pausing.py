"""Pausing a campaign and letting it go on: its status, its jobs and its validity, in one transaction."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.db import changed, table_of
from smsqueue.domain import completion, first_ten, options
from smsqueue.domain.campaigns import delay_until, find
from smsqueue.domain.jobs import campaign_tag
from smsqueue.models import Campaign, Status
from smsqueue.queue import holding
from smsqueue.queue.events import emit_once_committed

campaigns = table_of(Campaign)
CAN_PAUSE = (Status.SCHEDULED, Status.PENDING, Status.PROCESSING)


class NotPausable(SmsQueueError):
    """Only a campaign that is scheduled, waits or sends can be paused."""


class NotPaused(SmsQueueError):
    """Only a paused campaign can be resumed."""


def pause(session: Session, team_id: int, uuid: UUID, by: str = "") -> Campaign:
    """Let nothing more of a campaign be sent until somebody resumes it; calls in flight are still recorded.

    Raises NotPausable.
    """
    campaign = find(session, team_id, uuid)
    # The campaign before its jobs, as in `resume`: whoever comes second sees all that the first one did to the jobs.
    mine = sa.update(campaigns).where(campaigns.c.id == campaign.id, campaigns.c.status.in_(CAN_PAUSE))
    if not changed(session, mine.values(status=Status.PAUSED, paused_at=now())):
        raise NotPausable(f"This campaign {_why_not(campaign)}: there is nothing to pause.")
    holding.hold(session, campaign_tag(campaign.id))
    session.refresh(campaign)
    emit_once_committed(session, "campaign.paused", campaign_id=campaign.id, by=by or None)
    return campaign


def resume(session: Session, team_id: int, uuid: UUID, by: str = "") -> Campaign:
    """Let a paused campaign go on where it stopped, valid for as long as it had left; raise NotPaused."""
    campaign = completion.locked(session, find(session, team_id, uuid).id)
    if campaign.status != Status.PAUSED:
        raise NotPaused("This campaign is not paused.")
    delay = delay_until(session, campaign.scheduled_for) if campaign.started_at is None else 0.0
    if not delay:
        _give_time_back(campaign, now())
    waiting = Status.SCHEDULED if delay else Status.PENDING
    campaign.status = waiting if campaign.started_at is None else Status.PROCESSING
    campaign.paused_at = None
    session.flush()  # `is_waiting` and whoever reads next see the status that it has from now on
    if first_ten.is_waiting(campaign):
        first_ten.let_first_go(session, campaign, delay)
    else:
        holding.let_go(session, campaign_tag(campaign.id), delay=delay)
    emit_once_committed(session, "campaign.resumed", campaign_id=campaign.id, by=by or None)
    return campaign


def paused(session: Session) -> Sequence[int]:
    """Return the campaigns that are paused; of too many, some."""
    found = sa.select(Campaign.id).where(Campaign.status == Status.PAUSED, Campaign.finished_at.is_(None))
    return first_ten.some_of(session.scalars(found).all())


def hold_again(session: Session, campaign_id: int) -> int:
    """Put on hold what workers have put back since a campaign was paused; return how many jobs."""
    campaign = completion.locked(session, campaign_id)
    return holding.hold(session, campaign_tag(campaign_id)) if campaign.status == Status.PAUSED else 0


def _give_time_back(campaign: Campaign, at: datetime) -> None:
    """Count none of the pause as waiting; what was to start during it has lost nothing before its start."""
    began = max(filter(None, (campaign.paused_at, campaign.scheduled_for)), default=at)
    campaign.valid_until = options.valid_after_pause(campaign, began, at)


def _why_not(campaign: Campaign) -> str:
    match campaign.status:
        case Status.DRAFT:
            return "was not confirmed yet"
        case Status.PAUSED:
            return "is paused already"
        case _:
            return "has ended already"
