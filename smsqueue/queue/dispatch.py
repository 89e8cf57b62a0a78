"""Putting jobs into the queue, in the caller's transaction."""

from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import insert_row, table_of
from smsqueue.queue.dialects import now_us
from smsqueue.queue.job import Job
from smsqueue.queue.models import JobRow

jobs = table_of(JobRow)
SECOND = 1_000_000
"""The engine counts time in microseconds."""


def clock_us(session: Session) -> int:
    """Read the database's clock."""
    return session.execute(sa.select(now_us())).scalar_one()


def enqueue(session: Session, job: Job, *, delay_seconds: float = 0, priority: int | None = None) -> int:
    """Put `job` into its queue and return its id. It exists when, and only when, the caller's transaction commits."""
    now = clock_us(session)
    return insert_row(session, jobs, _row(job, now, now + round(delay_seconds * SECOND), priority))


def enqueue_many(session: Session, many: Iterable[Job]) -> int:
    """Put `many` jobs into their queues in one statement and return how many."""
    now = clock_us(session)
    rows = [_row(job, now, now, None) for job in many]
    if rows:
        session.execute(sa.insert(jobs), rows)
    return len(rows)


def _row(job: Job, now: int, available_at: int, priority: int | None) -> dict[str, Any]:
    return {
        "uuid": str(uuid4()),
        "queue": job.queue,
        "kind": job.kind,
        "payload": job.to_payload(),
        "priority": job.priority if priority is None else priority,
        "attempts": 0,
        "available_at": available_at,
        "created_at": now,
    }
