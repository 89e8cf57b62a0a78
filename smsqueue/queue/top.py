"""What goes on at this moment: queues with their pace, workers, and the jobs in their hands. No table is counted."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.queue import history, monitor
from smsqueue.queue.dispatch import SECOND, clock_us, jobs
from smsqueue.queue.history import Pace
from smsqueue.queue.monitor import QueueStatus

LIMIT = 1000
"""How far queues are counted: this is looked at each second."""
SHOWN_JOBS = 20
MINUTES = 15


@dataclass(frozen=True, slots=True)
class Running:
    """A job in a worker's hands."""

    id: int
    kind: str
    queue: str
    worker_id: int
    attempts: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it at one moment."""

    moment: int
    status: QueueStatus
    paces: dict[str, Pace]
    running: list[Running]
    """The ones that are held for the longest time, up to `SHOWN_JOBS`."""


def look(session: Session, queues: Sequence[str]) -> Picture:
    """Look at the queues named and any other with jobs, at workers and running jobs."""
    now = clock_us(session)
    paces = {pace.queue: pace for pace in history.paces(session, MINUTES)}
    return Picture(now, monitor.status(session, queues, limit=LIMIT), paces, _running(session, now))


def _running(session: Session, now: int) -> list[Running]:
    # Not in the order of age by SQL: that would sort everything that is held before the limit.
    columns = (jobs.c.id, jobs.c.kind, jobs.c.queue, jobs.c.worker_id, jobs.c.attempts, jobs.c.reserved_at)
    held = sa.select(*columns).where(jobs.c.worker_id.isnot(None)).order_by(jobs.c.worker_id).limit(LIMIT)
    rows = sorted(session.execute(held), key=lambda row: (row.reserved_at, row.id))[:SHOWN_JOBS]
    return [Running(*row[:5], seconds=max(0.0, (now - row.reserved_at) / SECOND)) for row in rows]
