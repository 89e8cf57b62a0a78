"""Small jobs, and a bench to run them on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import Database
from smsqueue.queue import claim as claims
from smsqueue.queue import events, workers
from smsqueue.queue.claim import Claim
from smsqueue.queue.dispatch import SECOND, enqueue, jobs
from smsqueue.queue.job import Job, Policy
from smsqueue.queue.lease import Lease
from smsqueue.queue.models import FailedJob, JobRow, WorkerRow
from smsqueue.queue.order import Order
from smsqueue.queue.registry import Registry
from smsqueue.queue.runner import Runner
from smsqueue.queue.stops import Stops
from smsqueue.queue.worker import Ending, Options, Worker

Behaviour = Callable[..., Any]


@dataclass(frozen=True, kw_only=True)
class Note(Job):
    """An ordinary job: three tries, each finished by a commit of its own."""

    kind, policy = "test.note", Policy(tries=3, backoff=(5, 60), timeout_seconds=30)
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class Quick(Job):
    """A job that may be repeated, so that many are finished by one commit."""

    kind, policy = "test.quick", Policy(tries=3, repeatable=True)
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class Later(Job):
    """A job of the queue that workers ask last."""

    kind, queue = "test.later", "later"
    number: int = 0


@dataclass
class Bench:
    """A database with a registry, and short ways to put jobs in, take them, run them and look at them."""

    store: Database
    registry: Registry = field(default_factory=Registry)
    stops: Stops = field(default_factory=Stops)
    ran: list[int] = field(default_factory=list)
    """The numbers of the jobs that `note` ran, in their order."""
    happened: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for kind in (Note, Quick, Later):
            self.handle(kind, self.note)

    def note(self, job: Any, _run: Any) -> None:
        """Run a job by writing down its number."""
        self.ran.append(job.number)

    def handle(self, job_class: type[Job], behaviour: Behaviour, **more: Any) -> None:
        """Let `behaviour(job, run)` run jobs of this class."""
        self.registry.register(job_class, behaviour, **more)

    def put(self, *many: Job, delay: float = 0, priority: int | None = None) -> list[int]:
        """Queue jobs, each in a transaction of its own, and return their ids."""
        put = partial(enqueue, delay=delay, priority=priority)
        return [self.store.write(partial(put, job=job)) for job in many]

    def worker(self, lease_seconds: float = 60) -> int:
        """Register a worker and return its id."""
        return self.store.write(lambda session: workers.register(session, ["default"], lease_seconds))

    def take(self, limit: int = 1, *, queue: str = "default", worker: int | None = None) -> list[Claim]:
        """Claim jobs for a worker (a new one if none is named)."""
        worker_id = worker or self.worker()
        return self.store.write(lambda session: claims.claim(session, worker_id, queue, limit))

    def runner(self, worker: int | None = None) -> Runner:
        """Build what runs claimed jobs, with a heartbeat that does not beat by itself."""
        lease = Lease(self.store, worker or self.worker(), 60, 10)
        return Runner(self.registry, self.store, lease, self.stops, Order(["default", "later"], 30))

    def run_one(self, queue: str = "default") -> bool:
        """Claim one job and run it; what the runner says."""
        (held,) = self.take(queue=queue)
        return self.runner().run(held)

    def work(self, queues: Sequence[str] = ("default", "later"), **options: Any) -> Ending:
        """Let a worker of this process run what is ready."""
        options = {"memory_mib": 0, "sleep": 0.01, **options}
        return Worker(self.store, self.registry, Options(queues, **options), self.stops).run()

    def rows(self) -> list[JobRow]:
        """All jobs in the queue, oldest first."""
        with self.store.reading() as session:
            return list(session.scalars(sa.select(JobRow).order_by(JobRow.id)))

    def row(self) -> JobRow:
        """The only job in the queue."""
        (row,) = self.rows()
        return row

    def failed(self) -> list[FailedJob]:
        """All jobs that were given up."""
        with self.store.reading() as session:
            return list(session.scalars(sa.select(FailedJob).order_by(FailedJob.id)))

    def crew(self) -> dict[int, WorkerRow]:
        """All workers by id."""
        with self.store.reading() as session:
            return {row.id: row for row in session.scalars(sa.select(WorkerRow))}

    def execute(self, statement: sa.Executable) -> None:
        """Change something behind the engine's back."""
        self.store.write(lambda session: session.execute(statement))

    def let_pass(self, seconds: float) -> None:
        """Make every waiting job as much older."""
        self.execute(sa.update(jobs).values(available_at=jobs.c.available_at - round(seconds * SECOND)))

    def expire(self, *worker_ids: int) -> None:
        """Let the leases of these workers have run out."""
        self.execute(sa.update(workers.workers).where(workers.workers.c.id.in_(worker_ids)).values(expires_at=1))

    def events(self, name: str) -> list[dict[str, Any]]:
        """The facts of every event of that name."""
        return [facts for event, facts in self.happened if event == name]

    def listen(self) -> Callable[[], None]:
        """Begin to write down events; the returned function ends that."""
        return events.on(lambda event, facts: self.happened.append((event, facts)))


def numbers(claimed: Sequence[Claim], registry: Registry) -> list[int]:
    """Return the numbers of the jobs that were claimed."""
    return [registry.job(held.payload).number for held in claimed]  # type: ignore[attr-defined]  # all test jobs have one


def refuse(*_: Any) -> None:
    """Be a hook that says no."""
    raise Refused("not now")


class Refused(Exception):
    """What `refuse` raises."""


def session_of(store: Database) -> Session:
    """Open a session that holds the database's write lock where there is one."""
    return Session(store.engine.execution_options(immediate=True))
