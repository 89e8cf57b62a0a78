"""A drill's own jobs and books: harmless work whose every run leaves a row, so that it can be counted afterwards."""

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import changed, table_of
from smsqueue.queue.control import controls
from smsqueue.queue.dialects import now_us
from smsqueue.queue.dispatch import jobs
from smsqueue.queue.job import Job, Policy
from smsqueue.queue.models import FailedJob, JobStat, QueueDepth
from smsqueue.queue.registry import Registry
from smsqueue.queue.runner import Run
from smsqueue.queue.workers import workers

MARK = "drill:"
"""Begins the names of the rows in `controls` that runs leave."""


@dataclass(frozen=True, kw_only=True)
class DrillOnceJob(Job):
    """Its row and its end are one commit: it counts exactly once, however often it was begun."""

    kind, policy = "drill.once", Policy(tries=0, timeout_seconds=60)
    drill: str
    number: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class DrillAgainJob(Job):
    """Finished in batches, after its row was committed: a crash may repeat those of a batch."""

    kind, policy = "drill.again", Policy(tries=0, timeout_seconds=60, repeatable=True)
    drill: str
    number: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Books:
    """What is on disk after a drill: how often each job's row is there, and what is left of the jobs."""

    once: Counter[int]
    again: Counter[int]
    left: int
    failed: int

    def lost(self, each: int) -> int:
        """Count the jobs without a row, of `each` of both kinds; those that are left or failed are lost, too."""
        return 2 * each - len(self.once) - len(self.again)

    @property
    def twice(self) -> int:
        """Count the jobs that ended exactly once by what is promised, and did not."""
        return sum(count > 1 for count in self.once.values())

    @property
    def repeated(self) -> int:
        """Count the runs of the other jobs beyond the first."""
        return sum(count - 1 for count in self.again.values())


def register(registry: Registry) -> None:
    """Tell a registry the drill's jobs; every worker knows them, only a drill's own are asked to run them."""
    registry.register(DrillOnceJob, _once)
    registry.register(DrillAgainJob, _again)


def queue_of(drill: str) -> str:
    """Name the drill's own queue."""
    return f"drill-{drill}"


def make_jobs(drill: str, each: int, seconds: float) -> list[Job]:
    """Make as many jobs of each kind, in turns, for the drill's own queue."""
    made: list[Job] = []
    for number in range(each):
        for job_class in (DrillOnceJob, DrillAgainJob):
            ours: Any = type(job_class.__name__, (job_class,), {"queue": queue_of(drill)})
            made.append(ours(drill=drill, number=number, seconds=seconds))
    return made


def _once(job: DrillOnceJob, run: Run) -> None:
    time.sleep(job.seconds)

    def end(session: Session) -> None:
        _note(session, "once", job, run)
        run.complete_in(session)

    run.database.write(end)


def _again(job: DrillAgainJob, run: Run) -> None:
    time.sleep(job.seconds)
    run.database.write(lambda session: _note(session, "again", job, run))


def _note(session: Session, kind: str, job: DrillOnceJob | DrillAgainJob, run: Run) -> None:
    name = f"{MARK}{job.drill}:{kind}:{job.number}:{run.claim.token}"
    session.execute(sa.insert(controls).values(name=name, value=now_us()))


def read_books(session: Session, drill: str) -> Books:
    """Count what the drill has left on disk."""
    counted: dict[str, Counter[int]] = {"once": Counter(), "again": Counter()}
    for name in session.scalars(sa.select(controls.c.name).where(controls.c.name.startswith(f"{MARK}{drill}:"))):
        _, _, kind, number, _ = name.split(":")
        counted[kind][int(number)] += 1
    return Books(
        counted["once"],
        counted["again"],
        _count(session, jobs, drill),
        _count(session, table_of(FailedJob), drill),
    )


def _count(session: Session, table: sa.Table, drill: str) -> int:
    mine = sa.select(sa.func.count()).where(table.c.queue == queue_of(drill))
    return session.execute(mine).scalar_one()


def sweep(session: Session, drill: str) -> int:
    """Delete every row of the drill, wherever it lies, and return how many that were."""
    queue = queue_of(drill)
    tables = [jobs, *(table_of(model) for model in (FailedJob, JobStat, QueueDepth))]
    theirs = [sa.delete(table).where(table.c.queue == queue) for table in tables]
    theirs.append(sa.delete(workers).where(workers.c.queues == queue))
    theirs.append(sa.delete(controls).where(controls.c.name.startswith(f"{MARK}{drill}:")))
    return sum(changed(session, statement) for statement in theirs)
