"""Taking jobs, holding them, giving them back. Whoever took a job proves it by the claim's token."""

import secrets
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.errors import SmsQueueError
from smsqueue.db import Database, changed
from smsqueue.queue.dialects import (
    MYSQL_NAMES,
    among,
    by_claim_index,
    can_walk,
    delete_one,
    locking,
    next_priority,
    now_us,
    walk_of_priorities,
)
from smsqueue.queue.dispatch import SECOND, jobs
from smsqueue.queue.groups import Groups

Statement = TypeVar("Statement", sa.Update, sa.Delete)
MOST_URGENT, LOWEST = -(2**15), 2**15 - 1
"""The smallest and the largest priority number there is."""
_FACTS = ("id", "uuid", "queue", "kind", "payload", "attempts", "priority", "available_at", "created_at", "exceptions")
_columns = tuple(jobs.c[name] for name in _FACTS)
_lane = (
    jobs.c.queue == sa.bindparam("queue"),
    jobs.c.priority == sa.bindparam("priority"),
    jobs.c.group_key == sa.bindparam("group"),
    jobs.c.reserved_at.is_(None),
    jobs.c.available_at <= now_us(),
)
_candidates = by_claim_index(
    sa.select(*_columns, jobs.c.unique_waiting, now_us().label("now"))
    .where(*_lane)
    .order_by(jobs.c.available_at, jobs.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer)),
    jobs,
)
_is_due = by_claim_index(sa.select(sa.literal(1)).where(*_lane).limit(1), jobs)
_next_level = next_priority(jobs)
_levels = walk_of_priorities(jobs)
# Of the jobs in the parameter `ids`; see `_those`.
_take = sa.update(jobs).values(
    reserved_at=now_us(),
    attempts=jobs.c.attempts + 1,
    worker_id=sa.bindparam("worker"),
    claim_token=sa.bindparam("token"),
    unique_key=sa.case((jobs.c.unique_waiting, sa.null()), else_=jobs.c.unique_key),
)
_take_place = _take.values(group_slot=sa.bindparam("place"))
_mine = jobs.c.claim_token == sa.bindparam("token")
_FREE = {"reserved_at": None, "worker_id": None, "claim_token": None, "group_slot": None}
_finish = sa.delete(jobs).where(_mine)
_hand_back = sa.update(jobs).where(_mine).values(**_FREE, attempts=jobs.c.attempts - 1)
_progress = sa.update(jobs).where(_mine).values(attempts=1)


class LeaseLost(SmsQueueError):
    """Another worker may hold this job by now: nothing of it was changed."""

    def __init__(self, job_id: int) -> None:
        super().__init__(f"job {job_id} is not held by this worker any more")
        self.job_id = job_id


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's hold on one job. `attempts` counts this run; times are in microseconds, by the database's clock."""

    id: int
    uuid: str
    queue: str
    kind: str
    payload: str
    attempts: int
    priority: int
    available_at: int
    created_at: int
    exceptions: int
    claimed_at: int
    token: str


def claim(session: Session, worker_id: int, queue: str, limit: int, *, ceiling: int | None = None) -> list[Claim]:
    """Take up to `limit` ready jobs of `queue`: smallest priority number first, then the oldest.

    `ceiling` is the largest priority number to look at. A job that was claimed before comes alone, so that one which
    kills its worker meets only itself.
    """
    return claim_of(session, worker_id, queue, limit, priorities(session, queue, ceiling=ceiling))


def claim_of(
    session: Session, worker_id: int, queue: str, limit: int, levels: Iterable[int], *, groups: Groups | None = None
) -> list[Claim]:
    """Take jobs as `claim` does, of these priorities only, in this order; within each, groups take turns."""
    groups, found, by = groups or Groups(), list[Claim](), (worker_id, secrets.token_hex(16))
    for level in levels:
        for group, places in groups.due(session, queue, level):
            lane = {"queue": queue, "priority": level, "group": group}
            most = limit - len(found) if places is None else min(len(places), limit - len(found))
            rows = _reserve(session, _ready_rows(session, lane | {"limit": most}, is_first=not found), by, places)
            if rows:
                found += (_claim(row, by[1]) for row in rows)
                groups.note(queue, level, group)
            if found and (len(found) >= limit or _comes_alone(rows[0] if rows else None)):
                return found
    return found


def find(session: Session, job_id: int, token: str) -> Claim | None:
    """Return the claim that this token proves; None when it is over."""
    mine = sa.select(*_columns, jobs.c.reserved_at, jobs.c.claim_token).where(jobs.c.id == job_id)
    row = session.execute(mine.where(jobs.c.claim_token == token)).first()
    return Claim(*cast("Any", row)) if row else None


def priorities(session: Session, queue: str, *, ceiling: int | None = None) -> list[int]:
    """Return the distinct priorities of what waits in `queue`, ready or not, the most urgent first."""
    # Jumps from one to the next in the index: what waits is not counted, however much it is.
    bounds = {"queue": queue, "ceiling": LOWEST if ceiling is None else ceiling}
    if can_walk(session.get_bind().dialect):
        return list(session.execute(_levels, bounds).scalars())
    found, after = list[int](), MOST_URGENT - 1
    while (level := session.execute(_next_level, bounds | {"after": after}).scalar()) is not None:
        found.append(after := level)
    return found


def is_any_ready(session: Session, queue: str, levels: Iterable[int], groups: Groups | None = None) -> bool:
    """Say whether a job of one of these priorities could be claimed."""
    groups = groups or Groups()
    return any(
        session.execute(_is_due, {"queue": queue, "priority": level, "group": group}).first()
        for level in levels
        for group, _ in groups.due(session, queue, level)
    )


def _ready_rows(session: Session, lane: dict[str, Any], *, is_first: bool) -> Sequence[sa.Row[Any]]:
    """Lock what can be claimed of a lane, but for what must come alone and is not the first."""
    rows = session.execute(locking(_candidates, session.get_bind().dialect), lane).all()
    if is_first and rows and _comes_alone(rows[0]):
        return rows[:1]
    return [row for row in rows if not _comes_alone(row)]


def _comes_alone(row: sa.Row[Any] | None) -> bool:
    """Say so of jobs that were claimed before, and of those whose key is given up by the claim."""
    return row is not None and bool(row.attempts or row.unique_waiting)


def _reserve(
    session: Session, rows: Sequence[sa.Row[Any]], by: tuple[int, str], places: list[int] | None
) -> Sequence[sa.Row[Any]]:
    """Make rows ours, each with a place of its group if there are `places`; return those that are."""
    ours = {"worker": by[0], "token": by[1]}
    if places is None:
        if rows:
            take = _those(_take, session.get_bind().dialect.name)
            session.execute(take, {"ids": [row.id for row in rows], **ours})
        return rows
    return [row for row, place in zip(rows, places, strict=False) if _reserve_place(session, row.id, place, ours)]


def _reserve_place(session: Session, job_id: int, place: int, ours: dict[str, Any]) -> bool:
    """Make one row ours, with a place of its group; False: another took the place just now."""
    database = session.get_bind().dialect.name
    # MariaDB takes back the statement alone, and after a deadlock it knows no savepoint to go back to.
    guard = nullcontext() if database in MYSQL_NAMES else session.begin_nested()
    try:
        with guard:
            session.execute(_those(_take_place, database), {"ids": [job_id], "place": place, **ours})
    except sa.exc.IntegrityError:
        return False
    return True


def _claim(row: sa.Row[Any], token: str) -> Claim:
    facts: Any = row[:5], row.attempts + 1, *row[6:10], row.now, token
    return Claim(*facts[0], *facts[1:])


def finish(session: Session, claims: Sequence[Claim]) -> int:
    """Delete finished jobs that are still ours (all of one token); return how many were."""
    return _execute(session, _finish, claims)


def finish_at_once(database: Database, held: Claim) -> bool:
    """Delete one finished job by a transaction of its own; say whether it was still ours."""
    return database.at_once(delete_one(database.engine.dialect), (held.id, held.token)).rowcount == 1


def hand_back(session: Session, claims: Sequence[Claim]) -> int:
    """Free jobs that were not begun; the claim does not count as a try."""
    return _execute(session, _hand_back, claims)


def hand_back_all(session: Session, worker_id: int, *, but: Sequence[Claim]) -> int:
    """Free whatever this worker holds, known to it or not, without spending a try; what it has finished stays."""
    theirs = (jobs.c.worker_id == worker_id, jobs.c.id.notin_([held.id for held in but]))
    return changed(session, sa.update(jobs).where(*theirs).values(**_FREE, attempts=jobs.c.attempts - 1))


def release(
    session: Session,
    held: Claim,
    *,
    delay_seconds: float,
    spent: bool,
    reason: str | None = None,
    exceptions: int = 0,
) -> None:
    """Let the job wait for `delay_seconds`; the run counts as a try only if `spent`. Raises LeaseLost.

    `exceptions` is how many more of its runs ended by an error of the job's own.
    """
    statement = (
        sa.update(jobs)
        .where(jobs.c.id == held.id, jobs.c.claim_token == held.token)
        .values(**_FREE, available_at=now_us() + round(delay_seconds * SECOND), last_error=reason and reason[:500])
        .values(exceptions=jobs.c.exceptions + exceptions)
    )
    if not spent:
        statement = statement.values(attempts=jobs.c.attempts - 1)
    if not changed(session, statement):
        raise LeaseLost(held.id)


def is_held(session: Session, held: Claim) -> bool:
    """Say whether the claim still stands, and keep it so until the transaction ends."""
    statement = sa.select(jobs.c.id).where(jobs.c.id == held.id, jobs.c.claim_token == held.token).with_for_update()
    return session.execute(statement).first() is not None


def note_progress(session: Session, held: Claim) -> bool:
    """Start counting tries anew, since this run got something done; say whether the claim still stands."""
    return _execute(session, _progress, [held]) == 1


@dataclass(frozen=True, slots=True)
class Standing:
    """What counts against a held job at this moment."""

    attempts: int
    """This run's progress may have started them anew."""
    exceptions: int
    age_seconds: float


def standing(session: Session, held: Claim) -> Standing:
    """Return what counts against a job; as it was claimed, when it is not ours any more."""
    columns = (jobs.c.attempts, jobs.c.exceptions, now_us() - jobs.c.created_at)
    found = session.execute(sa.select(*columns).where(jobs.c.id == held.id, jobs.c.claim_token == held.token)).first()
    attempts, exceptions, age = found or (held.attempts, held.exceptions, held.claimed_at - held.created_at)
    return Standing(attempts, exceptions, age / SECOND)


def free_jobs_of(session: Session, worker_ids: Iterable[int]) -> int:
    """Make every job held by these dead workers claimable again, by primary key; the broken run counts."""
    theirs = jobs.c.worker_id.in_(list(worker_ids))
    ids = session.execute(sa.select(jobs.c.id).where(theirs)).scalars().all()
    if ids:
        session.execute(sa.update(jobs).where(jobs.c.id.in_(ids), theirs).values(**_FREE))
    return len(ids)


def _execute(session: Session, statement: sa.Update | sa.Delete, claims: Sequence[Claim]) -> int:
    those = _those(statement, session.get_bind().dialect.name)
    return changed(session, those, {"ids": [held.id for held in claims], "token": claims[0].token})


@lru_cache
def _those(statement: Statement, database: str) -> Statement:
    return statement.where(among(jobs.c.id, "ids", database))
