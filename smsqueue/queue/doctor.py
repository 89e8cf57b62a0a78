"""What could be wrong with a queue, and what to do about it: each check is one small function.

Here is what can be told from the queue's own tables and connections; `doctor_server` asks the database about itself.
"""

import secrets
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from smsqueue.db import Database, first_line
from smsqueue.queue import control
from smsqueue.queue.depths import failures, measure
from smsqueue.queue.dispatch import SECOND, clock_us, jobs
from smsqueue.queue.workers import is_running, workers

Level = Literal["ok", "warning", "error"]
HEARD_SECONDS = 2.0
SKEW_SECONDS, WRONG_SECONDS = 2.0, 60.0
PROBES = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and what to do; `level` is error when something is lost, late or stands still."""

    check: str
    level: Level
    found: str
    advice: str = ""


Check = Callable[[Database], Finding | None]
"""None: there is nothing to check on this kind of database."""


def examine(database: Database, checks: Iterable[tuple[str, Check]]) -> list[Finding]:
    """Do all checks; one that the database refuses is a warning, not the end of the examination."""
    return [finding for name, check in checks if (finding := _examine(database, name, check))]


def _examine(database: Database, name: str, check: Check) -> Finding | None:
    try:
        return check(database)
    except DBAPIError as error:
        return Finding(name, "warning", f"could not be checked: {first_line(error)}")


def clock(database: Database, local: Callable[[], float] = time.time) -> Finding:
    """This machine's clock goes like the database's, as far as the round trip lets us see."""
    with database.reading() as session:
        error, skew = min(_skew(session, local) for _ in range(PROBES))
    found = f"this machine is {abs(skew):.3f} s {'behind' if skew > 0 else 'ahead of'} the database (± {error:.3f} s)"
    far = abs(skew) - error
    level: Level = "error" if far > WRONG_SECONDS else "warning" if far > SKEW_SECONDS else "ok"
    return Finding("clock", level, found, "" if level == "ok" else "let both follow a time server (NTP)")


def _skew(session: Session, local: Callable[[], float]) -> tuple[float, float]:
    before = local()
    there = clock_us(session) / SECOND
    after = local()
    return (after - before) / 2, there - (before + after) / 2


def listener(database: Database, seconds: float = HEARD_SECONDS) -> Finding | None:
    """What one connection notifies, another one hears."""
    if database.engine.dialect.name != "postgresql":
        return None
    delay = _hears(database.engine.execution_options(isolation_level="AUTOCOMMIT"), seconds)
    if delay is not None:
        return Finding("listener", "ok", f"a notification is heard after {1000 * delay:.1f} ms")
    advice = "connect to PostgreSQL itself: a pooler in transaction mode swallows LISTEN; workers poll meanwhile"
    return Finding("listener", "warning", f"a notification is not heard within {seconds:g} s", advice)


def _hears(engine: sa.Engine, seconds: float) -> float | None:
    channel = f"smsqueue_doctor_{secrets.token_hex(8)}"
    with engine.connect() as ear, engine.connect() as mouth:
        ear.exec_driver_sql(f"LISTEN {channel}")
        began = time.monotonic()
        mouth.execute(sa.select(sa.func.pg_notify(channel, "")))
        driver: Any = ear.connection.driver_connection
        for _ in driver.notifies(timeout=seconds, stop_after=1):
            return time.monotonic() - began
        return None


def wakeups(database: Database) -> Finding:
    """No worker listens in vain."""
    deaf = sa.select(workers.c.id).where(is_running, workers.c.wakeup == "degraded").order_by(workers.c.id)
    with database.reading() as session:
        ids = list(session.scalars(deaf))
    if not ids:
        return Finding("wake-up", "ok", "no worker listens in vain")
    advice = "look for a pooler or a firewall between worker and database; `flask sms restart` connects anew"
    return Finding("wake-up", "warning", f"hear nothing and only poll: {_workers(ids)}", advice)


def leases(database: Database, seconds: float) -> Finding:
    """All workers run with the lease that the settings name."""
    lease = workers.c.expires_at - workers.c.heartbeat_at
    other = sa.select(workers.c.id).where(is_running, sa.func.abs(lease - round(seconds * SECOND)) > SECOND)
    with database.reading() as session:
        ids = list(session.scalars(other.order_by(workers.c.id)))
    if not ids:
        return Finding("lease of workers", "ok", f"{seconds:g} s, as the settings say")
    return Finding(
        "lease of workers",
        "warning",
        f"have another lease than the {seconds:g} s of the settings: {_workers(ids)}",
        "restart them by the service manager: `flask sms restart` keeps their environment",
    )


def silent(database: Database) -> Finding:
    """No worker counts as running beyond its lease."""
    with database.reading() as session:
        late = sa.select(workers.c.id).where(is_running, workers.c.expires_at < clock_us(session))
        ids = list(session.scalars(late.order_by(workers.c.id)))
    if not ids:
        return Finding("silent workers", "ok", "none")
    advice = "any worker buries them within a second; when none does: `flask sms work --daemon`"
    return Finding("silent workers", "warning", f"said to run, but their lease ran out: {_workers(ids)}", advice)


def orphans(database: Database) -> Finding:
    """No job is held by a worker that does not run."""
    alive = sa.exists().where(workers.c.id == jobs.c.worker_id, is_running)
    lost = sa.select(jobs.c.id).where(jobs.c.worker_id.isnot(None), ~alive).order_by(jobs.c.id).limit(1000)
    with database.reading() as session:
        ids = list(session.scalars(lost))
    if not ids:
        return Finding("orphans", "ok", "no job is held by a worker that is gone")
    found = f"{len(ids):,} jobs are held by workers that are gone, first {ids[0]}"
    return Finding("orphans", "warning", found, "any worker frees them within a second: `flask sms work --daemon`")


def service(database: Database) -> Finding:
    """Every queue with jobs that could run is served by a worker."""
    with database.reading() as session:
        now, wishes = clock_us(session), control.read(session)
        depths = measure(session, [], now)
        crew = session.scalars(sa.select(workers.c.queues).where(is_running, workers.c.expires_at >= now))
        served = {name for queues in crew for name in queues.split(",")}
    stopped = sorted(name for name, depth in depths.items() if depth.waiting and name not in served)
    if stopped:
        advice = f"`flask sms work --daemon --queue={','.join(stopped)}`"
        return Finding("service", "error", f"jobs wait and no worker serves their queue: {', '.join(stopped)}", advice)
    paused = [pause.name.removeprefix(control.PAUSE) for pause in wishes.pauses]
    if wishes.maintenance or paused:
        what = "maintenance mode" if wishes.maintenance else f"paused: {', '.join(paused)}"
        return Finding("service", "warning", f"{what}; nothing is claimed", "`flask sms up`, `flask sms resume all`")
    return Finding("service", "ok", "every queue with jobs is served")


def given_up(database: Database) -> Finding:
    """No job was given up."""
    with database.reading() as session:
        counts = failures(session)
    if not counts:
        return Finding("failed jobs", "ok", "none")
    found = ", ".join(f"{number:,} of {queue}" for queue, number in sorted(counts.items()))
    return Finding("failed jobs", "warning", found, "`flask sms failed` says why, `flask sms retry-failed` tries again")


def _workers(ids: list[int]) -> str:
    return f"worker{'s' if len(ids) > 1 else ''} {', '.join(str(each) for each in ids[:10])}"


CHECKS: tuple[tuple[str, Check], ...] = (
    ("clock", clock),
    ("listener", listener),
    ("wake-up", wakeups),
    ("silent workers", silent),
    ("orphans", orphans),
    ("service", service),
    ("failed jobs", given_up),
)
