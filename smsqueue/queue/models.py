"""The engine's tables. All times in them are integers: microseconds UTC, from the database's clock."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from smsqueue.core.clock import now
from smsqueue.db import Base, BigId, UtcDateTime

LongText = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


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


_free = JobRow.__table__.c.reserved_at.is_(None)
_held = JobRow.__table__.c.worker_id.isnot(None)
sa.Index(
    "ix_jobs_claim",
    JobRow.queue,
    JobRow.priority,
    JobRow.available_at,
    JobRow.id,
    postgresql_where=_free,
    sqlite_where=_free,
)
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
    jobs_done: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    started_at: Mapped[int] = mapped_column(sa.BigInteger)
    heartbeat_at: Mapped[int] = mapped_column(sa.BigInteger)
    expires_at: Mapped[int] = mapped_column(sa.BigInteger)


class ControlRow(Base):
    """What an operator asked of all workers, e.g. `restart` with the time it was asked."""

    __tablename__ = "controls"

    name: Mapped[str] = mapped_column(sa.String(80), primary_key=True)
    value: Mapped[int] = mapped_column(sa.BigInteger)
