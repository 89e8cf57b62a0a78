"""How an unknown recipient stops being unknown: each way is one move under lock, so that two of them never both happen.

Nobody resolves one before its call is over for certain: the lease of the worker that called, and the call's own time.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.config import Settings
from smsqueue.db import table_of
from smsqueue.domain import completion, ranks, reopening
from smsqueue.domain.counting import Changes
from smsqueue.domain.paying import Move, pay
from smsqueue.domain.settlement import end_waiting
from smsqueue.models import Attempt, Campaign, Recipient, State, Status
from smsqueue.queue.dispatch import clock_us, when

recipients, attempts = table_of(Recipient), table_of(Attempt)
NOT_TAKEN = "not_taken"
"""The code of recipients whom the gateway does not know: it surely did not take their text."""
COUNTED_NOT_SENT = "counted_not_sent"
"""The code of recipients who were given up while nobody could tell: their text may have arrived."""
RUNNING = (Status.PENDING, Status.PROCESSING, Status.PAUSED)
last_attempt = sa.and_(attempts.c.recipient_id == recipients.c.id, attempts.c.number == recipients.c.attempts)
_others = attempts.alias("others")
_last_lost = sa.select(sa.func.max(_others.c.number)).where(
    _others.c.recipient_id == recipients.c.id, _others.c.outcome == "unknown"
)
in_question = sa.and_(
    attempts.c.recipient_id == recipients.c.id,
    attempts.c.number == _last_lost.correlate(recipients).scalar_subquery(),
)
"""The attempt of an unknown recipient of which nobody can tell; of several the last. A later one may have come to
nothing."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How long is waited, and how what is sent again is cut into jobs."""

    patience_seconds: float
    """From an attempt's intent on: before that its call may still be on its way."""
    wait_seconds: float
    slice_rows: int = 500
    validity_seconds: int = 14_400

    @classmethod
    def of(cls, settings: Settings) -> "Terms":
        """Take them from the settings."""
        call = settings.connect_timeout_seconds + settings.read_timeout_seconds
        patience = settings.lease_seconds + call
        return cls(patience, settings.unknown_wait_seconds, settings.slice_rows, settings.validity_seconds)

    @property
    def patience(self) -> timedelta:
        """The first as an interval."""
        return timedelta(seconds=self.patience_seconds)


def today(session: Session) -> datetime:
    """Read the database's clock, by which attempts are stamped."""
    return when(clock_us(session))


def ripe(before: datetime) -> sa.ColumnElement[bool]:
    """Build the condition that no call to a recipient of which nobody can tell began after `before`."""
    theirs = (attempts.c.recipient_id == recipients.c.id, attempts.c.outcome.in_(("sending", "unknown")))
    begun = sa.select(sa.literal(1)).where(*theirs, attempts.c.started_at > before)
    return ~begun.correlate(recipients).exists()


def lock(session: Session, campaign: Campaign, ids: Sequence[int], before: datetime) -> Sequence[Any]:
    """Lock those of these recipients who are unknown still and may be resolved, in the order of their ids."""
    mine = (recipients.c.id.in_(ids), recipients.c.campaign_id == campaign.id, recipients.c.state == State.UNKNOWN)
    columns = (recipients.c.id, recipients.c.row, recipients.c.price, recipients.c.attempts)
    found = sa.select(*columns).where(*mine, ripe(before)).order_by(recipients.c.id)
    return session.execute(found.with_for_update()).all()


def send_again(session: Session, campaign: Campaign, locked: Sequence[Any], terms: Terms, *, extends: bool) -> int:
    """Send to these locked recipients once more, which may be the second time; an ended campaign runs again.

    With `extends`, for a person, what waited too long has its time again and the end is told anew; a rule does neither.
    """
    if not locked:
        return 0
    ids = [row.id for row in locked]
    _requeue(session, campaign, ids)
    open_ones = (attempts.c.recipient_id.in_(ids), attempts.c.outcome == "unknown")
    session.execute(sa.update(attempts).where(*open_ones).values(is_repeated=True))
    validity = terms.validity_seconds if extends else None
    rows = [row.row for row in locked]
    reopening.reopen(session, campaign, rows, slice_rows=terms.slice_rows, validity_seconds=validity)
    return len(locked)


def give_up(session: Session, campaign: Campaign, locked: Sequence[Any], error: str, code: str) -> int:
    """Count these locked recipients as not sent, and credit them back."""
    if not locked:
        return 0
    ids = [row.id for row in locked]
    return end_waiting(session, campaign, None, State.FAILED, error=error, code=code, ids=ids, source=State.UNKNOWN)


def put_back(session: Session, campaign: Campaign, locked: Sequence[Any], error: str, terms: Terms) -> bool:
    """Queue these locked recipients, whose text was surely not taken, and say so; if it is too late, fail them.

    Too late: the campaign has ended, or its texts are not valid any more.
    """
    if not locked:
        return True
    _requeue(session, campaign, [row.id for row in locked])
    return carry_on(session, campaign, [row.id for row in locked], error, slice_rows=terms.slice_rows)


def carry_on(session: Session, campaign: Campaign, ids: Sequence[int], error: str, *, slice_rows: int = 500) -> bool:
    """Queue jobs for recipients that are queued again, and say so; if the campaign is over by now, fail them instead.

    Their text was surely not taken, so they are credited then.
    """
    # Asked with its row locked: whoever closes it meanwhile does not see these recipients as waiting.
    campaign = completion.locked(session, campaign.id)
    if campaign.status in RUNNING and not reopening.is_over(campaign, today(session)):
        rows = session.scalars(sa.select(recipients.c.row).where(recipients.c.id.in_(ids))).all()
        reopening.look_again(session, campaign, rows, slice_rows=slice_rows)
        return True
    end_waiting(session, campaign, None, State.FAILED, error=error, code=NOT_TAKEN, ids=ids)
    return False


def take_after_all(session: Session, ids: Sequence[int], now: datetime) -> None:
    """Count these locked recipients as sent, though they were decided about: a known acceptance is never dropped.

    Unless a report said meanwhile that the gateway could not send it after all.
    """
    columns = [recipients.c[name] for name in ("id", "campaign_id", "price", "settlement_id", "state")]
    rows = session.execute(sa.select(*columns).where(recipients.c.id.in_(ids))).all()
    tries = sa.select(attempts.c.recipient_id, attempts.c.outcome, attempts.c.reported)
    known: dict[int, list[tuple[str, str | None]]] = defaultdict(list)
    for recipient_id, outcome, reported in session.execute(tries.where(attempts.c.recipient_id.in_(ids))):
        known[recipient_id].append((outcome, reported))
    targets = [(row, ranks.next_state(row.state, ranks.best(known[row.id]))) for row in rows]
    moves = [
        Move(row.id, row.campaign_id, row.price, row.settlement_id, State(row.state), target, None, None, now)
        for row, target in targets
        if target is not None
    ]
    pay(session, moves)


def _requeue(session: Session, campaign: Campaign, ids: Sequence[int]) -> None:
    values = {"state": State.QUEUED, "error": None, "code": None, "not_before": None, "updated_at": today(session)}
    session.execute(sa.update(recipients).where(recipients.c.id.in_(ids)).values(values))
    changes = Changes()
    changes.moved(State.UNKNOWN, State.QUEUED, len(ids))
    changes.write(session, campaign.id)
