"""Taking jobs, holding them, giving them back. Whoever took a job proves it by the claim's token."""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.errors import SmsQueueError
from smsqueue.db import changed
from smsqueue.queue.dialects import locking, now_us
from smsqueue.queue.dispatch import SECOND, jobs

ready = sa.and_(jobs.c.reserved_at.is_(None), jobs.c.available_at <= now_us())
_columns = (jobs.c.id, jobs.c.uuid, jobs.c.queue, jobs.c.kind, jobs.c.payload, jobs.c.attempts, jobs.c.priority)
_candidates = (
    sa.select(*_columns)
    .where(jobs.c.queue == sa.bindparam("queue"), ready)
    .order_by(jobs.c.priority, jobs.c.available_at, jobs.c.id)
    .limit(sa.bindparam("limit", type_=sa.Integer))
)
_of_one_priority = _candidates.where(jobs.c.priority == sa.bindparam("priority"))
_take = (
    sa.update(jobs)
    .where(jobs.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values(
        reserved_at=now_us(),
        attempts=jobs.c.attempts + 1,
        worker_id=sa.bindparam("worker"),
        claim_token=sa.bindparam("token"),
    )
)
_mine = (jobs.c.id.in_(sa.bindparam("ids", expanding=True)), jobs.c.claim_token == sa.bindparam("token"))
_FREE = {"reserved_at": None, "worker_id": None, "claim_token": None}
_finish = sa.delete(jobs).where(*_mine)
_hand_back = sa.update(jobs).where(*_mine).values(**_FREE, attempts=jobs.c.attempts - 1)
_progress = sa.update(jobs).where(*_mine).values(attempts=1)


class LeaseLost(SmsQueueError):
    """Another worker may hold this job by now: nothing of it was changed."""

    def __init__(self, job_id: int) -> None:
        super().__init__(f"job {job_id} is not held by this worker any more")
        self.job_id = job_id


@dataclass(frozen=True, slots=True)
class Claim:
    """A worker's hold on one job. `attempts` counts this run."""

    id: int
    uuid: str
    queue: str
    kind: str
    payload: str
    attempts: int
    priority: int
    token: str


def claim(session: Session, worker_id: int, queue: str, limit: int, *, priority: int | None = None) -> list[Claim]:
    """Take up to `limit` ready jobs of `queue`: smallest priority number first, then the oldest.

    A job that was claimed before comes alone, so that one which kills its worker meets only itself.
    """
    base = _candidates if priority is None else _of_one_priority
    statement = locking(base, session.get_bind().dialect)
    rows = session.execute(statement, {"queue": queue, "limit": limit, "priority": priority}).all()
    if not rows:
        return []
    first = rows[0]
    chosen = [first] if first.attempts else [row for row in rows if not row.attempts]
    token = secrets.token_hex(16)
    session.execute(_take, {"ids": [row.id for row in chosen], "worker": worker_id, "token": token})
    return [Claim(r.id, r.uuid, r.queue, r.kind, r.payload, r.attempts + 1, r.priority, token) for r in chosen]


def finish(session: Session, claims: Sequence[Claim]) -> int:
    """Delete finished jobs that are still ours (all of one token); return how many were."""
    return _execute(session, _finish, claims)


def hand_back(session: Session, claims: Sequence[Claim]) -> int:
    """Free jobs that were not begun; the claim does not count as a try."""
    return _execute(session, _hand_back, claims)


def hand_back_all(session: Session, worker_id: int, *, but: Sequence[Claim]) -> int:
    """Free whatever this worker holds, known to it or not, without spending a try; what it has finished stays."""
    theirs = (jobs.c.worker_id == worker_id, jobs.c.id.notin_([held.id for held in but]))
    return changed(session, sa.update(jobs).where(*theirs).values(**_FREE, attempts=jobs.c.attempts - 1))


def release(session: Session, held: Claim, *, delay_seconds: float, spent: bool, reason: str | None = None) -> None:
    """Let the job wait for `delay_seconds`; the run counts as a try only if `spent`. Raises LeaseLost."""
    statement = (
        sa.update(jobs)
        .where(jobs.c.id == held.id, jobs.c.claim_token == held.token)
        .values(**_FREE, available_at=now_us() + round(delay_seconds * SECOND), last_error=reason and reason[:500])
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


def tries_of(session: Session, held: Claim) -> int:
    """Return how many runs count against the job at this moment: this one's progress may have started them anew."""
    statement = sa.select(jobs.c.attempts).where(jobs.c.id == held.id, jobs.c.claim_token == held.token)
    found: int | None = session.execute(statement).scalar()
    return held.attempts if found is None else found


def free_jobs_of(session: Session, worker_ids: Iterable[int]) -> int:
    """Make every job held by these dead workers claimable again, by primary key; the broken run counts."""
    theirs = jobs.c.worker_id.in_(list(worker_ids))
    ids = session.execute(sa.select(jobs.c.id).where(theirs)).scalars().all()
    if ids:
        session.execute(sa.update(jobs).where(jobs.c.id.in_(ids), theirs).values(**_FREE))
    return len(ids)


def _execute(session: Session, statement: sa.Update | sa.Delete, claims: Sequence[Claim]) -> int:
    return changed(session, statement, {"ids": [held.id for held in claims], "token": claims[0].token})
