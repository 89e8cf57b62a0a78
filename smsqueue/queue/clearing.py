"""Waiting jobs that a person deletes: their hooks are told, some at a time, each lot in one transaction."""

from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import Database
from smsqueue.queue.dialects import locking
from smsqueue.queue.dispatch import jobs
from smsqueue.queue.events import emit
from smsqueue.queue.failed import call_hook
from smsqueue.queue.registry import Registry

CHUNK = 1_000
"""So many jobs are deleted by one transaction."""
_waiting = sa.select(jobs.c.id, jobs.c.payload).where(jobs.c.reserved_at.is_(None))
_waiting = _waiting.order_by(jobs.c.priority, jobs.c.group_key, jobs.c.available_at, jobs.c.id)
_held = sa.select(jobs.c.id, jobs.c.payload).where(jobs.c.worker_id.isnot(None)).order_by(jobs.c.worker_id)


def clear(database: Database, registry: Registry, queue: str, *, reserved: bool = False, chunk: int = CHUNK) -> int:
    """Delete the waiting jobs of `queue` (held ones too if `reserved`), tell their hooks, return how many.

    Jobs that come meanwhile stay. When a hook breaks, the lot that it belongs to is left as it was.
    """
    with database.reading() as session:
        last: int = session.scalar(sa.select(sa.func.max(jobs.c.id))) or 0
    total = 0
    try:
        for which in (_waiting, _held) if reserved else (_waiting,):
            some = which.where(jobs.c.queue == queue, jobs.c.id <= last).limit(chunk)
            while gone := database.write(partial(_clear_some, registry=registry, some=some)):
                total += gone
    finally:
        if total:
            emit("jobs.cleared", queue=queue, count=total)
    return total


def _clear_some(session: Session, registry: Registry, some: sa.Select[Any]) -> int:
    # A row that somebody is claiming at this moment is about to be held: it is stepped over.
    rows = session.execute(locking(some, session.get_bind().dialect)).all()
    for row in rows:
        session.execute(sa.delete(jobs).where(jobs.c.id == row.id))
        call_hook(registry, row.payload, "on_cleared", session)
    return len(rows)
