"""The recipients of a campaign as its page lists them: some at a time, with their attempts and delivery reports."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.domain import campaigns, why
from smsqueue.models import Attempt, Campaign, DeliveryReport, Recipient
from smsqueue.queue.explain import Reason


@dataclass(frozen=True, slots=True)
class Entry:
    """One recipient, with all that is known of it."""

    recipient: Recipient
    attempts: Sequence[Attempt]
    reports: dict[int, list[DeliveryReport]]
    """By attempt."""
    waits: Reason | None
    """Why it waits; None when it does not."""
    said_by: str
    """Who told what is known of it."""
    said_at: datetime | None


def page(
    session: Session, campaign: Campaign, *, state: str | None, number: str, after: int, limit: int
) -> list[Recipient]:
    """Return recipients by row, from beyond row `after`: all, those in one state, or with these digits in a row."""
    if not number:
        return campaigns.recipients(session, campaign, state=state, after=after, limit=limit)
    digits = "".join(filter(str.isdigit, number)).lstrip("0")
    mine = [Recipient.campaign_id == campaign.id, Recipient.row > after]
    mine.append(Recipient.number.contains(digits) if digits else sa.false())
    if state is not None:
        mine.append(Recipient.state == state)
    return list(session.scalars(sa.select(Recipient).where(*mine).order_by(Recipient.row).limit(limit)))


def entries(
    session: Session, campaign: Campaign, found: Sequence[Recipient], waits: Reason | None, now: datetime
) -> list[Entry]:
    """Gather what is known of these recipients of a campaign; `waits` is why it does."""
    tries = campaigns.attempts(session, [recipient.id for recipient in found])
    told: dict[int, list[DeliveryReport]] = defaultdict(list)
    ids = [attempt.id for attempts in tries.values() for attempt in attempts]
    reports = sa.select(DeliveryReport).where(DeliveryReport.attempt_id.in_(ids)).order_by(DeliveryReport.id)
    for report in session.scalars(reports):
        told[report.attempt_id or 0].append(report)
    return [
        Entry(
            recipient,
            tries.get(recipient.id, []),
            told,
            why.of_recipient(recipient, campaign, waits, now),
            *why.who_said(recipient, tries.get(recipient.id, [])),
        )
        for recipient in found
    ]
