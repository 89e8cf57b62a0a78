"""For tests: look what is queued, let time pass, and run what is ready here and now, without processes."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import Database
from smsqueue.queue.control import controls
from smsqueue.queue.dispatch import SECOND, jobs
from smsqueue.queue.job import Job
from smsqueue.queue.registry import Registry, parts_of
from smsqueue.queue.stops import Stops
from smsqueue.queue.worker import Ending, Options, Worker
from smsqueue.queue.workers import workers

J = TypeVar("J", bound=Job)
_TIMES: dict[sa.Table, tuple[str, ...]] = {
    jobs: ("available_at", "created_at", "reserved_at"),
    workers: ("started_at", "heartbeat_at", "expires_at"),
    controls: ("value", "until"),
}


def drain(database: Database, registry: Registry, queues: Sequence[str], **options: Any) -> Ending:
    """Run every job that is ready, in this process, until none is left."""
    worker = Worker(database, registry, Options(queues, memory_mib=0, **options), Stops())
    return worker.run()


def enqueued(session: Session, job_class: type[J], **fields: Any) -> list[J]:
    """Return the jobs of this class in the queue, waiting or held, whose fields are as given; oldest first."""
    payloads = session.execute(sa.select(jobs.c.payload).where(jobs.c.kind == job_class.kind).order_by(jobs.c.id))
    found = [job_class.from_data(parts_of(payload)[2]) for payload in payloads.scalars()]
    return [job for job in found if fields.items() <= asdict(job).items()]


def assert_enqueued(session: Session, job_class: type[J], **fields: Any) -> J:
    """Return the one job of this class with these fields that is in the queue; fail when it is not exactly one."""
    found = enqueued(session, job_class, **fields)
    if len(found) != 1:
        wanted = ", ".join(f"{name}={value!r}" for name, value in fields.items())
        there = enqueued(session, job_class)
        raise AssertionError(f"{len(found)} jobs {job_class.__name__}({wanted}) are queued, not one; there are {there}")
    return found[0]


def travel(database: Database, seconds: float) -> None:
    """Let time pass for the queue: everything in its tables gets older by `seconds`.

    Real processes see it, too. Whoever must beat to stay alive has not beaten meanwhile: a journey longer than
    the lease makes every worker look dead.
    """
    past = round(seconds * SECOND)

    def move(session: Session) -> None:
        for table, names in _TIMES.items():
            session.execute(sa.update(table).values({name: table.c[name] - past for name in names}))

    database.write(move)
