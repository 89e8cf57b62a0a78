"""What became of jobs, by the minute: kept by workers as they go, so that nobody has to count big tables later."""

from threading import Lock
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from smsqueue.db import Database, first_line, table_of
from smsqueue.queue.claim import Claim
from smsqueue.queue.dispatch import SECOND
from smsqueue.queue.events import emit
from smsqueue.queue.models import JobStat
from smsqueue.queue.upsert import upsert

stats = table_of(JobStat)
MINUTE = 60 * SECOND
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
