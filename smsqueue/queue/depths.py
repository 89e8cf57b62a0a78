"""How full the queues are, read from indexes and up to a limit, so that it costs the same however full they are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.queue.claim import MOST_URGENT
from smsqueue.queue.dialects import MYSQL_NAMES
from smsqueue.queue.dispatch import jobs
from smsqueue.queue.models import FailedJob

ENOUGH = 10_000
"""Whoever looks at a queue gets exact numbers up to here."""
FEW = 30
"""A full queue with more lanes (a priority and a group) than this is counted by the first of them."""
_is_free = jobs.c.reserved_at.is_(None)
_queue, _now = sa.bindparam("queue", type_=sa.String), sa.bindparam("now", type_=sa.BigInteger)
_group = sa.bindparam("group", type_=sa.String)
_priority = sa.bindparam("priority", type_=sa.Integer)  # below the smallest of them there must be one
_lane = (jobs.c.priority, jobs.c.group_key)
_is_due = jobs.c.available_at <= _now
_free_here = sa.select(*_lane).where(jobs.c.queue == _queue, _is_free).order_by(*_lane).limit(1)
_next_group = _free_here.where(jobs.c.priority == _priority, jobs.c.group_key > _group)
_next_priority = _free_here.where(jobs.c.priority > _priority)
_next_queue = sa.select(jobs.c.queue).where(_is_free, jobs.c.queue > _queue).order_by(jobs.c.queue).limit(1)
# In the order of the index, here and below: else PostgreSQL may look for the few rows in the whole table.
_in_lane = (
    sa.select(jobs.c.available_at)
    .where(jobs.c.queue == _queue, jobs.c.priority == _priority, jobs.c.group_key == _group, _is_free)
    .order_by(jobs.c.available_at)
)
_in_queue = sa.select(jobs.c.available_at).where(jobs.c.queue == _queue, _is_free).order_by(*_lane, jobs.c.available_at)


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
    others = {*reserved, *_queues(session)} - set(queues)
    found = {name: _free_ones(session, name, now, limit) for name in (*queues, *sorted(others))}
    for name, number in reserved.items():
        found[name].reserved = number
    return {name: _capped(depth, limit) for name, depth in found.items()}


def count_all(session: Session, depths: dict[str, Depth], now: int) -> None:
    """Put exact numbers in place of those that only say "at least", by reading the whole index."""
    # MySQL's index holds the held ones, too; to look at each row whether it is one would cost ten times as much.
    has_held = session.get_bind().dialect.name in MYSQL_NAMES
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


def _queues(session: Session) -> Iterator[str]:
    """Go from one queue in the index to the next, instead of reading all entries for the few names."""
    name = ""
    while found := session.execute(_next_queue, {"queue": name}).scalar():
        name = found
        yield name


def _lanes(session: Session, queue: str) -> Iterator[dict[str, Any]]:
    """Go from one lane of a queue to the next, in the same way."""
    place: dict[str, Any] = {"queue": queue, "priority": MOST_URGENT - 1, "group": ""}
    while True:
        row = session.execute(_next_group, place).first() or session.execute(_next_priority, place).first()
        if row is None:
            return
        place = {"queue": queue, "priority": row.priority, "group": row.group_key}
        yield place


def _reserved(session: Session, limit: int) -> dict[str, int]:
    held = sa.select(jobs.c.queue).where(jobs.c.worker_id.isnot(None)).order_by(jobs.c.worker_id).limit(limit + 1)
    return _by_queue(session, held.subquery())


def _by_queue(session: Session, rows: sa.Subquery) -> dict[str, int]:
    counts = sa.select(rows.c.queue, sa.func.count()).group_by(rows.c.queue)
    return {row[0]: row[1] for row in session.execute(counts)}


def _free_ones(session: Session, queue: str, now: int, limit: int) -> Depth:
    """Count all of a queue that is not too full, else lane by lane up to the limit."""
    row = session.execute(_all_of(limit), {"queue": queue, "now": now}).one()
    if row.number <= limit:
        return Depth(int(row.due or 0), row.number - int(row.due or 0), oldest=row.oldest)
    depth = Depth()
    for seen, lane in enumerate(_lanes(session, queue)):
        if seen == FEW:
            depth.inexact = ("waiting", "delayed")
            break
        found = session.execute(_counts(limit), {**lane, "now": now}).one()
        depth.waiting += found.waiting
        depth.delayed += found.delayed
        if found.oldest is not None:
            depth.oldest = min(found.oldest, depth.oldest or found.oldest)
    return depth


def _all_of(limit: int) -> sa.Select[int, Any, Any]:
    some = _in_queue.limit(limit + 1).subquery()
    is_due = some.c.available_at <= _now
    due = sa.func.sum(sa.case((is_due, 1), else_=0)).label("due")
    oldest = sa.func.min(sa.case((is_due, some.c.available_at))).label("oldest")
    return sa.select(sa.func.count().label("number"), due, oldest).select_from(some)


def _counts(limit: int) -> sa.Select[Any]:
    due, later = (
        sa.select(sa.func.count()).select_from(_in_lane.where(condition).limit(limit + 1).subquery()).scalar_subquery()
        for condition in (_is_due, jobs.c.available_at > _now)
    )
    oldest = _in_lane.where(_is_due).limit(1).scalar_subquery()
    return sa.select(due.label("waiting"), later.label("delayed"), oldest.label("oldest"))


def _capped(depth: Depth, limit: int) -> Depth:
    for name in ("waiting", "delayed", "reserved"):
        if getattr(depth, name) > limit:
            setattr(depth, name, limit)
            depth.inexact = tuple(dict.fromkeys((*depth.inexact, name)))
    return depth
