"""Worker processes as rows: registering, beating, and telling the dead from the living."""

import os
import socket
import time
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import changed, insert_row, table_of
from smsqueue.queue.claim import free_jobs_of
from smsqueue.queue.dialects import locking, now_us
from smsqueue.queue.dispatch import SECOND, jobs
from smsqueue.queue.models import WorkerRow

workers = table_of(WorkerRow)
is_running = workers.c.state == "running"
"""Nobody has said otherwise; its lease may have run out."""
_is_held = sa.exists().where(workers.c.id == jobs.c.worker_id, is_running)
_expired = sa.select(workers.c.id).where(is_running, workers.c.expires_at < now_us())
_holders_without_lease = sa.select(jobs.c.worker_id).distinct().where(jobs.c.worker_id.isnot(None), ~_is_held)
# A clock that goes on while the process is stopped (and the machine asleep, where the system has such a clock).
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady() -> float:
    """Seconds on a clock that nobody can set and that runs while this process is stopped."""
    return time.clock_gettime(_CLOCK)


def register(session: Session, queues: Sequence[str], lease_seconds: float, **words: Any) -> int:
    """Write down this process as a worker, with what it says of itself (columns), and return its id."""
    values = {
        "host": socket.gethostname()[:100],
        "pid": os.getpid(),
        "queues": ",".join(queues)[:500],
        "state": "running",
        "jobs_done": 0,
        "started_at": now_us(),
        "heartbeat_at": now_us(),
        "expires_at": now_us() + round(lease_seconds * SECOND),
        **words,
    }
    return insert_row(session, workers, values)


def beat(session: Session, worker_id: int, lease_seconds: float, jobs_done: int = 0, **words: Any) -> bool:
    """Renew the lease on everything this worker holds; False: it was declared lost and holds nothing any more.

    `words` are what it says of itself: columns and their values.
    """
    statement = (
        sa.update(workers)
        .where(workers.c.id == worker_id, is_running)
        .values(
            heartbeat_at=now_us(), expires_at=now_us() + round(lease_seconds * SECOND), jobs_done=jobs_done, **words
        )
    )
    return changed(session, statement) == 1


def sign_off(session: Session, worker_id: int, reason: str, jobs_done: int) -> None:
    """Write down that this worker stopped, and why; what it still held is free at once."""
    session.execute(
        sa.update(workers)
        .where(workers.c.id == worker_id, is_running)
        .values(state="stopped", stop_reason=reason[:60], jobs_done=jobs_done, expires_at=now_us())
    )
    free_jobs_of(session, [worker_id])


def bury_expired(session: Session) -> list[int]:
    """Declare workers lost whose lease ran out, free what dead workers hold, and return the ids of the former."""
    dead = list(session.execute(locking(_expired, session.get_bind().dialect)).scalars())
    if dead:
        bury(session, dead, "lease ran out")
    # A worker that was frozen may have taken jobs before it noticed that it is lost.
    zombies = session.execute(_holders_without_lease).scalars().all()
    if zombies:
        free_jobs_of(session, zombies)
    return dead


def bury(session: Session, worker_ids: Sequence[int], reason: str) -> int:
    """Declare these workers lost and free their jobs; return how many jobs that were."""
    lost = sa.update(workers).where(workers.c.id.in_(worker_ids), is_running)
    session.execute(lost.values(state="lost", stop_reason=reason[:60]))
    return free_jobs_of(session, worker_ids)
