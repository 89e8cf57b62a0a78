"""Why a job does not move: in words, since when, until when, and with the command that helps."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.queue import control
from smsqueue.queue.control import Control, Controls
from smsqueue.queue.dispatch import SECOND, clock_us, jobs
from smsqueue.queue.models import FailedJob
from smsqueue.queue.workers import workers

COUNTED = 10_000
"""Who has more jobs in front of it learns only that it is more."""
LARGEST = 2**63 - 1
START = "flask sms work --daemon"
LATE = 3
"""A worker beats at least three times in a lease: a third of it without a sign of life is worth a word."""


@dataclass(frozen=True, slots=True)
class Reason:
    """One thing that keeps a job waiting, or the news that nothing does; times by the database's clock."""

    sentence: str
    since: datetime | None = None
    until: datetime | None = None
    command: str | None = None
    """What helps."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked about, and why it does not move: what weighs most comes first."""

    subject: str
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """What surrounds a job at this moment: the clock, what operators asked for, and who works."""

    session: Session
    now: int
    controls: Controls
    crew: Sequence[Any]
    """The workers whose lease holds."""

    @classmethod
    def look(cls, session: Session) -> "Scene":
        """Look around."""
        now = clock_us(session)
        alive = sa.select(workers).where(workers.c.state == "running", workers.c.expires_at >= now)
        return cls(session, now, control.read(session), session.execute(alive.order_by(workers.c.id)).all())

    def serving(self, queue: str) -> list[Any]:
        """Return the workers that listen on `queue`."""
        return [worker for worker in self.crew if queue in worker.queues.split(",")]

    def clock(self, moment: int) -> str:
        """Say when that is: the time, with the date unless it is today; UTC, as everywhere."""
        at, today = when(moment), when(self.now)
        return f"{at:%H:%M:%S}" if at.date() == today.date() else f"{at:%Y-%m-%d %H:%M:%S}"

    def ago(self, moment: int) -> str:
        """Say how long ago that was."""
        return span((self.now - moment) / SECOND)


def explain(session: Session, wanted: str, kinds: Collection[str]) -> Answer | None:
    """Say why a job (by number or uuid) does not move; None when nothing is known of it.

    `kinds` are those that a handler is registered for.
    """
    job = _find(session, wanted)
    if job is not None:
        tries = f", tried {job.attempts} times" if job.attempts > 1 else ""
        return Answer(
            f"Job {job.id} ({job.kind}) of queue {job.queue}{tries}",
            tuple(reasons(Scene.look(session), job, kinds)),
        )
    failed = _find_failed(session, wanted)
    if failed is None:
        return None
    subject = f"Job {failed.uuid} ({failed.kind}) of queue {failed.queue}"
    if wanted == str(failed.id):
        subject = f"No job {wanted} is in a queue, but one that was given up has this number, {subject[4:]}"
    return Answer(subject, (given_up(failed),))


def reasons(scene: Scene, job: Any, kinds: Collection[str]) -> list[Reason]:
    """Say why this row of `jobs` does not move."""
    if job.worker_id is not None:
        return list(_held(scene, job))
    found = [*_unknown(job, kinds), *_not_due(scene, job), *_stopped(scene, job.queue), *_served(scene, job.queue)]
    return found or [_in_line(scene, job)]


def given_up(failed: FailedJob) -> Reason:
    """Say that a job was given up, and why."""
    last = failed.exception.strip().rpartition("\n")[2][:200]
    sentence = f"Given up at {failed.failed_at:%Y-%m-%d %H:%M:%S}: {last}"
    return Reason(sentence, since=failed.failed_at, command=f"flask sms retry-failed {failed.uuid}")


def when(moment: int) -> datetime:
    """Make a time of the engine's microseconds."""
    return datetime.fromtimestamp(moment / SECOND, UTC)


def span(seconds: float) -> str:
    """Say how long that is, as people do."""
    seconds = max(0, round(seconds))
    if seconds < 120:
        return f"{seconds} s"
    return f"{round(seconds / 60)} min" if seconds < 7200 else f"{round(seconds / 3600)} h"


def _find(session: Session, wanted: str) -> Any:
    return session.execute(sa.select(jobs).where(_is(jobs.c.id, jobs.c.uuid, wanted))).first()


def _find_failed(session: Session, wanted: str) -> FailedJob | None:
    return session.scalars(sa.select(FailedJob).where(_is(FailedJob.id, FailedJob.uuid, wanted))).first()


def _is(number: Any, uuid: Any, wanted: str) -> sa.ColumnElement[bool]:
    is_number = wanted.isascii() and wanted.isdecimal()
    found: sa.ColumnElement[bool] = number == min(int(wanted), LARGEST) if is_number else uuid == wanted.lower()
    return found


def _held(scene: Scene, job: Any) -> Iterator[Reason]:
    since = when(job.reserved_at) if job.reserved_at else None
    holder = scene.session.execute(sa.select(workers).where(workers.c.id == job.worker_id)).first()
    if holder is None or holder.state != "running":
        fate = f"is {holder.state} ({holder.stop_reason})" if holder else "left no trace"
        yield Reason(f"Held by worker {job.worker_id}, which {fate}: the next look of any worker frees it", since)
        yield from _successor(scene, job.queue)
        return
    who = f"Held by worker {holder.id} ({holder.host}, pid {holder.pid})"
    silence, lease = scene.now - holder.heartbeat_at, holder.expires_at - holder.heartbeat_at
    if holder.expires_at < scene.now:
        late = f"its lease ran out {scene.ago(holder.expires_at)} ago: the next look of any worker frees it"
        yield Reason(f"{who}: {late}", since)
        yield from _successor(scene, job.queue)
    elif silence * LATE > lease:
        left = span((holder.expires_at - scene.now) / SECOND)
        late = f"last heartbeat {scene.ago(holder.heartbeat_at)} ago, taken over in {left} unless it beats again"
        yield Reason(f"{who}, {late}", since, when(holder.expires_at))
    else:
        well = f"last heartbeat {scene.ago(holder.heartbeat_at)} ago: it runs, or is about to"
        yield Reason(f"{who} for {scene.ago(job.reserved_at)}, {well}", since)


def _successor(scene: Scene, queue: str) -> Iterator[Reason]:
    if not scene.crew:
        yield Reason("No worker runs that could take it over", command=f"{START} --queue={queue}")


def _unknown(job: Any, kinds: Collection[str]) -> Iterator[Reason]:
    if job.kind not in kinds:
        yield Reason(f"No handler is registered for jobs of kind {job.kind}: whoever claims it gives it up")


def _not_due(scene: Scene, job: Any) -> Iterator[Reason]:
    if job.available_at > scene.now:
        moment = f"until {scene.clock(job.available_at)}, for {span((job.available_at - scene.now) / SECOND)}"
        sentence = f"Put off {moment}: {job.last_error}" if job.last_error else f"Not to be run {moment}"
        yield Reason(sentence, until=when(job.available_at))


def _stopped(scene: Scene, queue: str) -> Iterator[Reason]:
    """Say what an operator has stopped."""
    maintenance, pause = scene.controls.maintenance, scene.controls.pause_of(queue)
    if maintenance:
        yield _wish(scene, maintenance, "Maintenance mode", "flask sms up")
    if pause and pause.name == control.PAUSE + control.EVERY:
        yield _wish(scene, pause, "All queues are paused", "flask sms resume all")
    elif pause:
        yield _wish(scene, pause, f"Queue {queue} is paused", f"flask sms resume {queue}")


def _wish(scene: Scene, wish: Control, what: str, command: str) -> Reason:
    by = f" by {wish.author}" if wish.author else ""
    until = f" until {scene.clock(wish.until)}" if wish.until else ""
    why = f" ({wish.reason})" if wish.reason else ""
    sentence = f"{what}{by} since {scene.clock(wish.since)}{until}{why}"
    return Reason(sentence, when(wish.since), None if wish.until is None else when(wish.until), command)


def _served(scene: Scene, queue: str) -> Iterator[Reason]:
    crew = scene.serving(queue)
    if not crew:
        others = f"; {len(scene.crew)} listen on other queues" if scene.crew else ""
        yield Reason(f"No worker listens on queue {queue}{others}", command=f"{START} --queue={queue}")
    elif all(worker.is_paused for worker in crew):
        pids = " ".join(str(worker.pid) for worker in crew)
        hosts = ", ".join(sorted({worker.host for worker in crew}))
        sentence = f"Every worker of queue {queue} is paused by a signal (on {hosts})"
        yield Reason(sentence, command=f"kill -CONT {pids}")


def _in_line(scene: Scene, job: Any) -> Reason:
    """Say what goes first; nothing of it is counted further than `COUNTED`."""
    crew = scene.serving(job.queue)
    urgent, older = (
        _count(scene, *_ahead(scene, job, jobs.c.priority < job.priority)),
        _count(scene, *_older(scene, job)),
    )
    earlier = [(name, _count(scene, *_ready(scene, name))) for name in _queues_before(crew, job.queue)]
    parts = [(urgent, "more urgent"), (older, "older")]
    ahead = [f"{_many(number)} {what} jobs" for number, what in parts if number]
    ahead += [f"{_many(number)} jobs of queue {name}" for name, number in earlier if number]
    many = f"{len(crew)} worker{'s' if len(crew) > 1 else ''}"
    if ahead:
        sentence = f"Waits behind {' and '.join(ahead)}: {many}, {_first_in_line(scene, job.queue)}"
        return Reason(sentence, when(job.available_at), command=START)
    return Reason(f"Next in line: {many}, {_busy(scene, crew)}", when(job.available_at))


def _ready(scene: Scene, queue: str) -> tuple[sa.ColumnElement[bool], ...]:
    return jobs.c.queue == queue, jobs.c.reserved_at.is_(None), jobs.c.available_at <= scene.now


def _ahead(scene: Scene, job: Any, *more: sa.ColumnElement[bool]) -> tuple[sa.ColumnElement[bool], ...]:
    return (*_ready(scene, job.queue), *more)


def _older(scene: Scene, job: Any) -> tuple[sa.ColumnElement[bool], ...]:
    same_time = sa.and_(jobs.c.available_at == job.available_at, jobs.c.id < job.id)
    is_older = sa.or_(jobs.c.available_at < job.available_at, same_time)
    return _ahead(scene, job, jobs.c.priority == job.priority, is_older)


def _count(scene: Scene, *conditions: sa.ColumnElement[bool]) -> int:
    some = sa.select(jobs.c.id).where(*conditions).limit(COUNTED + 1).subquery()
    return scene.session.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()


def _many(number: int) -> str:
    return f"{number:,}" if number <= COUNTED else f"more than {COUNTED:,}"


def _queues_before(crew: Sequence[Any], queue: str) -> list[str]:
    """Name the queues that every worker of `queue` asks before it."""
    orders = [worker.queues.split(",") for worker in crew]
    before = [order[: order.index(queue)] for order in orders]
    return [name for name in before[0] if all(name in others for others in before)]


def _first_in_line(scene: Scene, queue: str) -> str:
    order = (jobs.c.priority, jobs.c.available_at, jobs.c.id)
    first = scene.session.execute(sa.select(jobs.c.available_at).where(*_ready(scene, queue)).order_by(*order).limit(1))
    oldest = first.scalar()
    return f"the first in line has waited for {scene.ago(oldest)}" if oldest else "which take them now"


def _busy(scene: Scene, crew: Sequence[Any]) -> str:
    held = sa.select(sa.func.count(), sa.func.min(jobs.c.reserved_at))
    row = scene.session.execute(held.where(jobs.c.worker_id.in_([worker.id for worker in crew]))).one()
    if not row[0]:
        return "and none is busy: it starts at the next look"
    return f"busy with {row[0]:,} job{'s' if row[0] > 1 else ''}, the longest for {scene.ago(row[1])}"
