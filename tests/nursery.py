"""Workers that are killed at the n-th thing that happens to them, and the books that are checked afterwards."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import Database
from smsqueue.queue import testing
from smsqueue.queue.dispatch import enqueue
from smsqueue.queue.models import FailedJob, JobRow, WorkerRow
from tests.entries import labour
from tests.entries.labour import Batched, Hesitant, Hopeless, Safe, Stumbling, Task
from tests.outside import ROOT
from tests.processes import NOISE

LEASE_SECONDS = 60
KILLED = -9
WORK = (
    *(Batched(number=number) for number in range(4)),
    *(Task(number=number) for number in (10, 11)),
    *(Safe(number=number) for number in (20, 21)),
    Stumbling(number=30),
    Hopeless(number=40),
    Hesitant(number=50),
)
ONCE = {20: "done", 21: "done", 40: "given up"}
"""Jobs whose effect is in the commit that ends them."""
BATCH = {0, 1, 2, 3}
"""Jobs that may be repeated: a crash repeats those that wait to be deleted together, and one other at most."""


class Nursery:
    """A process that bears workers, on one database: `with Nursery(store, url) as nursery: nursery.bear(7)`."""

    def __init__(self, store: Database, url: str) -> None:
        self.store, self.url = store, url
        self.registry = labour.registry()

    def __enter__(self) -> Self:
        labour.prepare(self.store)
        kept = {name: value for name, value in os.environ.items() if not name.startswith(NOISE)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.entries.nursery"],
            cwd=ROOT,
            env={**kept, "DATABASE_URL": self.url},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=30)

    def bear(self, at: int) -> dict[str, Any]:
        """Let a worker live until the `at`-th thing that happens to it; its exit code, and where it died."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(f"{at}\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found

    def begin(self, work: Sequence[Task]) -> None:
        """Queue these jobs, and nothing else is there."""
        for model in (JobRow, FailedJob, WorkerRow):
            self.store.write(partial(Session.execute, statement=sa.delete(model)))
        labour.prepare(self.store)
        for job in work:
            self.store.write(partial(enqueue, job=job))

    def kill_one(self, at: int) -> str | None:
        """Queue the work, kill its worker at this point, let another finish, check the books.

        Returns where it died; None when it lived, because less than that happens to it.
        """
        self.begin(WORK)
        end = self.bear(at)
        assert end["code"] in (KILLED, 0), end
        try:
            self._check_what_is_left(was_killed=end["code"] == KILLED)
            testing.travel(self.store, LEASE_SECONDS + 1)
            testing.drain(self.store, self.registry, ["default"])
            self._check_the_books()
        except AssertionError as problem:
            problem.add_note(f"killed at point {at}: {end['at']}")
            raise
        return str(end["at"]) if end["code"] == KILLED else None

    def effects(self) -> list[Any]:
        """All effects, oldest first."""
        with self.store.reading() as session:
            return list(session.execute(sa.select(labour.effects).order_by(labour.effects.c.id)).all())

    def failed(self) -> list[FailedJob]:
        """All jobs that were given up."""
        with self.store.reading() as session:
            return list(session.scalars(sa.select(FailedJob)))

    def _check_what_is_left(self, *, was_killed: bool) -> None:
        """A job is free, or held by the worker that is gone; nothing is half done."""
        rows, states = self._jobs(), self._states()
        for row in rows:
            facts = (row.reserved_at, row.worker_id, row.claim_token)
            assert all(fact is None for fact in facts) or None not in facts
            assert 0 <= row.attempts <= 2
        assert was_killed or (not rows and states == ["stopped"])

    def _check_the_books(self) -> None:
        """Everything is done, what may not be repeated was not, and nobody else has paid for the kill."""
        assert self._jobs() == []
        assert set(self._states()) <= {"stopped", "lost"}
        rows = self.effects()
        done = [row for row in rows if row.what != "hesitated"]
        counts = Counter(row.number for row in done)
        assert set(counts) == {job.number for job in WORK}
        assert {row.number: row.what for row in done if row.number in ONCE} == ONCE
        assert all(counts[number] == 1 for number in ONCE)
        assert max(counts.values()) <= 2
        repeated = {number for number, count in counts.items() if count > 1}
        assert len(repeated - BATCH) <= 1
        usual = {30: 2}
        assert all(row.attempts <= usual.get(row.number, 1) + 1 for row in done), rows
        assert [row.kind for row in self.failed()] == [Hopeless.kind]

    def _jobs(self) -> list[JobRow]:
        with self.store.reading() as session:
            return list(session.scalars(sa.select(JobRow)))

    def _states(self) -> list[str]:
        with self.store.reading() as session:
            return list(session.scalars(sa.select(WorkerRow.state)))
