"""The breaker of each gateway: whoever cannot be reached gets no more texts until one of them has come through.

Its state is a row that all workers share. Closed: everything goes. Open: nothing goes, but now and then one text, the
probe; the first call that the gateway answers closes it. Paused: nothing goes until a person says so.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import changed, table_of
from smsqueue.domain.intents import NOT_CALLED
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Deferred, Rejected, Unknown
from smsqueue.models import GatewayState
from smsqueue.queue.events import emit_once_committed
from smsqueue.queue.upsert import upsert

states = table_of(GatewayState)
FAILURES = 10
"""So many calls in a row, over all workers, that came to nothing open the breaker."""
PROBE_SECONDS = 3.0
US = "smsqueue"
"""Who has paused a gateway that nobody has."""
UNREACHABLE = re.compile(r"The gateway cannot be reached \((.*)\)")
"""A reason of which only what stands in the brackets is said again."""
MISDIRECTED = frozenset({"http_301", "http_302", "http_303", "http_307", "http_308"})


@dataclass(frozen=True, slots=True)
class Standing:
    """How a gateway stands."""

    name: str
    failures: int = 0
    opened_at: datetime | None = None
    probe_at: datetime | None = None
    reason: str | None = None
    paused_at: datetime | None = None
    paused_by: str | None = None

    def is_usable(self, now: datetime) -> bool:
        """Say whether a text may go through it, be it the probe."""
        if self.paused_at is not None:
            return False
        return self.opened_at is None or self.probe_at is None or self.probe_at <= now

    @property
    def words(self) -> str | None:
        """Say why nothing goes through it, and since when; None when texts do."""
        if self.paused_at is not None:
            by = (self.paused_by or "").rstrip(". ")
            return f"Gateway {self.name} is paused since {self.paused_at:%-d %b, %H:%M:%S} UTC, by {by}"
        if self.opened_at is not None:
            reason = (self.reason or "").rstrip(". ")
            if told := UNREACHABLE.fullmatch(reason):
                reason = told[1]
            return f"Gateway {self.name} cannot be reached since {self.opened_at:%-d %b, %H:%M:%S} UTC ({reason})"
        return None


def read(session: Session) -> dict[str, Standing]:
    """Return how the gateways stand of which there is anything to say."""
    columns = [states.c[name] for name in Standing.__slots__]
    return {row.name: Standing(*row) for row in session.execute(sa.select(*columns).order_by(states.c.name))}


def claim_probe(session: Session, name: str, now: datetime, until: datetime) -> bool:
    """Take the right to try an open gateway with one text; nobody else may before `until`, if it is not ours."""
    due = (states.c.name == name, states.c.paused_at.is_(None), states.c.opened_at.isnot(None))
    mine = sa.update(states).where(*due, sa.or_(states.c.probe_at.is_(None), states.c.probe_at <= now))
    return changed(session, mine.values(probe_at=until)) == 1


def give_back_probe(session: Session, name: str, now: datetime) -> None:
    """Let somebody else try: there was nobody to try it with."""
    session.execute(sa.update(states).where(states.c.name == name).values(probe_at=now))


def note(session: Session, standing: Standing, answers: Sequence[Answer], now: datetime) -> bool:
    """Learn from answers of a gateway; say whether its row was changed. Nothing is written while all goes well."""
    trailing, reason, is_answered = _failures(answers)
    if any(map(_is_misdirected, answers)):
        pause(session, standing.name, US, "it redirects, so its address must be wrong", now)
        return True
    is_closing = is_answered and bool(standing.opened_at or standing.failures)
    if is_closing:
        _close(session, standing)
    if trailing >= FAILURES or (trailing and not is_answered):
        _count(session, standing.name, trailing)
        _open_if_many(session, standing.name, reason, now)
        return True
    return is_closing


def pause(session: Session, name: str, author: str, reason: str, now: datetime) -> None:
    """Send nothing through a gateway until somebody resumes it."""
    by = f"{author}: {reason}"[:300]
    row = {"name": name, "failures": 0, "paused_at": now, "paused_by": by}
    change = upsert(
        session.get_bind().dialect,
        states,
        lambda table, given: {
            "paused_by": sa.func.coalesce(table.c.paused_by, given.paused_by),
            "paused_at": sa.func.coalesce(table.c.paused_at, given.paused_at),
        },
    )
    session.execute(change, row)
    emit_once_committed(session, "gateway.paused", gateway=name, by=by)


def resume(session: Session, name: str, author: str, now: datetime) -> bool:
    """Use a gateway again, an open one by a probe at once; say whether there was anything to end."""
    held = sa.or_(states.c.paused_at.isnot(None), states.c.opened_at.isnot(None))
    mine = sa.update(states).where(states.c.name == name, held)
    if not changed(session, mine.values(paused_at=None, paused_by=None, probe_at=now)):
        return False
    emit_once_committed(session, "gateway.resumed", gateway=name, by=author)
    return True


def is_failure(answer: Answer) -> bool:
    """Say whether a call came to nothing: not reached, or nobody can tell."""
    outcome = answer.outcome
    if isinstance(outcome, Deferred):
        return outcome.cause == "unreachable"
    return isinstance(outcome, Unknown)


def was_called(answer: Answer) -> bool:
    """Say whether the gateway was called at all."""
    return not (isinstance(answer.outcome, Deferred) and answer.outcome.reason == NOT_CALLED)


def _failures(answers: Sequence[Answer]) -> tuple[int, str, bool]:
    """Return how many failures came last, why the last of them failed, and whether any call was answered."""
    called = [answer for answer in answers if was_called(answer)]
    trailing, reason = 0, ""
    for answer in called:
        trailing = trailing + 1 if is_failure(answer) else 0
        reason = getattr(answer.outcome, "reason", "") if is_failure(answer) else reason
    return trailing, reason, not all(map(is_failure, called))


def _is_misdirected(answer: Answer) -> bool:
    outcome = answer.outcome
    if isinstance(outcome, Rejected):
        return outcome.code in MISDIRECTED
    return isinstance(outcome, Unknown) and outcome.is_misdirected


def _count(session: Session, name: str, failures: int) -> None:
    dialect = session.get_bind().dialect
    counted = upsert(dialect, states, lambda table, given: {"failures": table.c.failures + given.failures})
    session.execute(counted, {"name": name, "failures": failures})


def _open_if_many(session: Session, name: str, reason: str, now: datetime) -> None:
    many = (states.c.name == name, states.c.failures >= FAILURES)
    probe_at = now + timedelta(seconds=PROBE_SECONDS)
    opened = sa.update(states).where(*many, states.c.opened_at.is_(None))
    if changed(session, opened.values(opened_at=now, probe_at=probe_at, reason=reason[:300])):
        emit_once_committed(session, "gateway.opened", gateway=name, reason=reason[:300])
    else:
        session.execute(sa.update(states).where(*many).values(probe_at=probe_at, reason=reason[:300]))


def _close(session: Session, standing: Standing) -> None:
    mine = sa.update(states).where(states.c.name == standing.name)
    session.execute(mine.values(failures=0, opened_at=None, probe_at=None, reason=None))
    if standing.opened_at:
        emit_once_committed(session, "gateway.closed", gateway=standing.name, since=standing.opened_at.isoformat())
