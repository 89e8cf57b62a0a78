"""What became of jobs, by the minute: kept by workers as they go, so that nobody has to count big tables later."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from smsqueue.db import Database, changed, first_line, table_of
from smsqueue.queue.claim import Claim
from smsqueue.queue.depths import ENOUGH, count_all, measure
from smsqueue.queue.dispatch import SECOND, clock_us
from smsqueue.queue.events import emit
from smsqueue.queue.models import JobStat, QueueDepth
from smsqueue.queue.upsert import upsert

stats = table_of(JobStat)
samples = table_of(QueueDepth)
MINUTE = 60 * SECOND
KEPT_MINUTES = 7 * 24 * 60
CHUNK_MINUTES = 60
"""So much of the past is deleted by one transaction."""
FRESH_MINUTES = 10
"""An older sample says nothing about now."""
ENDINGS = ("done", "failed", "released")
_SUMS = (*ENDINGS, "wait_us", "run_us")
_PEAKS = ("wait_max_us", "run_max_us")
_KEYS = ("minute", "queue", "kind")
_DONE, _FAILED, _RELEASED, _WAIT, _WAIT_MAX, _RUN, _RUN_MAX = range(7)
_COLUMNS = (*ENDINGS, "wait_us", "wait_max_us", "run_us", "run_max_us")
_PLACE = {"done": _DONE, "failed": _FAILED, "released": _RELEASED}
Key = tuple[int, str, str]


class Tally:
    """Counts the runs of one worker in memory, from any of its threads, and adds them to `job_stats` now and then."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: dict[Key, list[int]] = {}

    def note(self, held: Claim, ending: str, seconds: float) -> None:
        """Count one run of `seconds` that ended `done`, `failed` or `released`, in the minute in which it ended."""
        run = int(seconds * SECOND)
        wait = max(0, held.claimed_at - held.available_at)
        key = ((held.claimed_at + run) // MINUTE, held.queue, held.kind)
        with self._lock:
            counts = self._counts.get(key)
            if counts is None:
                counts = self._counts[key] = [0] * len(_COLUMNS)
            counts[_PLACE[ending]] += 1
            counts[_WAIT] += wait
            counts[_RUN] += run
            if wait > counts[_WAIT_MAX]:
                counts[_WAIT_MAX] = wait
            if run > counts[_RUN_MAX]:
                counts[_RUN_MAX] = run

    def flush(self, database: Database) -> bool:
        """Add what was counted to the table; what cannot be written now is kept for the next time.

        Statistics stop no worker: a database that refuses them is an event and False.
        """
        with self._lock:
            counts, self._counts = self._counts, {}
        if not counts:
            return True
        try:
            database.write(lambda session: _add(session, counts))
        except DBAPIError as error:
            self._take_back(counts)
            emit("history.missed", reason=first_line(error))
            return False
        return True

    def _take_back(self, older: dict[Key, list[int]]) -> None:
        with self._lock:
            for key, counts in older.items():
                newer = self._counts.get(key)
                self._counts[key] = counts if newer is None else _merged(counts, newer)


def _merged(one: list[int], other: list[int]) -> list[int]:
    peaks = (_WAIT_MAX, _RUN_MAX)
    return [max(a, b) if place in peaks else a + b for place, (a, b) in enumerate(zip(one, other, strict=True))]


def _add(session: Session, counts: dict[Key, list[int]]) -> None:
    # In order of the key: workers that add at once wait for each other instead of blocking each other.
    rows = [dict(zip((*_KEYS, *_COLUMNS), (*key, *counts[key]), strict=True)) for key in sorted(counts)]
    session.execute(upsert(session.get_bind().dialect, stats, _added), rows)


def _added(table: sa.Table, given: Any) -> dict[str, Any]:
    sums = {name: table.c[name] + given[name] for name in _SUMS}
    peaks = {name: sa.case((given[name] > table.c[name], given[name]), else_=table.c[name]) for name in _PEAKS}
    return {**sums, **peaks}


@dataclass(frozen=True, slots=True)
class Stat:
    """One minute's runs of one kind of job in one queue; sums and peaks in microseconds."""

    minute: int
    queue: str
    kind: str
    done: int
    failed: int
    released: int
    wait_us: int
    wait_max_us: int
    run_us: int
    run_max_us: int


@dataclass(frozen=True, slots=True)
class Sample:
    """How full a queue was at one minute."""

    minute: int
    queue: str
    waiting: int
    delayed: int
    reserved: int
    oldest_us: int


@dataclass(frozen=True, slots=True)
class Pace:
    """What became of the jobs of a queue in the last minutes; times are the mean of all runs, or the longest."""

    queue: str
    done: int
    failed: int
    released: int
    wait_seconds: float
    wait_max_seconds: float
    run_seconds: float
    done_by_minute: tuple[int, ...]
    """Oldest first; the last is this minute, so far."""

    @property
    def last(self) -> int:
        """How many were done in the last full minute."""
        return self.done_by_minute[-2]


def paces(session: Session, minutes: int = 60) -> list[Pace]:
    """Sum up the last `minutes` by queue, of those that had anything to do."""
    last = clock_us(session) // MINUTE
    return sum_up(recent(session, minutes), last, minutes)


def sum_up(found: Iterable[Stat], last: int, minutes: int) -> list[Pace]:
    """Sum up by queue what workers have written down; `last` is the minute that is not over yet."""
    by_queue: dict[str, list[Stat]] = {}
    for stat in found:
        by_queue.setdefault(stat.queue, []).append(stat)
    return [_pace(queue, found, last, minutes) for queue, found in sorted(by_queue.items())]


def _pace(queue: str, found: list[Stat], last: int, minutes: int) -> Pace:
    done, failed, released = (sum(getattr(stat, ending) for stat in found) for ending in ENDINGS)
    runs = max(1, done + failed + released) * SECOND
    by_minute = [0] * minutes
    for stat in found:
        by_minute[min(stat.minute - last + minutes - 1, minutes - 1)] += stat.done
    return Pace(
        queue,
        done,
        failed,
        released,
        wait_seconds=sum(stat.wait_us for stat in found) / runs,
        wait_max_seconds=max(stat.wait_max_us for stat in found) / SECOND,
        run_seconds=sum(stat.run_us for stat in found) / runs,
        done_by_minute=tuple(by_minute),
    )


def recent(session: Session, minutes: int = 60) -> list[Stat]:
    """Return what became of jobs in the last `minutes`, this one included, oldest first."""
    since = clock_us(session) // MINUTE - minutes
    rows = session.execute(sa.select(stats).where(stats.c.minute > since).order_by(stats.c.minute))
    return [Stat(*row) for row in rows]


def depths(session: Session) -> dict[str, Sample]:
    """Return the newest sample of each queue, of the last minutes only."""
    since = clock_us(session) // MINUTE - FRESH_MINUTES
    rows = session.execute(sa.select(samples).where(samples.c.minute > since).order_by(samples.c.minute))
    return {row.queue: Sample(*row) for row in rows}


def chores(database: Database, queues: Sequence[str], *, limit: int = ENOUGH) -> None:
    """Do once a minute, by whichever worker is first: write down how full the queues are, and forget what is old.

    A queue with more than `limit` jobs of a sort is counted in one go with the others that are full.
    """
    with database.reading() as session:  # counted before writing: SQLite lets one write at a time
        rows = _sample(session, queues, limit)
    if rows:
        database.write(lambda session: session.execute(upsert(session.get_bind().dialect, samples, _replaced), rows))
        while database.write(_forget_some):
            pass


def _sample(session: Session, queues: Sequence[str], limit: int) -> list[dict[str, Any]]:
    """Look how full the queues are; at nothing when somebody has done so this minute."""
    now = clock_us(session)
    minute = now // MINUTE
    if session.execute(sa.select(samples.c.queue).where(samples.c.minute == minute).limit(1)).first():
        return []
    found = measure(session, queues, now, limit)
    if any(depth.inexact for depth in found.values()):
        count_all(session, found, now)
    return [
        {
            "minute": minute,
            "queue": name,
            "waiting": depth.waiting,
            "delayed": depth.delayed,
            "reserved": depth.reserved,
            "oldest_us": 0 if depth.oldest is None else max(0, now - depth.oldest),
        }
        for name, depth in sorted(found.items())
    ]


def _replaced(_table: sa.Table, given: Any) -> dict[str, Any]:
    return {name: given[name] for name in ("waiting", "delayed", "reserved", "oldest_us")}


def _forget_some(session: Session) -> int:
    """Delete an hour of what is too old, the oldest first; return how much that was."""
    limit = clock_us(session) // MINUTE - KEPT_MINUTES
    return sum(_forget_some_of(session, table, limit) for table in (stats, samples))


def _forget_some_of(session: Session, table: sa.Table, limit: int) -> int:
    oldest = session.execute(sa.select(sa.func.min(table.c.minute))).scalar()
    if oldest is None or oldest >= limit:
        return 0
    return changed(session, sa.delete(table).where(table.c.minute < min(limit, oldest + CHUNK_MINUTES)))
