"""Putting jobs into the queue, in the caller's transaction."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.orm import Session

from smsqueue.bulk import insert_many
from smsqueue.db import table_of
from smsqueue.queue.dialects import MYSQL_NAMES, now_us
from smsqueue.queue.job import Job
from smsqueue.queue.models import JobRow

jobs = table_of(JobRow)
SECOND = 1_000_000
"""The engine counts time in microseconds."""
CHUNK = 1000
"""So many jobs are put in by one statement."""
CHANNEL = "smsqueue_jobs"
"""Where PostgreSQL tells listeners, at the commit, which queue has something new."""
HELD_UNTIL_US = 253_370_764_800 * SECOND
"""The year 9999: until somebody lets go. See `queue/holding.py`."""
KEY_LENGTH = 190
"""What the column `jobs.unique_key` holds."""
_by_key = sa.select(jobs.c.id).where(jobs.c.unique_key == sa.bindparam("key"))
_queues = sa.bindparam("queues", type_=postgresql.ARRAY(sa.Text))
_notify_all = sa.select(sa.func.pg_notify(CHANNEL, sa.func.unnest(_queues)))

NEWLINE = "\n"
"""JSON has none, so it parts payloads; one long text costs the driver less than an array of texts."""
_ALIKE = ("queue", "kind", "priority", "attempts", "group_key", "tag")
_delay = sa.bindparam("delay_us", type_=sa.BigInteger)
_held_until = sa.bindparam("held_us", type_=sa.BigInteger)
_payloads = sa.func.string_to_array(sa.bindparam("payloads", type_=sa.Text), NEWLINE)
_made: dict[str, sa.ColumnElement[Any]] = {
    "uuid": sa.cast(sa.func.gen_random_uuid(), sa.Text),
    "payload": sa.func.unnest(_payloads),
    "created_at": now_us(),
    "available_at": sa.func.coalesce(_held_until, now_us() + _delay),
    **{name: sa.bindparam(name, type_=jobs.c[name].type) for name in _ALIKE},
}
_insert_payloads = sa.insert(jobs).from_select(list(_made), sa.select(*_made.values()), include_defaults=False)
"""Jobs that differ in nothing but their payloads, on PostgreSQL."""


def clock_us(session: Session) -> int:
    """Read the database's clock."""
    return session.execute(sa.select(now_us())).scalar_one()


def when(moment_us: int) -> datetime:
    """Make a time of the engine's microseconds."""
    return datetime.fromtimestamp(moment_us / SECOND, UTC)


def enqueue(
    session: Session,
    job: Job,
    *,
    delay: float = 0,
    priority: int | None = None,
    unique: str | None = None,
    unique_waiting: bool = False,
    group: str | None = None,
) -> int:
    """Put `job` into its queue and return its id. It exists when, and only when, the caller's transaction commits.

    It runs in `delay` seconds at the earliest. When there is a job with the key `unique` already, nothing is put in and
    the id of that one is returned. The key is given up when its job is over; with `unique_waiting`, when it is claimed.
    `group` says whose job it is, if the job itself does not: groups take turns.
    """
    row = {"uuid": str(uuid4()), **_row(job, priority, group), "delay_us": round(delay * SECOND)}
    database = session.get_bind().dialect.name
    if unique is None:
        return _insert_row(session, _insert(database, delay <= 0), row)
    row |= {"unique_key": _checked(unique), "unique_waiting": unique_waiting}
    return _insert_once(session, _insert(database, delay <= 0, is_unique=True), row)


def enqueue_many(
    session: Session,
    many: Iterable[Job],
    *,
    delay: float = 0,
    priority: int | None = None,
    group: str | None = None,
    held: bool = False,
) -> int:
    """Put `many` jobs into their queues, a thousand by one statement, and return how many.

    With `held` they wait until somebody lets go of their tag.
    """
    remaining = iter(many)
    count, queues = 0, set[str]()
    while chunk := list(islice(remaining, CHUNK)):
        _insert_chunk(session, [_row(job, priority, group) for job in chunk], round(delay * SECOND), held=held)
        queues.update(job.queue for job in chunk)
        count += len(chunk)
    if queues and delay <= 0 and not held:
        notify(session, sorted(queues))
    return count


def notify(session: Session, queues: Sequence[str]) -> None:
    """Tell listeners at the commit that these queues have something new; only PostgreSQL can."""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(_notify_all, {"queues": list(queues)})


def _row(job: Job, priority: int | None, group: str | None) -> dict[str, Any]:
    return {
        "queue": job.queue,
        "kind": job.kind,
        "payload": job.to_payload(),
        "priority": job.priority if priority is None else priority,
        "attempts": 0,
        "group_key": job.group if group is None else group,
        "tag": job.tag,
    }


def _insert_chunk(session: Session, rows: Sequence[dict[str, Any]], delay_us: int, *, held: bool) -> None:
    alike = {name: rows[0][name] for name in _ALIKE}
    if session.get_bind().dialect.name == "postgresql" and all(alike.items() <= row.items() for row in rows):
        payloads = NEWLINE.join(row["payload"] for row in rows)
        held_us = HELD_UNTIL_US if held else None
        session.execute(_insert_payloads, {**alike, "payloads": payloads, "delay_us": delay_us, "held_us": held_us})
        return
    now = clock_us(session)
    times = {"available_at": HELD_UNTIL_US if held else now + delay_us, "created_at": now}
    insert_many(session, jobs, [{"uuid": str(uuid4()), **row, **times} for row in rows])


def _checked(key: str) -> str:
    # MariaDB takes no notice of spaces at the end, and nobody means those at the beginning.
    if not key or len(key) > KEY_LENGTH or key != key.strip():
        raise ValueError(f"a unique key has 1 to {KEY_LENGTH} characters and no space around it, not {key!r}")
    return key


@lru_cache
def _insert(database: str, is_due: bool, *, is_unique: bool = False) -> sa.Insert:
    """Build the statement that puts in one job; on PostgreSQL it tells listeners, too, if the job can run at once."""
    times = {"created_at": now_us(), "available_at": now_us() + sa.bindparam("delay_us", type_=sa.BigInteger)}
    if database in MYSQL_NAMES:
        theirs = mysql.insert(jobs).values(times)
        return theirs.on_duplicate_key_update(id=sa.func.last_insert_id(jobs.c.id)) if is_unique else theirs
    ours: Any = (postgresql.insert if database == "postgresql" else sqlite.insert)(jobs).values(times)
    if is_unique:
        ours = ours.on_conflict_do_nothing(index_elements=[jobs.c.unique_key])
    tells = database == "postgresql" and is_due
    found: sa.Insert = ours.returning(jobs.c.id, *([sa.func.pg_notify(CHANNEL, jobs.c.queue)] if tells else []))
    return found


def _insert_row(session: Session, statement: sa.Insert, row: dict[str, Any]) -> int:
    result: Any = session.execute(statement, row)
    return int(result.scalar_one() if result.returns_rows else result.lastrowid)


def _insert_once(session: Session, statement: sa.Insert, row: dict[str, Any]) -> int:
    """Insert a row unless its key is there; the one that has it may be over before we find it, so look again then."""
    while True:
        result: Any = session.execute(statement, row)
        found = result.scalar() if result.returns_rows else result.lastrowid
        found = found or session.execute(_by_key, {"key": row["unique_key"]}).scalar()
        if found:
            return int(found)
