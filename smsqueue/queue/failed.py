"""Jobs that were given up: stored with their reason, retried or forgotten, each in one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import eq, ge, le, lt
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from smsqueue.core.errors import SmsQueueError
from smsqueue.db import Database, changed, insert_row
from smsqueue.queue.claim import Claim, LeaseLost
from smsqueue.queue.dispatch import clock_us, jobs
from smsqueue.queue.events import emit, emit_once_committed
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
CHUNK = 1_000
"""So many rows are deleted by one transaction."""


class NoSuchFailedJob(SmsQueueError):
    """There is no failed job with this id."""

    def __init__(self, wanted: str) -> None:
        super().__init__(f"no failed job has the id {wanted}; `flask sms failed` lists them")


class KeyTaken(SmsQueueError):
    """A failed job may not go back: another job has its unique key by now."""

    def __init__(self, key: str) -> None:
        super().__init__(f"another job has the unique key {key!r} by now; retry it when that is done, or forget it")


@dataclass(frozen=True, slots=True)
class Choice:
    """Which failed jobs are meant; what is None does not matter."""

    queue: str | None = None
    kind: str | None = None
    error: str | None = None
    since: datetime | None = None
    before: datetime | None = None
    ids: tuple[int, int] | None = None
    """The first and the last."""

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """Return what must hold for a row."""
        first, last = self.ids or (None, None)
        wanted: tuple[tuple[Any, Callable[[Any, Any], Any], Any], ...] = (
            (FailedJob.queue, eq, self.queue),
            (FailedJob.kind, eq, self.kind),
            (FailedJob.error, eq, self.error),
            (FailedJob.failed_at, ge, self.since),
            (FailedJob.failed_at, lt, self.before),
            (FailedJob.id, ge, first),
            (FailedJob.id, le, None if last is None else min(last, NO_ID)),
        )
        return [compare(column, value) for column, compare, value in wanted if value is not None]


ALL = Choice()


@dataclass(frozen=True, slots=True)
class Group:
    """Failed jobs of one kind that ended by the same class of error."""

    kind: str
    error: str
    count: int
    first_id: int
    last_id: int
    last_at: datetime


def fail(
    session: Session, registry: Registry, held: Claim, reason: str, traceback: str, *, error: str = UNKNOWN
) -> None:
    """Move the job to `failed_jobs` and tell its hook, all in the caller's transaction. Raises LeaseLost.

    `error` names the error's class, to group by.
    """
    mine = (jobs.c.id == held.id, jobs.c.claim_token == held.token)
    kept = session.execute(sa.select(jobs.c.unique_key, jobs.c.group_key, jobs.c.tag).where(*mine)).first()
    if kept is None or not changed(session, sa.delete(jobs).where(*mine)):
        raise LeaseLost(held.id)
    facts = {"kind": held.kind, "error": error[:ERROR_LENGTH], "attempts": held.attempts, **kept._mapping}
    session.add(FailedJob(uuid=held.uuid, queue=held.queue, payload=held.payload, exception=traceback, **facts))
    call_hook(registry, held.payload, "on_failed", session, reason)


def listing(session: Session, limit: int = 100, choice: Choice = ALL) -> Sequence[FailedJob]:
    """Return the failed jobs that are meant, newest first."""
    rows = sa.select(FailedJob).where(*choice.conditions()).order_by(FailedJob.id.desc()).limit(limit)
    return session.scalars(rows).all()


def groups(session: Session, choice: Choice = ALL) -> list[Group]:
    """Count the failed jobs that are meant by kind and class of error, the largest group first."""
    number = sa.func.count().label("number")
    facts = (number, sa.func.min(FailedJob.id), sa.func.max(FailedJob.id), sa.func.max(FailedJob.failed_at))
    found = sa.select(FailedJob.kind, FailedJob.error, *facts).where(*choice.conditions())
    rows = session.execute(found.group_by(FailedJob.kind, FailedJob.error).order_by(number.desc(), FailedJob.kind))
    return [Group(*row) for row in rows]


def chosen_ids(session: Session, choice: Choice = ALL) -> list[int]:
    """Return the ids of the failed jobs that are meant, oldest first."""
    return list(session.scalars(sa.select(FailedJob.id).where(*choice.conditions()).order_by(FailedJob.id)))


def find(session: Session, wanted: str | int) -> FailedJob:
    """Return a failed job by number or uuid, and keep it so until the transaction ends. Raises NoSuchFailedJob."""
    named = is_named(FailedJob.id, FailedJob.uuid, str(wanted))
    row = session.scalars(sa.select(FailedJob).where(named).with_for_update()).first()
    if row is None:
        raise NoSuchFailedJob(str(wanted))
    return row


def is_named(number: Any, uuid: Any, wanted: str) -> sa.ColumnElement[bool]:
    """Say that a job is the one that somebody typed the number or the uuid of."""
    found: sa.ColumnElement[bool] = number == min(int(wanted), NO_ID) if wanted.isdecimal() else uuid == wanted.lower()
    return found


def retry(session: Session, registry: Registry, wanted: str | int) -> int:
    """Put one failed job (by number or uuid) back into its queue and return its id there.

    Raises NoSuchFailedJob, KeyTaken, or what the job's hook raises when it may not be retried now.
    """
    row = find(session, wanted)
    call_hook(registry, row.payload, "on_retried", session)
    now = clock_us(session)
    values = {
        "uuid": row.uuid,
        "queue": row.queue,
        "kind": kind_of(row.payload),
        "payload": row.payload,
        "priority": _priority(registry, row.payload),
        "attempts": 0,
        "available_at": now,
        "created_at": now,
        "unique_key": row.unique_key,
        "group_key": row.group_key,
        "tag": row.tag,
    }
    job_id = _put_back(session, values)
    session.delete(row)
    facts = {"uuid": row.uuid, "kind": row.kind, "queue": row.queue}
    emit_once_committed(session, "job.retried", job_id=job_id, **facts)
    return job_id


def forget(session: Session, wanted: str | int) -> None:
    """Delete a failed job; what else belonged to it was settled when it failed. Raises NoSuchFailedJob."""
    row = find(session, wanted)
    session.delete(row)
    emit_once_committed(session, "job.forgotten", uuid=row.uuid, kind=row.kind)


def forget_many(database: Database, choice: Choice, chunk: int = CHUNK) -> int:
    """Delete the failed jobs that are meant, some at a time, and return how many that were."""
    total = 0
    while gone := database.write(lambda session: _forget_some(session, choice, chunk)):
        total += gone
    if total:
        emit("jobs.forgotten", count=total)
    return total


def kind_of(payload: str) -> str:
    """Name the kind of a payload, known or not; `?` when it cannot be read."""
    try:
        return parts_of(payload)[0][:KIND_LENGTH]
    except BadPayload:
        return UNKNOWN


def call_hook(registry: Registry, payload: str, hook: str, session: Session, *more: Any) -> None:
    """Tell a job's hook what happens to it; nobody knows what belongs to a job that cannot be read."""
    try:
        job = registry.job(payload)
    except (UnknownJob, UnknownVersion, BadPayload):
        return
    getattr(registry.entry(job.kind), hook)(session, job, *more)


def _put_back(session: Session, values: dict[str, Any]) -> int:
    key = values["unique_key"]
    if key is None:
        return insert_row(session, jobs, values)
    if session.execute(sa.select(jobs.c.id).where(jobs.c.unique_key == key)).first():
        raise KeyTaken(key)
    try:
        return insert_row(session, jobs, values)
    except IntegrityError as error:  # somebody took it a moment ago
        raise KeyTaken(key) from error


def _forget_some(session: Session, choice: Choice, limit: int) -> int:
    some = sa.select(FailedJob.id).where(*choice.conditions()).order_by(FailedJob.id).limit(limit)
    ids = session.scalars(some).all()
    return changed(session, sa.delete(FailedJob).where(FailedJob.id.in_(ids))) if ids else 0


def _priority(registry: Registry, payload: str) -> int:
    try:
        return registry.job(payload).priority
    except SmsQueueError:
        return 0
