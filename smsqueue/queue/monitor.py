"""What the queues look like now: one snapshot for the page, the command and JSON."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.queue.dispatch import SECOND, clock_us, jobs
from smsqueue.queue.models import FailedJob
from smsqueue.queue.workers import workers

SLOW_SECONDS = 300
SHOWN_SECONDS = 24 * 3600
"""Workers that stopped or were lost stay in view this long."""


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue. `waiting` could run now, `delayed` later, `reserved` runs."""

    name: str
    waiting: int
    delayed: int
    reserved: int
    failed: int
    oldest_wait_seconds: float | None


@dataclass(frozen=True, slots=True)
class WorkerLine:
    """One worker process; state running, stopped or lost."""

    id: int
    host: str
    pid: int
    queues: str
    state: str
    stop_reason: str | None
    started_at: datetime
    heartbeat_age_seconds: float
    jobs_done: int


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Health in words, with the command that helps, and the numbers behind it."""

    healthy: bool
    headline: str
    advice: str | None
    queues: list[QueueLine]
    workers: list[WorkerLine]

    def as_dict(self) -> dict[str, Any]:
        """Return the status for JSON; times as ISO 8601."""
        content = asdict(self)
        for line in content["workers"]:
            line["started_at"] = line["started_at"].isoformat()
        return content


def status(session: Session, queues: Sequence[str]) -> QueueStatus:
    """Look at the queues named, any other that holds jobs, and the workers."""
    now = clock_us(session)
    lines = _queue_lines(session, queues, now)
    crew = _worker_lines(session, now)
    healthy, headline, advice = _verdict(lines, crew)
    return QueueStatus(healthy, headline, advice, lines, crew)


def _queue_lines(session: Session, queues: Sequence[str], now: int) -> list[QueueLine]:
    free = jobs.c.reserved_at.is_(None)
    is_ready = sa.and_(free, jobs.c.available_at <= now)
    counts = (
        _count(is_ready).label("waiting"),
        _count(sa.and_(free, jobs.c.available_at > now)).label("delayed"),
        _count(jobs.c.reserved_at.isnot(None)).label("reserved"),
        sa.func.min(sa.case((is_ready, jobs.c.available_at))).label("oldest"),
    )
    found = {row.queue: row for row in session.execute(sa.select(jobs.c.queue, *counts).group_by(jobs.c.queue))}
    failures = sa.select(FailedJob.queue, sa.func.count()).group_by(FailedJob.queue)
    failed = {row[0]: row[1] for row in session.execute(failures)}
    names = [*queues, *sorted((set(found) | set(failed)) - set(queues))]
    return [_queue_line(name, found.get(name), failed.get(name, 0), now) for name in names]


def _queue_line(name: str, row: Any, failed: int, now: int) -> QueueLine:
    if row is None:
        return QueueLine(name, 0, 0, 0, failed, None)
    oldest = None if row.oldest is None else max(0.0, (now - row.oldest) / SECOND)
    return QueueLine(name, int(row.waiting), int(row.delayed), int(row.reserved), failed, oldest)


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)


def _worker_lines(session: Session, now: int) -> list[WorkerLine]:
    recent = sa.or_(workers.c.state == "running", workers.c.heartbeat_at > now - SHOWN_SECONDS * SECOND)
    running_first = sa.case((workers.c.state == "running", 0), else_=1)
    rows = session.execute(sa.select(workers).where(recent).order_by(running_first, workers.c.id.desc()).limit(100))
    return [_worker_line(row, now) for row in rows]


def _worker_line(row: Any, now: int) -> WorkerLine:
    state = "lost" if row.state == "running" and row.expires_at < now else row.state
    return WorkerLine(
        row.id,
        row.host,
        row.pid,
        row.queues,
        state,
        row.stop_reason,
        datetime.fromtimestamp(row.started_at / SECOND, UTC),
        max(0.0, (now - row.heartbeat_at) / SECOND),
        row.jobs_done,
    )


def _verdict(lines: list[QueueLine], crew: list[WorkerLine]) -> tuple[bool, str, str | None]:
    running = [worker for worker in crew if worker.state == "running"]
    if not running:
        return False, "Stopped: no worker is running", "flask sms work --daemon"
    served = {queue for worker in running for queue in worker.queues.split(",")}
    for line in lines:
        if line.waiting and line.name not in served:
            headline = f"Stopped: no worker serves the queue {line.name}"
            return False, headline, f"flask sms work --daemon --queue={line.name}"
    waits = [line for line in lines if (line.oldest_wait_seconds or 0) > SLOW_SECONDS]
    if waits:
        worst = max(waits, key=lambda line: line.oldest_wait_seconds or 0)
        minutes = round((worst.oldest_wait_seconds or 0) / 60)
        headline = f"Slow: the oldest job in {worst.name} waits {minutes} min; start one more worker"
        return False, headline, "flask sms work --daemon"
    return True, "Healthy", None
