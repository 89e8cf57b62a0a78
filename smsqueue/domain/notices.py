"""Telling a person that a campaign ended: in the page's bell, and by mail."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.db import changed
from smsqueue.domain.errors import NotFound
from smsqueue.domain.jobs import SendMailJob
from smsqueue.models import Campaign, Kind, Notice, Status
from smsqueue.queue.dispatch import enqueue


def tell_of_ending(session: Session, campaign: Campaign) -> None:
    """Write the notice of a campaign's end and queue its mail.

    A single SMS that went out is shown by its own page: only one that did not is worth a notice.
    """
    if campaign.kind == Kind.SINGLE and campaign.status == Status.COMPLETED and not campaign.unknown:
        return
    notice = Notice(type=f"campaign.{campaign.status}", notifiable_id=campaign.user_id, data=_numbers(campaign))
    session.add(notice)
    session.flush()  # the job names the notice
    enqueue(session, SendMailJob.about(notice.id))


def unread(session: Session, user_id: int) -> int:
    """Return how many notices a person has not read."""
    statement = sa.select(sa.func.count()).select_from(Notice).where(*_of(user_id), Notice.read_at.is_(None))
    return session.scalar(statement) or 0


def listing(session: Session, user_id: int, limit: int = 50, before: datetime | None = None) -> list[Notice]:
    """Return a person's notices, unread first, then newest first."""
    statement = sa.select(Notice).where(*_of(user_id)).order_by(Notice.read_at.isnot(None), Notice.created_at.desc())
    if before is not None:
        statement = statement.where(Notice.created_at < before)
    return list(session.scalars(statement.limit(limit)))


def mark_read(session: Session, user_id: int, notice_id: UUID) -> None:
    """Mark one notice as read; raise NotFound for somebody else's."""
    there = sa.select(Notice.id).where(*_of(user_id), Notice.id == notice_id)
    if session.scalar(there) is None:
        raise NotFound("notification")
    mine = sa.update(Notice).where(*_of(user_id), Notice.id == notice_id, Notice.read_at.is_(None))
    session.execute(mine.values(read_at=now()))


def mark_all_read(session: Session, user_id: int) -> int:
    """Mark all of a person's notices as read and return how many were not."""
    return changed(session, sa.update(Notice).where(*_of(user_id), Notice.read_at.is_(None)).values(read_at=now()))


def _of(user_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return Notice.notifiable_type == "user", Notice.notifiable_id == user_id


def _numbers(campaign: Campaign) -> dict[str, Any]:
    """Sum up a campaign as it is at its end: total = accepted (undelivered too) + failed + opted_out + unknown."""
    return {
        "campaign": str(campaign.uuid),
        "name": campaign.name,
        "status": campaign.status,
        "error": campaign.error,
        "total": campaign.total,
        "accepted": campaign.accepted,
        "undelivered": campaign.undelivered,
        "failed": campaign.failed + campaign.expired + campaign.cancelled,
        "opted_out": campaign.suppressed,
        "unknown": campaign.unknown,
        "success_rate": round(100 * campaign.accepted / campaign.total, 1) if campaign.total else 0.0,
        "charged": campaign.charged,
        "returned": campaign.returned,
        "held": campaign.held,
    }
