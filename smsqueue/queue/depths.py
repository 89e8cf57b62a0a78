"""How full the queues are, read from indexes and up to a limit, so that it costs the same however full they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.queue.dispatch import jobs
from smsqueue.queue.models import FailedJob

ENOUGH = 10_000
"""Whoever looks at a queue gets exact numbers up to here."""
FEW = 100
"""A queue with more priorities than this is counted by the most urgent of them."""
_is_free = jobs.c.reserved_at.is_(None)
_queue, _now = sa.bindparam("queue", type_=sa.String), sa.bindparam("now", type_=sa.BigInteger)
_priority = sa.bindparam("priority", type_=sa.Integer)  # below the smallest of them there must be one
_here = (jobs.c.queue == _queue, jobs.c.priority == _priority, _is_free)
_is_due = jobs.c.available_at <= _now
_next_queue = sa.select(jobs.c.queue).where(_is_free, jobs.c.queue > _queue).order_by(jobs.c.queue).limit(1)
_next_priority = (
    sa.select(jobs.c.priority)
    .where(jobs.c.queue == _queue, _is_free, jobs.c.priority > _priority)
    .order_by(jobs.c.priority)
    .limit(1)
)


@dataclass(slots=True)
class Depth:
    """One queue at one moment; `inexact` names the numbers that only say "at least"."""

    waiting: int = 0
    delayed: int = 0
    reserved: int = 0
    oldest: int | None = None
    """Since when the oldest job that could run has waited, microseconds UTC."""
    inexact: tuple[str, ...] = ()


def measure(session: Session, queues: Sequence[str], now: int, limit: int = ENOUGH) -> dict[str, Depth]:
    """Count the jobs of these queues and of any other that holds some: `limit` at most of each sort."""
    reserved = _reserved(session, limit)
    others = {*reserved, *_jump(session, _next_queue, {"queue": ""}, "queue")} - set(queues)
    found = {name: _free_ones(session, name, now, limit) for name in (*queues, *sorted(others))}
    for name, number in reserved.items():
        found[name].reserved = number
    return {name: _capped(depth, limit) for name, depth in found.items()}


def count_all(session: Session, depths: dict[str, Depth], now: int) -> None:
    """Put exact numbers in place of those that only say "at least", by reading the whole index."""
    # MySQL's index holds the held ones, too; to look at each row whether it is one would cost ten times as much.
    has_held = session.get_bind().dialect.name in ("mysql", "mariadb")
    due = sa.func.sum(sa.case((jobs.c.available_at <= now, 1), else_=0))
    counts = sa.select(jobs.c.queue, due.label("due"), sa.func.count().label("all")).group_by(jobs.c.queue)
    for row in session.execute(counts if has_held else counts.where(_is_free)):
        depth = depths.setdefault(row.queue, Depth())
        depth.waiting = max(0, int(row.due) - (depth.reserved if has_held else 0))
        depth.delayed = int(row.all) - int(row.due)
    for depth in depths.values():
        depth.inexact = tuple(name for name in depth.inexact if name == "reserved")


def failures(session: Session, limit: int = ENOUGH) -> dict[str, int]:
    """Count the failed jobs by queue: the newest ones, one more than `limit` at most."""
    return _by_queue(session, sa.select(FailedJob.queue).order_by(FailedJob.id.desc()).limit(limit + 1).subquery())


def _jump(session: Session, statement: sa.Select[Any], place: dict[str, Any], name: str) -> Iterator[Any]:
    """Go from one value in the index to the next larger one, instead of reading all entries for the few values."""
    while (following := session.execute(statement, place).scalar()) is not None:
        yield following
        place = {**place, name: following}


def _reserved(session: Session, limit: int) -> dict[str, int]:
    # In the order of the index: else PostgreSQL may look for the few of them in the whole table.
    held = sa.select(jobs.c.queue).where(jobs.c.worker_id.isnot(None)).order_by(jobs.c.worker_id).limit(limit + 1)
    return _by_queue(session, held.subquery())


def _by_queue(session: Session, rows: sa.Subquery) -> dict[str, int]:
    counts = sa.select(rows.c.queue, sa.func.count()).group_by(rows.c.queue)
    return {row[0]: row[1] for row in session.execute(counts)}


def _free_ones(session: Session, queue: str, now: int, limit: int) -> Depth:
    depth = Depth()
    lowest = {"queue": queue, "priority": -(2**15) - 1}
    for seen, priority in enumerate(_jump(session, _next_priority, lowest, "priority")):
        if seen == FEW:
            depth.inexact = ("waiting", "delayed")
            break
        row = session.execute(_counts(limit), {"queue": queue, "priority": priority, "now": now}).one()
        depth.waiting += row.waiting
        depth.delayed += row.delayed
        if row.oldest is not None:
            depth.oldest = min(row.oldest, depth.oldest or row.oldest)
    return depth


def _counts(limit: int) -> sa.Select[Any]:
    in_order = sa.select(jobs.c.available_at).where(*_here).order_by(jobs.c.available_at)  # of the index, as above
    due, later = (
        sa.select(sa.func.count()).select_from(in_order.where(condition).limit(limit + 1).subquery()).scalar_subquery()
        for condition in (_is_due, jobs.c.available_at > _now)
    )
    oldest = in_order.where(_is_due).limit(1)
    return sa.select(due.label("waiting"), later.label("delayed"), oldest.scalar_subquery().label("oldest"))


def _capped(depth: Depth, limit: int) -> Depth:
    for name in ("waiting", "delayed", "reserved"):
        if getattr(depth, name) > limit:
            setattr(depth, name, limit)
            depth.inexact = (*depth.inexact, name)
    return depth
