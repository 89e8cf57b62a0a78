"""What the queues look like now: one snapshot for the page, the command and JSON. It reads indexes, up to a limit."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.queue import control, history
from smsqueue.queue.control import Control, Controls
from smsqueue.queue.depths import ENOUGH, Depth, failures, measure
from smsqueue.queue.dialects import now_us
from smsqueue.queue.dispatch import SECOND, clock_us, when
from smsqueue.queue.history import MINUTE, Sample
from smsqueue.queue.workers import is_running, workers

SLOW_SECONDS = 300
SHOWN_SECONDS = 24 * 3600
"""Workers that stopped or were lost stay in view this long."""
SHOWN_WORKERS = 100
_serving = sa.select(workers.c.queues).where(is_running, workers.c.expires_at > now_us())


@dataclass(frozen=True, slots=True)
class Wish:
    """A pause (`queue` "*" for all) or the maintenance mode: who asked for it, when, for how long and why."""

    queue: str
    since: datetime
    until: datetime | None
    author: str
    reason: str

    def words(self) -> str:
        """Say it in a line: `by ana since 14:02 until 14:32 UTC: new tariff`."""
        who = f"by {self.author} " if self.author else ""
        why = f": {self.reason}" if self.reason else ""
        return f"{who}since {self.times()}{why}"

    def times(self) -> str:
        """Say since and until when: `14:02 until 14:32 UTC`."""
        until = f" until {_clock(self.until)}" if self.until else ""
        return f"{_clock(self.since)}{until} UTC"


@dataclass(frozen=True, slots=True)
class QueueLine:
    """One queue. `waiting` could run now, `delayed` later, `reserved` runs.

    The numbers named in `inexact` are those of `counted_at`; where that is None, there are at least so many.
    """

    name: str
    waiting: int = 0
    delayed: int = 0
    reserved: int = 0
    failed: int = 0
    oldest_wait_seconds: float | None = None
    inexact: tuple[str, ...] = ()
    counted_at: datetime | None = None
    pause: Wish | None = None

    def said(self, name: str) -> str:
        """Write one of the numbers: `1,200`, `10,000+`, or `1,000,000 at 14:02` for what was counted then."""
        number = f"{getattr(self, name):,}"
        if name not in self.inexact:
            return number
        at = None if name == "failed" else self.counted_at
        return f"{number} at {at:%H:%M}" if at else f"{number}+"

    def shown(self, name: str) -> object:
        """Return one of the numbers for a table: as it is, or in words where it is not exact."""
        return self.said(name) if name in self.inexact else getattr(self, name)


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
    is_paused: bool
    wakeup: str
    threads: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Health in words, with the command that helps, and the numbers behind it."""

    healthy: bool
    headline: str
    advice: str | None
    queues: list[QueueLine]
    workers: list[WorkerLine]
    pauses: list[Wish]
    maintenance: Wish | None

    def as_dict(self) -> dict[str, Any]:
        """Return the status for JSON; times as ISO 8601."""
        content: dict[str, Any] = _plain(asdict(self))
        for line in content["queues"]:
            line["exact"] = not line["inexact"]
        return content


@dataclass(frozen=True, slots=True)
class Hindrance:
    """Why nothing of a queue is begun: `maintenance` or `paused`, and by whom, or that `nobody` serves it."""

    kind: str
    wish: Wish | None = None


def status(session: Session, queues: Sequence[str], *, limit: int = ENOUGH) -> QueueStatus:
    """Look at the queues named, any other that holds jobs, and the workers; count up to `limit` jobs of a sort."""
    now = clock_us(session)
    wishes = control.read(session)
    lines = _queue_lines(session, queues, now, limit, wishes)
    workers_seen = crew(session)
    pauses = [wish_of(each) for each in wishes.pauses]
    maintenance = wish_of(wishes.maintenance) if wishes.maintenance else None
    return QueueStatus(*_verdict(lines, workers_seen, maintenance), lines, workers_seen, pauses, maintenance)


def hindrance(session: Session, queue: str, wishes: Controls | None = None) -> Hindrance | None:
    """Say why no worker takes jobs of `queue`; None when one does. Polls ask this, so it is two small queries.

    Who has read already what operators ask for gives it as `wishes`.
    """
    if found := by_wish(wishes or control.read(session), queue):
        return found
    is_served = any(queue in queues.split(",") for queues in session.scalars(_serving))
    return None if is_served else Hindrance("nobody")


def by_wish(wishes: Controls, queue: str) -> Hindrance | None:
    """Say whether operators want that nothing of `queue` is begun."""
    if wishes.maintenance:
        return Hindrance("maintenance", wish_of(wishes.maintenance))
    pause = wishes.pause_of(queue)
    return Hindrance("paused", wish_of(pause)) if pause else None


def _queue_lines(session: Session, queues: Sequence[str], now: int, limit: int, wishes: Controls) -> list[QueueLine]:
    depths = measure(session, queues, now, limit)
    failed = failures(session, limit)
    samples = history.depths(session) if any(depth.inexact for depth in depths.values()) else {}
    names = [*depths, *sorted(set(failed) - set(depths))]
    found = []
    for name in names:
        pause = wishes.pause_of(name)
        facts = _counts(depths.get(name, Depth()), samples.get(name), now)
        facts.update(_failed(failed.get(name, 0), sum(failed.values()) > limit, facts["inexact"]))
        found.append(QueueLine(name, **facts, pause=wish_of(pause) if pause else None))
    return found


def _counts(depth: Depth, sample: Sample | None, now: int) -> dict[str, Any]:
    """Where counting stopped at the limit, what was last counted in full says more."""
    sampled = {name: getattr(sample, name) for name in depth.inexact} if sample else {}
    return {
        **{name: max(getattr(depth, name), sampled.get(name, 0)) for name in ("waiting", "delayed", "reserved")},
        "oldest_wait_seconds": None if depth.oldest is None else max(0.0, (now - depth.oldest) / SECOND),
        "inexact": depth.inexact,
        "counted_at": when(sample.minute * MINUTE) if sample and sampled else None,
    }


def _failed(number: int, is_cut: bool, inexact: tuple[str, ...]) -> dict[str, Any]:
    return {"failed": number, "inexact": (*inexact, "failed") if is_cut else inexact}


def crew(session: Session) -> list[WorkerLine]:
    """Return the workers, running ones first, and those that ended in the last day."""
    now = clock_us(session)
    recent = sa.or_(is_running, workers.c.heartbeat_at > now - SHOWN_SECONDS * SECOND)
    running_first = sa.case((is_running, 0), else_=1)
    rows = session.execute(
        sa.select(workers).where(recent).order_by(running_first, workers.c.id.desc()).limit(SHOWN_WORKERS)
    )
    return [_worker_line(row, now) for row in rows]


def _worker_line(row: Any, now: int) -> WorkerLine:
    return WorkerLine(
        id=row.id,
        host=row.host,
        pid=row.pid,
        queues=row.queues,
        state="lost" if row.state == "running" and row.expires_at < now else row.state,
        stop_reason=row.stop_reason,
        started_at=when(row.started_at),
        heartbeat_age_seconds=max(0.0, (now - row.heartbeat_at) / SECOND),
        jobs_done=row.jobs_done,
        is_paused=row.is_paused,
        wakeup=row.wakeup,
        threads=row.threads,
        memory_mib=row.memory_mib,
    )


def _verdict(lines: list[QueueLine], team: list[WorkerLine], maintenance: Wish | None) -> tuple[bool, str, str | None]:
    """Judge health: what an operator has asked for is no illness, whatever waits because of it."""
    if maintenance:
        return True, f"Maintenance, {maintenance.words()}", "flask sms up"
    running = [worker for worker in team if worker.state == "running"]
    if not running:
        return False, "Stopped: no worker is running", "flask sms work --daemon"
    wanted = [line for line in lines if not line.pause]
    stopped = next((said for line in wanted if line.waiting and (said := _unserved(line.name, running))), None)
    if stopped:
        return False, *stopped
    worst = max(wanted, key=lambda line: line.oldest_wait_seconds or 0, default=QueueLine("none"))
    if (worst.oldest_wait_seconds or 0) > SLOW_SECONDS:
        minutes = round((worst.oldest_wait_seconds or 0) / 60)
        headline = f"Slow: the oldest job in {worst.name} waits {minutes} min; start one more worker"
        return False, headline, "flask sms work --daemon"
    pause = next((line.pause for line in lines if line.pause), None)
    if pause:
        name = "all queues" if pause.queue == control.EVERY else f"the queue {pause.queue}"
        return True, f"Paused: {name}, {pause.words()}", f"flask sms resume {pause.queue.replace(control.EVERY, 'all')}"
    return True, "Healthy", None


def _unserved(queue: str, running: list[WorkerLine]) -> tuple[str, str] | None:
    serving = [worker for worker in running if queue in worker.queues.split(",")]
    if not serving:
        return f"Stopped: no worker serves the queue {queue}", f"flask sms work --daemon --queue={queue}"
    if all(worker.is_paused for worker in serving):
        pids = " ".join(str(worker.pid) for worker in serving)
        return f"Stopped: a signal has paused every worker that serves the queue {queue}", f"kill -CONT {pids}"
    return None


def wish_of(found: Control) -> Wish:
    """Return a wish in the words of the status."""
    until = None if found.until is None else when(found.until)
    return Wish(found.queue, when(found.since), until, found.author, found.reason)


def _clock(moment: datetime) -> str:
    """Say a time; another day's with its date."""
    is_near = abs((datetime.now(UTC) - moment).total_seconds()) < SHOWN_SECONDS
    return f"{moment:%H:%M}" if is_near else f"{moment:%Y-%m-%d %H:%M}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value.isoformat() if isinstance(value, datetime) else value
