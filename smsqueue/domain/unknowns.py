"""What people see of unknown recipients, and decide about them: one by one, or all of a campaign."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.errors import SmsQueueError
from smsqueue.db import Database, table_of
from smsqueue.domain import delivery, questions, reopening, resolving
from smsqueue.domain.delivery import Applied
from smsqueue.domain.jobs import LookUpJob
from smsqueue.domain.resolving import Terms, in_question, last_attempt
from smsqueue.gateways.base import Sent
from smsqueue.models import Attempt, Campaign, Recipient, State, Status
from smsqueue.queue.dispatch import enqueue
from smsqueue.queue.events import emit

recipients, attempts = table_of(Recipient), table_of(Attempt)
CHUNK = 200
"""So many are decided about by one transaction."""
_SHOWN = ("id", "campaign_id", "row", "source_row", "number", "price", "error")
_ASKED = ("gateway", "started_at", "looked_up", "looked_up_at", "not_found")


class Decision(StrEnum):
    """What a person can do about an unknown recipient."""

    ASK = "ask"
    SENT = "sent"
    AGAIN = "again"
    NOT_SENT = "not-sent"


class TooEarly(SmsQueueError):
    """The call to the gateway may still be on its way."""

    def __init__(self, seconds: float) -> None:
        why = f"the gateway was called less than {seconds:g} seconds ago, and its answer may still come"
        super().__init__(f"Nothing is decided yet: {why}.")


@dataclass(frozen=True, slots=True)
class Facts:
    """How the unknown recipients of a campaign stand."""

    count: int
    credits: int
    early: int
    """Nobody can decide about these yet."""
    looked_up: int
    looked_up_at: datetime | None
    since: datetime | None
    gateways: frozenset[str]
    may_repeat: bool
    """The same text may go out again, to a gateway that takes each reference only once."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which unknown recipients of a campaign are meant: these rows (positions in the campaign), or all."""

    campaign_id: int
    rows: tuple[int, ...] | None = None

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Build the conditions of the recipients that are meant."""
        found = [recipients.c.campaign_id == self.campaign_id, recipients.c.state == State.UNKNOWN]
        return found if self.rows is None else [*found, recipients.c.row.in_(self.rows)]


@dataclass(frozen=True, slots=True)
class Extent:
    """Which unknown recipients were shown: how many, and the sum of their last attempts' ids.

    With others, or after a further attempt, the sum is another one.
    """

    count: int
    total: int


def count(session: Session, team_id: int) -> int:
    """Count a team's unknown recipients."""
    total = sa.select(sa.func.sum(Campaign.unknown)).where(Campaign.team_id == team_id, Campaign.unknown > 0)
    return int(session.scalar(total) or 0)


def campaigns(session: Session, team_id: int, before: int | None, limit: int) -> Sequence[Campaign]:
    """List a team's campaigns with unknown recipients, newest first, from below the id `before`."""
    found = sa.select(Campaign).where(Campaign.team_id == team_id, Campaign.unknown > 0)
    if before is not None:
        found = found.where(Campaign.id < before)
    return session.scalars(found.order_by(Campaign.id.desc()).limit(limit)).all()


def facts(session: Session, campaign: Campaign, terms: Terms) -> Facts:
    """Sum up a campaign's unknown recipients."""
    before = resolving.today(session) - terms.patience
    columns = (
        sa.func.count(),
        sa.func.coalesce(sa.func.sum(recipients.c.price), 0),
        sa.func.coalesce(sa.func.sum(sa.case((attempts.c.started_at > before, 1), else_=0)), 0),
        sa.func.coalesce(sa.func.sum(sa.case((attempts.c.looked_up > 0, 1), else_=0)), 0),
        sa.func.max(attempts.c.looked_up_at),
        sa.func.min(attempts.c.started_at),
    )
    mine = Choice(campaign.id).conditions()
    one = session.execute(sa.select(*columns).select_from(recipients).join(attempts, in_question).where(*mine)).one()
    names = session.scalars(
        sa.select(attempts.c.gateway).distinct().select_from(recipients).join(attempts, in_question).where(*mine)
    )
    many, credits, early, looked_up = (int(number) for number in one[:4])
    may_repeat = campaign.status != Status.PAUSED and questions.may_resend(campaign, before + terms.patience)
    return Facts(many, credits, early, looked_up, one[4], one[5], frozenset(names), may_repeat)


def listing(session: Session, choice: Sequence[Choice], after: tuple[int, int] = (0, 0), limit: int = 50) -> list[Any]:
    """List unknown recipients of campaigns by campaign and row, from after `after`, with their last attempt."""
    ids = [each.campaign_id for each in choice]
    columns = [recipients.c[name] for name in _SHOWN] + [attempts.c[name] for name in _ASKED]
    further = sa.or_(
        recipients.c.campaign_id > after[0],
        sa.and_(recipients.c.campaign_id == after[0], recipients.c.row > after[1]),
    )
    mine = (recipients.c.campaign_id.in_(ids), recipients.c.state == State.UNKNOWN, further)
    found = sa.select(*columns).select_from(recipients).join(attempts, in_question).where(*mine)
    return list(session.execute(found.order_by(recipients.c.campaign_id, recipients.c.row).limit(limit)))


def size(session: Session, choice: Choice) -> int:
    """Count the unknown recipients that are meant."""
    return session.scalar(sa.select(sa.func.count()).where(*choice.conditions())) or 0


def extent(session: Session, choice: Choice) -> Extent:
    """Say which unknown recipients are meant at this moment."""
    columns = (sa.func.count(), sa.func.coalesce(sa.func.sum(attempts.c.id), 0))
    mine = sa.select(*columns).select_from(recipients).join(attempts, last_attempt).where(*choice.conditions())
    many, total = session.execute(mine).one()
    return Extent(many, int(total))


def places(session: Session, ids: Sequence[int]) -> list[tuple[int, int]]:
    """Return the campaign and the row of these recipients."""
    found = sa.select(recipients.c.campaign_id, recipients.c.row).where(recipients.c.id.in_(ids))
    return [(row.campaign_id, row.row) for row in session.execute(found)]


def ask_again(session: Session, choice: Choice) -> int:
    """Have the gateway asked at once about these recipients, however often it was; return how many."""
    ids = sa.select(recipients.c.id).where(*choice.conditions())
    mine = sa.select(attempts.c.id).select_from(recipients).join(attempts, in_question).where(recipients.c.id.in_(ids))
    found = session.scalars(mine).all()
    for start in range(0, len(found), CHUNK):
        theirs = sa.update(attempts).where(attempts.c.id.in_(found[start : start + CHUNK]))
        session.execute(theirs.values(looked_up=0))
    if found:
        job = LookUpJob(campaign_id=choice.campaign_id, once=True)
        enqueue(session, job, unique=job.key, unique_waiting=True)
    return len(found)


def decide(database: Database, choice: Choice, decision: Decision, terms: Terms, *, by: str) -> int:
    """Do what a person decided about these recipients; return about how many.

    Whoever is not unknown any more when his turn comes is left alone: a report, a look-up or somebody else was faster.
    Raises TooEarly when all of them are too new.
    """
    if decision is Decision.ASK:
        return database.write(partial(ask_again, choice=choice))
    done, after, early = 0, 0, False
    while True:
        step = partial(_chunk, choice=choice, decision=decision, terms=terms, by=by, after=after, done=done)
        found, decided, applied = database.write(step)
        delivery.follow_up(database, applied)
        done, early = done + decided, early or decided < len(found)
        if len(found) < CHUNK:
            break
        after = found[-1]
    if early and not done:
        raise TooEarly(terms.patience_seconds)
    if done:
        emit("unknowns.decided", campaign_id=choice.campaign_id, user=by, count=done, what=decision.value)
    return done


def _chunk(
    session: Session, choice: Choice, decision: Decision, *, terms: Terms, by: str, after: int, done: int
) -> tuple[list[int], int, Applied]:
    """Decide about the next recipients; return their rows, about how many, and what follows."""
    mine = (*choice.conditions(), recipients.c.row > after)
    columns = (recipients.c.id, recipients.c.row)
    found = session.execute(sa.select(*columns).where(*mine).order_by(recipients.c.row).limit(CHUNK)).all()
    rows = [row.row for row in found]
    campaign = session.get_one(Campaign, choice.campaign_id)
    before = resolving.today(session) - terms.patience
    locked = resolving.lock(session, campaign, [row.id for row in found], before)
    if decision is Decision.SENT:
        return (rows, *_count_as_sent(session, locked, by))
    if decision is Decision.AGAIN:
        again = resolving.send_again(session, campaign, locked, terms, extends=True)
        # With the last of them: the campaign may end between one portion and the next.
        if done + again and len(found) < CHUNK:
            reopening.tell_anew(session, campaign.id)
        return rows, again, Applied()
    error = f"Nobody could tell whether it was sent: counted as not sent by {by}."[:300]
    return rows, resolving.give_up(session, campaign, locked, error, resolving.COUNTED_NOT_SENT), Applied()


def _count_as_sent(session: Session, locked: Sequence[Any], by: str) -> tuple[int, Applied]:
    ids = [row.id for row in locked]
    mine = sa.select(attempts.c.id).select_from(recipients).join(attempts, in_question).where(recipients.c.id.in_(ids))
    last = session.scalars(mine).all()
    if not last:
        return 0, Applied()
    applied = delivery.accept(session, dict.fromkeys(last, Sent("")), resolving.today(session))
    noted = sa.update(attempts).where(attempts.c.id.in_(last), attempts.c.outcome == "sent")
    session.execute(noted.values(reason=f"Counted as sent by {by}."[:300]))
    return len(locked), applied
