"""Why a job does not move: in words, since when, until when, and with the command that helps."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.queue import control
from smsqueue.queue.control import Control, Controls
from smsqueue.queue.dispatch import SECOND, clock_us, jobs, when
from smsqueue.queue.failed import is_named
from smsqueue.queue.groups import Limit
from smsqueue.queue.holding import is_held
from smsqueue.queue.models import FailedJob
from smsqueue.queue.workers import is_running, workers

COUNTED = 10_000
"""Who has more jobs in front of it learns only that it is more."""
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
    who: str | None = None
    """Who or what can end it, where the sentence says so; it is the end of the sentence."""
    is_moving: bool = False
    """It only takes long: meanwhile it goes on."""
    is_usual: bool = False
    """It only waits for its turn: nothing is wrong."""


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
    limit_of: Limit | None
    """How many jobs of a group may be held at once."""

    @classmethod
    def look(cls, session: Session, limit_of: Limit | None = None) -> "Scene":
        """Look around."""
        now = clock_us(session)
        alive = sa.select(workers).where(is_running, workers.c.expires_at >= now)
        return cls(session, now, control.read(session), session.execute(alive.order_by(workers.c.id)).all(), limit_of)

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


def explain(session: Session, wanted: str, kinds: Collection[str], limit_of: Limit | None = None) -> Answer | None:
    """Say why a job (by number or uuid) does not move; None when nothing is known of it.

    `kinds` are those that a handler is registered for, `limit_of` is the registry's limit of groups.
    """
    job = _find(session, wanted)
    if job is not None:
        tries = f", tried {job.attempts} times" if job.attempts > 1 else ""
        return Answer(
            f"Job {job.id} ({job.kind}) of queue {job.queue}{tries}",
            tuple(reasons(Scene.look(session, limit_of), job, kinds)),
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
    return found or [*_crowded(scene, job)] or [_in_line(scene, job)]


def given_up(failed: FailedJob) -> Reason:
    """Say that a job was given up, and why."""
    sentence = f"Given up at {failed.failed_at:%Y-%m-%d %H:%M:%S}: {failed.reason}"
    return Reason(sentence, since=failed.failed_at, command=f"flask sms retry-failed {failed.uuid}")


def span(seconds: float) -> str:
    """Say how long that is, as people do."""
    seconds = max(0, round(seconds))
    if seconds < 120:
        return f"{seconds} s"
    return f"{round(seconds / 60)} min" if seconds < 7200 else f"{round(seconds / 3600)} h"


def _find(session: Session, wanted: str) -> Any:
    return session.execute(sa.select(jobs).where(is_named(jobs.c.id, jobs.c.uuid, wanted))).first()


def _find_failed(session: Session, wanted: str) -> FailedJob | None:
    return session.scalars(sa.select(FailedJob).where(is_named(FailedJob.id, FailedJob.uuid, wanted))).first()


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
    if is_held(job.available_at):
        yield Reason("On hold until somebody lets go of it")
    elif job.available_at > scene.now:
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


def _crowded(scene: Scene, job: Any) -> Iterator[Reason]:
    """Say that as many jobs of its group are held as may be."""
    limit = scene.limit_of(job.queue, job.group_key) if scene.limit_of else 0
    places = (jobs.c.queue == job.queue, jobs.c.group_key == job.group_key, jobs.c.group_slot.isnot(None))
    if limit and scene.session.execute(sa.select(sa.func.count()).where(*places)).scalar_one() >= limit:
        yield Reason(f"Its group {job.group_key} has {_many(limit, 'job')} in workers' hands, as many as it may")


def _in_line(scene: Scene, job: Any) -> Reason:
    """Say what goes first; nothing of it is counted further than `COUNTED`."""
    crew = scene.serving(job.queue)
    urgent = _count(scene, *_ready(scene, job.queue), jobs.c.priority < job.priority)
    older = _count(scene, *_lane(scene, job), _is_older(job))
    earlier = [(name, _count(scene, *_ready(scene, name))) for name in _queues_before(crew, job.queue)]
    ahead = [_many(urgent, "more urgent job")] if urgent else []
    ahead += [_many(older, "older job") + (f" of its group {job.group_key}" if job.group_key else "")] if older else []
    ahead += [f"{_many(number, 'job')} of queue {name}" for name, number in earlier if number]
    many = _many(len(crew), "worker")
    if ahead:
        sentence = f"Waits behind {' and '.join(ahead)}: {many}{_oldest(scene, job) if older else ''}"
        return Reason(sentence, when(job.available_at), command=START)
    return Reason(f"Next in line: {many}, {_busy(scene, crew)}", when(job.available_at))


def _ready(scene: Scene, queue: str) -> tuple[sa.ColumnElement[bool], ...]:
    return jobs.c.queue == queue, jobs.c.reserved_at.is_(None), jobs.c.available_at <= scene.now


def _lane(scene: Scene, job: Any) -> tuple[sa.ColumnElement[bool], ...]:
    """Among these jobs only age decides."""
    return (*_ready(scene, job.queue), jobs.c.priority == job.priority, jobs.c.group_key == job.group_key)


def _is_older(job: Any) -> sa.ColumnElement[bool]:
    same_time = sa.and_(jobs.c.available_at == job.available_at, jobs.c.id < job.id)
    return sa.or_(jobs.c.available_at < job.available_at, same_time)


def _count(scene: Scene, *conditions: sa.ColumnElement[bool]) -> int:
    some = sa.select(jobs.c.id).where(*conditions).limit(COUNTED + 1).subquery()
    return scene.session.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()


def _many(number: int, thing: str) -> str:
    counted = f"{number:,}" if number <= COUNTED else f"more than {COUNTED:,}"
    return f"{counted} {thing}{'' if number == 1 else 's'}"


def _queues_before(crew: Sequence[Any], queue: str) -> list[str]:
    """Name the queues that every worker of `queue` asks before it."""
    orders = [worker.queues.split(",") for worker in crew]
    before = [order[: order.index(queue)] for order in orders]
    return [name for name in before[0] if all(name in others for others in before)]


def _oldest(scene: Scene, job: Any) -> str:
    oldest = sa.select(jobs.c.available_at).where(*_lane(scene, job)).order_by(jobs.c.available_at).limit(1)
    since = scene.session.execute(oldest).scalar()
    return f", the oldest has waited for {scene.ago(since)}" if since else ""


def _busy(scene: Scene, crew: Sequence[Any]) -> str:
    held = sa.select(sa.func.count(), sa.func.min(jobs.c.reserved_at))
    row = scene.session.execute(held.where(jobs.c.worker_id.in_([worker.id for worker in crew]))).one()
    if not row[0]:
        return "and none is busy: it starts at the next look"
    return f"busy with {_many(row[0], 'job')}, the longest for {scene.ago(row[1])}"
