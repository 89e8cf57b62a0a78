"""Taking jobs, holding them, giving them back. Whoever took a job proves it by the claim's token."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.errors import SmsQueueError
from smsqueue.db import Database, changed
from smsqueue.queue.dialects import among, delete_one, locking, now_us, walk_of_priorities
from smsqueue.queue.dispatch import SECOND, jobs

Statement = TypeVar("Statement", sa.Update, sa.Delete)
LOWEST = 2**15 - 1
"""The priority number after which there is none."""
ready = sa.and_(jobs.c.reserved_at.is_(None), jobs.c.available_at <= now_us())
_FACTS = ("id", "uuid", "queue", "kind", "payload", "attempts", "priority", "available_at", "created_at", "exceptions")
_columns = tuple(jobs.c[name] for name in _FACTS)
_candidates = (
    sa.select(*_columns, jobs.c.unique_waiting, now_us().label("now"))
    .where(jobs.c.queue == sa.bindparam("queue"), jobs.c.priority == sa.bindparam("priority"), ready)
    .order_by(jobs.c.available_at, jobs.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_any_ready = (
    sa.select(sa.literal(1))
    .where(jobs.c.queue == sa.bindparam("queue"), jobs.c.priority == sa.bindparam("priority"), ready)
    .limit(1)
)
_levels = walk_of_priorities(jobs)
# Of the jobs in the parameter `ids`; see `_those`.
_take = sa.update(jobs).values(
    reserved_at=now_us(),
    attempts=jobs.c.attempts + 1,
    worker_id=sa.bindparam("worker"),
    claim_token=sa.bindparam("token"),
    unique_key=sa.case((jobs.c.unique_waiting, sa.null()), else_=jobs.c.unique_key),
)
_mine = jobs.c.claim_token == sa.bindparam("token")
_FREE = {"reserved_at": None, "worker_id": None, "claim_token": None}
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


def claim_of(session: Session, worker_id: int, queue: str, limit: int, levels: Iterable[int]) -> list[Claim]:
    """Take jobs as `claim` does, of these priorities only, in this order."""
    chosen = _chosen(_ready_rows(session, queue, limit, levels))
    if not chosen:
        return []
    token = secrets.token_hex(16)
    take = _those(_take, session.get_bind().dialect.name)
    session.execute(take, {"ids": [row.id for row in chosen], "worker": worker_id, "token": token})
    return [Claim(r[0], r[1], r[2], r[3], r[4], r[5] + 1, *r[6:10], claimed_at=r.now, token=token) for r in chosen]


def find(session: Session, job_id: int, token: str) -> Claim | None:
    """Return the claim that this token proves; None when it is over."""
    mine = sa.select(*_columns, jobs.c.reserved_at, jobs.c.claim_token).where(jobs.c.id == job_id)
    row = session.execute(mine.where(jobs.c.claim_token == token)).first()
    return Claim(*row) if row else None


def priorities(session: Session, queue: str, *, ceiling: int | None = None) -> list[int]:
    """Return the distinct priorities of what waits in `queue`, ready or not, the most urgent first."""
    # Jumps from one to the next in the index: what waits is not counted, however much it is.
    return list(session.execute(_levels, {"queue": queue, "ceiling": LOWEST if ceiling is None else ceiling}).scalars())


def is_any_ready(session: Session, queue: str, levels: Iterable[int]) -> bool:
    """Say whether a job of one of these priorities could be claimed."""
    return any(session.execute(_any_ready, {"queue": queue, "priority": level}).first() for level in levels)


def _ready_rows(session: Session, queue: str, limit: int, levels: Iterable[int]) -> list[sa.Row[Any]]:
    statement = locking(_candidates, session.get_bind().dialect)
    found: list[sa.Row[Any]] = []
    for level in levels:
        found += session.execute(statement, {"queue": queue, "limit": limit - len(found), "priority": level})
        if len(found) >= limit:
            break
    return found


def _chosen(rows: Sequence[sa.Row[Any]]) -> Sequence[sa.Row[Any]]:
    """Leave out what must come alone: jobs that were claimed before, and those whose key is given up by the claim."""
    if rows and _comes_alone(rows[0]):
        return rows[:1]
    return [row for row in rows if not _comes_alone(row)]


def _comes_alone(row: sa.Row[Any]) -> bool:
    return bool(row.attempts or row.unique_waiting)


def finish(session: Session, claims: Sequence[Claim]) -> int:
    """Delete finished jobs that are still ours (all of one token); return how many were."""
    return _execute(session, _finish, claims)


def finish_at_once(database: Database, held: Claim) -> bool:
    """Delete one finished job by a transaction of its own; say whether it was still ours."""
    return database.at_once(delete_one(database.engine.dialect), (held.id, held.token)) == 1


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
