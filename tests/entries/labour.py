"""Jobs that leave a row behind each time they are done, in a table that belongs to the tests."""

import os
import signal
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import BigId, Database
from smsqueue.queue.job import Job, Policy
from smsqueue.queue.registry import Registry
from smsqueue.queue.runner import Run, Snooze

PATIENT = Policy(tries=5, timeout_seconds=120)
effects = sa.Table(
    "test_effects",
    sa.MetaData(),
    sa.Column("id", BigId, primary_key=True),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("what", sa.String(20), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("worker", sa.Integer, nullable=False),
    mysql_engine="InnoDB",
)


@dataclass(frozen=True, kw_only=True)
class Task(Job):
    """Its effect is a commit of its own, and its end another: a crash between them repeats it."""

    kind, policy = "test.plain", PATIENT
    number: int
    seconds: float = 0


@dataclass(frozen=True, kw_only=True)
class Batched(Task):
    """The same, and it may be repeated: many end by one commit."""

    kind, policy = "test.batched", Policy(tries=5, timeout_seconds=120, repeatable=True)


@dataclass(frozen=True, kw_only=True)
class Safe(Task):
    """Its effect and its end are one commit."""

    kind = "test.safe"


@dataclass(frozen=True, kw_only=True)
class Stumbling(Task):
    """Its first run ends by an error."""

    kind = "test.stumbling"


@dataclass(frozen=True, kw_only=True)
class Hopeless(Task):
    """Every run ends by an error; it is given up after the second, and its hook's effect is in that commit."""

    kind, policy = "test.hopeless", Policy(tries=2)


@dataclass(frozen=True, kw_only=True)
class Hesitant(Task):
    """It puts itself off once."""

    kind = "test.hesitant"


@dataclass(frozen=True, kw_only=True)
class Deadly(Task):
    """It kills its worker at every try."""

    kind, policy = "test.deadly", Policy(tries=3)


@dataclass(frozen=True, kw_only=True)
class Idle(Task):
    """It does nothing and leaves nothing; its end is a commit of its own."""

    kind = "test.idle"


@dataclass(frozen=True, kw_only=True)
class Brief(Task):
    """It does nothing and leaves nothing, and may be repeated."""

    kind, policy = "test.brief", Policy(tries=5, repeatable=True)


def note(session: Session, job: Task, run: Run, what: str = "done") -> None:
    """Write down that a job has had its effect."""
    held = run.claim
    row = {"number": job.number, "what": what, "attempts": held.attempts, "worker": run.lease.worker_id}
    session.execute(sa.insert(effects).values(row))


def _plain(job: Task, run: Run) -> None:
    if job.seconds:
        time.sleep(job.seconds)
    run.database.write(lambda session: note(session, job, run))


def _safe(job: Task, run: Run) -> None:
    def end(session: Session) -> None:
        note(session, job, run)
        run.complete_in(session)

    if job.seconds:
        time.sleep(job.seconds)
    run.database.write(end)


def _stumbling(job: Task, run: Run) -> None:
    if run.claim.attempts == 1:
        raise ValueError("the first step is always wrong")
    _plain(job, run)


def _hopeless(_job: Task, _run: Run) -> None:
    raise ValueError("there is no way to do this")


def _give_up(session: Session, job: Task, _reason: str) -> None:
    session.execute(sa.insert(effects).values(number=job.number, what="given up", attempts=0, worker=0))


def _hesitant(job: Task, run: Run) -> Snooze | None:
    def look(session: Session) -> bool:
        seen = sa.select(effects.c.id).where(effects.c.number == job.number, effects.c.what == "hesitated")
        if session.execute(seen).first():
            return True
        note(session, job, run, "hesitated")
        return False

    if not run.database.write(look):
        return Snooze(0, "not at once")
    _plain(job, run)
    return None


def _deadly(_job: Task, _run: Run) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _idle(job: Task, _run: Run) -> None:
    if job.seconds:
        time.sleep(job.seconds)


def of_version(job_class: type[Task], version: int) -> type[Task]:
    """Return the class as another release of the program has it."""
    return job_class if version == job_class.version else type(job_class.__name__, (job_class,), {"version": version})


def registry(*, version: int = 1) -> Registry:
    """Build the registry of all these jobs, as a program knows them that understands only this version."""
    found = Registry()
    handlers: dict[type[Task], Any] = {
        Task: _plain,
        Batched: _plain,
        Safe: _safe,
        Stumbling: _stumbling,
        Hesitant: _hesitant,
        Deadly: _deadly,
        Idle: _idle,
        Brief: _idle,
    }
    for job_class, handler in handlers.items():
        found.register(of_version(job_class, version), handler)
    found.register(Hopeless, _hopeless, on_failed=_give_up)
    return found


def prepare(database: Database) -> None:
    """Make the table of effects, or empty it."""
    effects.create(database.engine, checkfirst=True)
    database.write(lambda session: session.execute(sa.delete(effects)))
