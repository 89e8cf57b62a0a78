"""The engine's tables. All times in them are integers: microseconds UTC, from the database's clock."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from smsqueue.core.clock import now
from smsqueue.db import Base, BigId, UtcDateTime

ZERO = sa.text("0")
LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def exact_text(length: int) -> sa.String:
    """Make a type for text in which capital letters count, on every database."""
    return sa.String(length).with_variant(mysql.VARCHAR(length, collation="utf8mb4_bin"), "mysql", "mariadb")


class JobRow(Base):
    """A job that waits (`reserved_at` NULL) or is held by a worker; a finished one is deleted."""

    __tablename__ = "jobs"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    queue: Mapped[str] = mapped_column(sa.String(60))
    kind: Mapped[str] = mapped_column(sa.String(60))
    payload: Mapped[str] = mapped_column(LongText)
    priority: Mapped[int] = mapped_column(sa.SmallInteger, default=0)
    attempts: Mapped[int] = mapped_column(sa.SmallInteger, default=0)
    available_at: Mapped[int] = mapped_column(sa.BigInteger)
    created_at: Mapped[int] = mapped_column(sa.BigInteger)
    reserved_at: Mapped[int | None] = mapped_column(sa.BigInteger)
    worker_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    claim_token: Mapped[str | None] = mapped_column(sa.String(32))
    last_error: Mapped[str | None] = mapped_column(sa.String(500))
    exceptions: Mapped[int] = mapped_column(sa.SmallInteger, server_default=ZERO)
    """How many runs ended by an error of the job's own; deaths and timeouts count in `attempts` only."""
    unique_key: Mapped[str | None] = mapped_column(exact_text(190), unique=True)
    """No other job has the same; NULL: there may be any number of them."""
    unique_waiting: Mapped[bool] = mapped_column(server_default=sa.false())
    """The key is given up when the job is claimed, not only when it is over."""
    group_key: Mapped[str] = mapped_column(exact_text(60), server_default="")
    """Whose job it is: groups take turns."""
    group_slot: Mapped[int | None] = mapped_column(sa.SmallInteger)
    """Which of its group's places the job has taken while it is held, where those are limited."""
    tag: Mapped[str | None] = mapped_column(exact_text(40))
    """What it is a part of: by this, jobs are found, put on hold and let go together."""


_free = JobRow.__table__.c.reserved_at.is_(None)
_held = JobRow.__table__.c.worker_id.isnot(None)
sa.Index(
    "ix_jobs_claim",
    JobRow.queue,
    JobRow.priority,
    JobRow.group_key,
    JobRow.available_at,
    JobRow.id,
    postgresql_where=_free,
    sqlite_where=_free,
)
_has_slot = JobRow.__table__.c.group_slot.isnot(None)
sa.Index(
    "ix_jobs_slot",
    JobRow.queue,
    JobRow.group_key,
    JobRow.group_slot,
    unique=True,
    postgresql_where=_has_slot,
    sqlite_where=_has_slot,
)
_has_tag = JobRow.__table__.c.tag.isnot(None)
sa.Index("ix_jobs_tag", JobRow.tag, postgresql_where=_has_tag, sqlite_where=_has_tag)
sa.Index("ix_jobs_worker", JobRow.worker_id, postgresql_where=_held, sqlite_where=_held)


class FailedJob(Base):
    """A job that was given up, with the reason; it can be retried or forgotten."""

    __tablename__ = "failed_jobs"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uuid: Mapped[str] = mapped_column(sa.String(36), unique=True)
    connection: Mapped[str] = mapped_column(sa.String(20), default="database")
    queue: Mapped[str] = mapped_column(sa.String(60))
    payload: Mapped[str] = mapped_column(LongText)
    exception: Mapped[str] = mapped_column(LongText)
    failed_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    kind: Mapped[str] = mapped_column(sa.String(60), server_default="?")
    error: Mapped[str] = mapped_column(sa.String(100), server_default="?")
    """The name of the error's class, to group by."""
    attempts: Mapped[int] = mapped_column(sa.SmallInteger, server_default=ZERO)
    unique_key: Mapped[str | None] = mapped_column(exact_text(190))
    """What it must have to itself again when it is retried; a key given up at the claim is not kept."""
    group_key: Mapped[str] = mapped_column(exact_text(60), server_default="")
    tag: Mapped[str | None] = mapped_column(exact_text(40))

    @property
    def reason(self) -> str:
        """The last line of the traceback: what went wrong."""
        return self.exception.strip().rpartition("\n")[2][:200]


class WorkerRow(Base):
    """A worker process: it lives while `expires_at` lies ahead, and so does its hold on jobs."""

    __tablename__ = "workers"
    __table_args__ = (sa.Index("ix_workers_state", "state", "expires_at"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    host: Mapped[str] = mapped_column(sa.String(100))
    pid: Mapped[int] = mapped_column(sa.Integer)
    queues: Mapped[str] = mapped_column(sa.String(500))
    state: Mapped[str] = mapped_column(sa.String(10), default="running")
    """running, stopped or lost."""
    stop_reason: Mapped[str | None] = mapped_column(sa.String(60))
    is_paused: Mapped[bool] = mapped_column(server_default=sa.false())
    """By a signal: it finishes what it holds and takes nothing."""
    wakeup: Mapped[str] = mapped_column(sa.String(20), server_default="polling")
    """How it learns of new jobs: listening, watching or polling; degraded: it listens and hears nothing."""
    threads: Mapped[int] = mapped_column(sa.SmallInteger, server_default="1")
    memory_mib: Mapped[int] = mapped_column(sa.Integer, server_default=ZERO)
    jobs_done: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    started_at: Mapped[int] = mapped_column(sa.BigInteger)
    heartbeat_at: Mapped[int] = mapped_column(sa.BigInteger)
    expires_at: Mapped[int] = mapped_column(sa.BigInteger)


class ControlRow(Base):
    """What an operator asked of all workers: `restart`, `maintenance`, `pause:*`, `pause:<queue>`."""

    __tablename__ = "controls"

    name: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    value: Mapped[int] = mapped_column(sa.BigInteger)
    """When it was asked."""
    until: Mapped[int | None] = mapped_column(sa.BigInteger)
    """When it ends by itself; NULL: when somebody ends it."""
    reason: Mapped[str] = mapped_column(sa.String(200), server_default="")
    author: Mapped[str] = mapped_column(sa.String(120), server_default="")


class JobStat(Base):
    """What became of the jobs of one kind in one minute, added up by all workers."""

    __tablename__ = "job_stats"

    minute: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    """Minutes since 1970, UTC."""
    queue: Mapped[str] = mapped_column(sa.String(60), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(60), primary_key=True)
    done: Mapped[int] = mapped_column(sa.BigInteger)
    failed: Mapped[int] = mapped_column(sa.BigInteger)
    released: Mapped[int] = mapped_column(sa.BigInteger)
    """Runs after which the job went back: an error with tries left, or put off."""
    wait_us: Mapped[int] = mapped_column(sa.BigInteger)
    """From when it could have run to when it was claimed, of all runs together."""
    wait_max_us: Mapped[int] = mapped_column(sa.BigInteger)
    run_us: Mapped[int] = mapped_column(sa.BigInteger)
    run_max_us: Mapped[int] = mapped_column(sa.BigInteger)


class QueueDepth(Base):
    """How full a queue was at one minute, counted by one worker so that no page has to."""

    __tablename__ = "queue_depths"

    minute: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True, autoincrement=False)
    queue: Mapped[str] = mapped_column(sa.String(60), primary_key=True)
    waiting: Mapped[int] = mapped_column(sa.BigInteger)
    delayed: Mapped[int] = mapped_column(sa.BigInteger)
    reserved: Mapped[int] = mapped_column(sa.BigInteger)
    oldest_us: Mapped[int] = mapped_column(sa.BigInteger)
    """How long the oldest ready job had waited."""
