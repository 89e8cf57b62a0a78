"""Jobs that were given up: stored with their reason, retried or cleared, each in one transaction."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.errors import SmsQueueError
from smsqueue.db import changed, insert_row
from smsqueue.queue.claim import Claim, LeaseLost
from smsqueue.queue.dispatch import clock_us, jobs
from smsqueue.queue.job import BadPayload
from smsqueue.queue.models import FailedJob
from smsqueue.queue.registry import Registry, UnknownJob, UnknownVersion, parts_of

KIND_LENGTH = 60
"""What the column `jobs.kind` holds."""
ERROR_LENGTH = 100
"""What the column `failed_jobs.error` holds."""
UNKNOWN = "?"
NO_ID = 2**63 - 1
"""The largest key there could be: no job has it."""


class NoSuchFailedJob(SmsQueueError):
    """There is no failed job with this id."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"no failed job has the id {wanted}; `flask sms failed` lists them")


def fail(
    session: Session, registry: Registry, held: Claim, reason: str, traceback: str, *, error: str = UNKNOWN
) -> None:
    """Move the job to `failed_jobs` and tell its hook, all in the caller's transaction. Raises LeaseLost.

    `error` names the error's class, to group by.
    """
    mine = sa.delete(jobs).where(jobs.c.id == held.id, jobs.c.claim_token == held.token)
    if not changed(session, mine):
        raise LeaseLost(held.id)
    facts = {"kind": held.kind, "error": error[:ERROR_LENGTH], "attempts": held.attempts}
    session.add(FailedJob(uuid=held.uuid, queue=held.queue, payload=held.payload, exception=traceback, **facts))
    _call(registry, held.payload, "on_failed", session, reason)


def listing(session: Session, limit: int = 100) -> Sequence[FailedJob]:
    """Return the failed jobs, newest first."""
    return session.scalars(sa.select(FailedJob).order_by(FailedJob.id.desc()).limit(limit)).all()


def all_ids(session: Session) -> list[int]:
    """Return the ids of all failed jobs, oldest first."""
    return list(session.scalars(sa.select(FailedJob.id).order_by(FailedJob.id)))


def retry(session: Session, registry: Registry, wanted: str | int) -> int:
    """Put one failed job (by number or uuid) back into its queue and return its id there.

    Raises NoSuchFailedJob, or what the job's hook raises when it may not be retried now.
    """
    row = _find(session, str(wanted))
    payload = row.payload
    _call(registry, payload, "on_retried", session)
    now = clock_us(session)
    values = {
        "uuid": row.uuid,
        "queue": row.queue,
        "kind": kind_of(payload),
        "payload": payload,
        "priority": _priority(registry, payload),
        "attempts": 0,
        "available_at": now,
        "created_at": now,
    }
    job_id = insert_row(session, jobs, values)
    session.delete(row)
    return job_id


def clear(session: Session, registry: Registry, queue: str, *, reserved: bool = False) -> int:
    """Delete the waiting jobs of `queue` (held ones too if `reserved`), tell their hooks, return how many."""
    statement = sa.select(jobs.c.id, jobs.c.payload).where(jobs.c.queue == queue)
    if not reserved:
        statement = statement.where(jobs.c.reserved_at.is_(None))
    rows = session.execute(statement.order_by(jobs.c.id).with_for_update(skip_locked=_skips(session, reserved))).all()
    for row in rows:
        session.execute(sa.delete(jobs).where(jobs.c.id == row.id))
        _call(registry, row.payload, "on_cleared", session)
    return len(rows)


def kind_of(payload: str) -> str:
    """Name the kind of a payload, known or not; `?` when it cannot be read."""
    try:
        return parts_of(payload)[0][:KIND_LENGTH]
    except BadPayload:
        return "?"


def _skips(session: Session, reserved: bool) -> bool:
    # A row somebody is claiming at this moment is about to be reserved: step over it.
    return not reserved and session.get_bind().dialect.name == "postgresql"


def _find(session: Session, wanted: str) -> FailedJob:
    column: Any = FailedJob.id if wanted.isdecimal() else FailedJob.uuid
    key: Any = min(int(wanted), NO_ID) if wanted.isdecimal() else wanted.lower()
    row = session.scalars(sa.select(FailedJob).where(column == key).with_for_update()).first()
    if row is None:
        raise NoSuchFailedJob(wanted)
    return row


def _priority(registry: Registry, payload: str) -> int:
    try:
        return registry.job(payload).priority
    except SmsQueueError:
        return 0


def _call(registry: Registry, payload: str, hook: str, session: Session, *more: Any) -> None:
    try:
        job = registry.job(payload)
    except (UnknownJob, UnknownVersion, BadPayload):
        return  # nobody here knows what else belongs to it
    getattr(registry.entry(job.kind), hook)(session, job, *more)
