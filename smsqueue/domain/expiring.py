"""Ending campaigns whose time is over while nobody looks at their slices, since their gateway takes nothing."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain import completion
from smsqueue.domain.settlement import end_waiting
from smsqueue.domain.stopping import TOO_LATE
from smsqueue.models import Campaign, State, Status

_OPEN = (Status.SCHEDULED, Status.PENDING, Status.PROCESSING)
"""Of those whose time has come some are scheduled still: only the first claim of a slice starts them."""


def overdue(session: Session) -> list[int]:
    """Return campaigns that have recipients who wait, and are not valid any more."""
    late = (Campaign.status.in_(_OPEN), Campaign.finished_at.is_(None), Campaign.valid_until <= now())
    return list(session.scalars(sa.select(Campaign.id).where(*late, Campaign.queued > 0).limit(100)))


def end_overdue(session: Session, campaign_id: int) -> int:
    """End those of its recipients who still wait, with their credits; return how many."""
    campaign = session.get_one(Campaign, campaign_id)
    if not _is_overdue(campaign):
        return 0
    attempted = session.begin_nested()
    count = end_waiting(session, campaign, None, State.EXPIRED, error=TOO_LATE)
    if not _is_overdue(completion.locked(session, campaign.id)):  # somebody has just sent to them again
        attempted.rollback()
        return 0
    attempted.commit()
    return count


def _is_overdue(campaign: Campaign) -> bool:
    return campaign.status in _OPEN and campaign.valid_until is not None and campaign.valid_until <= now()
