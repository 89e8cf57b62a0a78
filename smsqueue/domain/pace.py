"""The pace: how many segments a second go out through a gateway, or from a sender, whoever sends them.

A row says when the next segment is due. Whoever starts texts moves that on by their segments, in the same transaction,
and may only be so far ahead of the clock: bulk less far than single texts, which therefore never wait behind it.
Where a gateway asks for less, the rate falls; it comes back by itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isclose
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
from smsqueue.models import Rate
from smsqueue.queue.dialects import now_us
from smsqueue.queue.dispatch import SECOND, when
from smsqueue.queue.upsert import upsert

rates = table_of(Rate)
BULK_AHEAD_SECONDS = 0.5
"""So far may bulk run ahead; what is missing up to `URGENT_AHEAD_SECONDS` is kept for single texts."""
URGENT_AHEAD_SECONDS = 0.9
PORTION_SECONDS = 0.25
"""Whoever finds no token waits until there are so many seconds' worth: not one claim for each."""
SHORTEST_WAIT_SECONDS = 0.005
SLOWEST = 0.5
"""No gateway is slowed down to less than one segment in two seconds."""
NO_LIMIT = 10_000.0
"""A rate of so many is none; so is one that was lowered where the settings know none, and has come back so far."""
DOUBLES_SECONDS = 5.0
"""A rate that was lowered doubles in so long."""
LONGEST_PAUSE_SECONDS = 60.0
LONGEST_TEXT = 255
"""Segments. What is owed for longer than by this, or by the longest pause, comes of a clock that was set back."""
_locked = (
    sa.select(rates.c.name, rates.c.per_second, rates.c.due_us, rates.c.throttled_at, now_us().label("now"))
    .where(rates.c.name.in_(sa.bindparam("names", expanding=True)))
    .order_by(rates.c.name)
    .with_for_update()
)
_move = sa.update(rates).where(rates.c.name == sa.bindparam("of")).values(due_us=sa.bindparam("new_due_us"))
_set = (
    sa.update(rates)
    .where(rates.c.name == sa.bindparam("of"))
    .values({name: sa.bindparam(f"new_{name}") for name in ("per_second", "due_us", "throttled_at")})
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """One rate at one moment; times in microseconds of the database's clock."""

    name: str
    per_second: float
    due: int
    now: int

    @property
    def interval(self) -> float:
        """Microseconds for one segment."""
        return SECOND / self.per_second

    def free(self, ahead_seconds: float) -> int:
        """How many segments may go now, when one may be so far ahead of the clock."""
        ahead = self.now + ahead_seconds * SECOND - max(self.due, self.now)
        if ahead >= self.interval:
            return int(ahead / self.interval)
        return int(self.due <= self.now + self._overdraft(ahead_seconds))

    def wait_seconds(self, ahead_seconds: float) -> float:
        """How long until something may go; for bulk, until it is worth a claim."""
        if self.free(ahead_seconds):
            return 0.0
        least = PORTION_SECONDS * SECOND if ahead_seconds <= BULK_AHEAD_SECONDS else 0.0
        slack = max(0.0, ahead_seconds * SECOND - max(least, self.interval), self._overdraft(ahead_seconds))
        return max(SHORTEST_WAIT_SECONDS, (self.due - slack - self.now) / SECOND)

    def after(self, segments: int) -> "Bucket":
        """Return what is left when so many segments have gone."""
        return replace(self, due=round(max(self.due, self.now) + segments * self.interval))

    def _overdraft(self, ahead_seconds: float) -> float:
        """At few segments a second a single text need not wait for the bulk text that has just gone."""
        return self.interval if ahead_seconds > BULK_AHEAD_SECONDS and self.interval > SECOND / 2 else 0.0


def ask(session: Session, limits: Mapping[str, float | None]) -> list[Bucket]:
    """Lock the rates of these names, each with what the settings say of it, until the transaction ends.

    A name without a limit in the settings is in force only while throttling has lowered it.
    """
    rows = {row.name: row for row in session.execute(_locked, {"names": list(limits)})}
    missing = [name for name, limit in limits.items() if limit and name not in rows]
    if missing:
        _insert(session, {name: limits[name] or NO_LIMIT for name in missing})
        rows = {row.name: row for row in session.execute(_locked, {"names": list(limits)})}
    buckets = [bucket for row in rows.values() if (bucket := _bucket(row, limits[row.name]))]
    for row in rows.values():
        if _is_outdated(row, limits[row.name]):
            _renew(session, row, limits[row.name])
    return buckets


def take(session: Session, buckets: Sequence[Bucket], segments: int) -> None:
    """Take so many segments out of each of these rates, which this transaction has locked."""
    if buckets and segments:
        session.execute(_move, [{"of": each.name, "new_due_us": each.after(segments).due} for each in buckets])


def slow_down(
    session: Session, name: str, limit: float | None, *, measured: float, pause_seconds: float
) -> float | None:
    """Halve a rate that the gateway finds too high, at most once a second, and let nothing go for a while.

    Returns the new rate; None when it was lowered just now. Where none is set, what was `measured` is halved.
    """
    rows = {row.name: row for row in session.execute(_locked, {"names": [name]})}
    if name not in rows:
        _insert(session, {name: limit or NO_LIMIT})
        rows = {row.name: row for row in session.execute(_locked, {"names": [name]})}
    row = rows[name]
    if row.throttled_at and _seconds_since(row) < 1:
        return None
    current = bucket.per_second if (bucket := _bucket(row, limit)) else NO_LIMIT
    slower = max(SLOWEST, min(current, measured) / 2)
    due = max(_due(row, limit), row.now + round(min(pause_seconds, LONGEST_PAUSE_SECONDS) * SECOND))
    values = {"of": name, "new_per_second": slower, "new_due_us": due, "new_throttled_at": when(row.now)}
    session.execute(_set, values)
    return slower


def now_at(per_second: float, seconds: float, limit: float | None) -> float | None:
    """Return what a rate that was lowered has come back to after so many seconds; None: as the settings say."""
    back = per_second * 2 ** min(seconds / DOUBLES_SECONDS, 60)
    return None if back >= (limit or NO_LIMIT) else back


def _bucket(row: Any, limit: float | None) -> Bucket | None:
    """Return what is in force now, if anything is."""
    per_second = _lowered(row, limit) or limit
    return Bucket(row.name, per_second, _due(row, limit), row.now) if per_second else None


def _due(row: Any, limit: float | None) -> int:
    """Say when the next segment is due: what was owed at a slower rate than is set now is owed in segments."""
    owed = row.due_us - row.now
    if owed > SECOND + SECOND * max(LONGEST_PAUSE_SECONDS, LONGEST_TEXT / row.per_second):
        return int(row.now)
    if owed > 0 and limit and row.throttled_at is None:
        owed = round(owed * min(1, row.per_second / limit))
    return int(row.now + owed)


def _lowered(row: Any, limit: float | None) -> float | None:
    """Return the rate to which throttling has lowered what the settings say, as far as it has not come back."""
    return None if row.throttled_at is None else now_at(row.per_second, _seconds_since(row), limit)


def _seconds_since(row: Any) -> float:
    """Say how long ago a rate was lowered; in the future it was before the clock was set back."""
    return float(abs(row.now - _us(row.throttled_at)) / SECOND)


def _is_outdated(row: Any, limit: float | None) -> bool:
    """Say whether a row tells of throttling that is over, or of another setting."""
    if row.throttled_at is not None:
        return _lowered(row, limit) is None
    return limit is not None and not isclose(row.per_second, limit, rel_tol=1e-4)  # MariaDB keeps six digits


def _renew(session: Session, row: Any, limit: float | None) -> None:
    mine = rates.c.name == row.name
    if limit:
        values = {"per_second": limit, "throttled_at": None, "due_us": _due(row, limit)}
        session.execute(sa.update(rates).where(mine).values(values))
    else:
        session.execute(sa.delete(rates).where(mine))


def _insert(session: Session, limits: Mapping[str, float]) -> None:
    """Make rows, unless somebody has just made them."""
    rows = [{"name": name, "per_second": limit, "due_us": 0} for name, limit in sorted(limits.items())]
    there = upsert(session.get_bind().dialect, rates, lambda table, _: {"name": table.c.name})
    session.execute(there, rows)


def _us(moment: datetime) -> int:
    return round(moment.timestamp() * SECOND)
