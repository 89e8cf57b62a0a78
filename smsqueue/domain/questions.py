"""Which unknown recipients are to be asked about, when, and in which words: those of the attempt itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
from smsqueue.domain.optouts import has_opted_out
from smsqueue.domain.reopening import is_over
from smsqueue.domain.resolving import Terms, in_question
from smsqueue.gateways.base import Outgoing
from smsqueue.models import Attempt, Campaign, Recipient, State, Status, UnknownPolicy

recipients, attempts = table_of(Recipient), table_of(Attempt)
others = attempts.alias("others")
PAUSES = (15, 30, 60, 120, 300, 600)
"""Seconds between one question about an attempt and the next."""
REPEATABLE = timedelta(hours=12)
"""A gateway forgets references; providers keep them for a day."""
_RECIPIENT = ("id", "row", "number", "text", "encoding", "segments", "price")
_ATTEMPT = (
    "reference",
    "gateway",
    "sender",
    "validity_seconds",
    "started_at",
    "looked_up",
    "looked_up_at",
    "not_found",
)


@dataclass(frozen=True, slots=True)
class Question:
    """An unknown recipient, and the attempt of which nobody can tell."""

    recipient_id: int
    row: int
    attempt_id: int
    attempt: int
    """How many there were when it was asked."""
    is_last: bool
    """It is the last of them."""
    gateway: str
    started_at: datetime
    looked_up: int
    looked_up_at: datetime | None
    not_found: int
    was_repeated: bool
    """It was sent again already, though nobody could tell."""
    may_repeat: bool
    """The same text from the same sender may go out under the same reference, where a gateway takes that once."""
    outgoing: Outgoing

    def asked_at(self, until: datetime, terms: Terms) -> datetime | None:
        """Say when to ask next; None: never again by itself."""
        ripe = self.started_at + terms.patience
        if not self.looked_up or self.looked_up_at is None:
            return ripe
        pause = PAUSES[min(self.looked_up, len(PAUSES)) - 1]
        due = max(ripe, self.looked_up_at + timedelta(seconds=pause))
        return due if due < until else None


def read(session: Session, campaign: Campaign, after: int, most: int, now: datetime) -> list[Question]:
    """Return the unknown recipients after a row, in the order of rows."""
    repeated = (others.c.recipient_id == recipients.c.id, others.c.outcome == "unknown", others.c.is_repeated.is_(True))
    columns = [
        *(recipients.c[name] for name in _RECIPIENT),
        *(attempts.c[name] for name in _ATTEMPT),
        attempts.c.id.label("attempt_id"),
        recipients.c.attempts.label("attempt"),
        (attempts.c.number == recipients.c.attempts).label("is_last"),
        sa.select(sa.literal(1)).where(*repeated).correlate(recipients).exists().label("was_repeated"),
        sa.case((has_opted_out(campaign.team_id), 1), else_=0).label("opted_out"),
    ]
    mine = (recipients.c.campaign_id == campaign.id, recipients.c.row > after, recipients.c.state == State.UNKNOWN)
    found = (
        sa.select(*columns)
        .select_from(recipients)
        .join(attempts, in_question)
        .where(*mine)
        .order_by(recipients.c.row)
        .limit(most)
    )
    return [_question(row, campaign, now) for row in session.execute(found)]


def _question(row: Any, campaign: Campaign, now: datetime) -> Question:
    stops = campaign.status in (Status.CANCELLED, Status.PAUSED) or row.opted_out or row.sender is None
    late = campaign.valid_until is None or now >= campaign.valid_until or now >= row.started_at + REPEATABLE
    outgoing = Outgoing(
        reference=row.reference,
        to=row.number,
        text=campaign.text if row.text is None else row.text,
        encoding=row.encoding,
        segments=row.segments,
        sender=row.sender or "",
        validity_seconds=row.validity_seconds or 0,
    )
    asked = {name: getattr(row, name) for name in ("row", "attempt_id", "attempt", "gateway")}
    asked |= {"is_last": bool(row.is_last), "was_repeated": bool(row.was_repeated)}
    looks = {name: getattr(row, name) for name in ("started_at", "looked_up", "looked_up_at", "not_found")}
    return Question(recipient_id=row.id, may_repeat=not (stops or late), outgoing=outgoing, **asked, **looks)


def asks_until(campaign: Campaign, question: Question, terms: Terms) -> datetime:
    """Say until when a gateway is asked: as long as the text is valid, and at least for the settings' wait."""
    least = question.started_at + max(terms.patience, timedelta(seconds=terms.wait_seconds))
    return max(least, campaign.valid_until or least)


def decides_at(campaign: Campaign, question: Question, terms: Terms, now: datetime) -> datetime | None:
    """Say when the campaign's rule ends an unknown recipient; None: people do.

    What is sent again has half of its time left at least, and is sent again by itself only once.
    """
    wait = timedelta(seconds=terms.wait_seconds)
    if campaign.unknown_policy == UnknownPolicy.RESEND:
        if question.was_repeated or not may_resend(campaign, now):
            return None
        valid = (campaign.valid_until or now) - question.started_at
        wait = min(wait, valid / 2)
    elif campaign.unknown_policy != UnknownPolicy.GIVE_UP:
        return None
    return question.started_at + max(wait, terms.patience)


def may_resend(campaign: Campaign, now: datetime) -> bool:
    """Say whether a campaign's texts may go out again by themselves: not when they are old, nor after a cancel."""
    return campaign.status != Status.CANCELLED and not is_over(campaign, now)


def bound_to_others(session: Session, questions: Sequence[Question]) -> frozenset[str]:
    """Return the gateway's references of other attempts to the same numbers: none of those can be these."""
    if not questions:
        return frozenset()
    ids = [question.attempt_id for question in questions]
    since = min(question.started_at for question in questions) - REPEATABLE
    theirs = (
        recipients.c.number.in_([question.outgoing.to for question in questions]),
        attempts.c.gateway_reference.isnot(None),
        attempts.c.started_at >= since,
        attempts.c.id.notin_(ids),
    )
    joined = attempts.c.recipient_id == recipients.c.id
    found = sa.select(attempts.c.gateway_reference).join(recipients, joined).where(*theirs)
    return frozenset(session.scalars(found))
