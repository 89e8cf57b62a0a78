"""Running a drill: real worker processes, some of them killed, and a look at the books afterwards."""

import os
import random
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.errors import SmsQueueError
from smsqueue.db import Database
from smsqueue.queue import drill
from smsqueue.queue.dispatch import clock_us, enqueue_many, jobs
from smsqueue.queue.drill import Books
from smsqueue.queue.hands import BATCH
from smsqueue.queue.stops import Stops
from smsqueue.queue.workers import is_running, steady, workers

LOOK_SECONDS = 1.0
"""How often a worker looks for dead ones, at most."""
SLACK_SECONDS = 1.0
"""What a busy machine may add."""
START_SECONDS = 60.0
SPARE_SECONDS = 60.0
TICK_SECONDS = 0.1
SHORTEST, LONGEST = 0.005, 0.5
"""What a job may take, in seconds."""


class CannotDrill(SmsQueueError):
    """The drill's workers did not start, or did not get to work."""


class BrokenOff(SmsQueueError):
    """Somebody stopped the drill in the middle."""

    def __init__(self) -> None:
        super().__init__("The drill was broken off; nothing of it is left.")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a drill does.

    `command` starts a parent with one worker and gets `--queue=` added; with `environment` it must give that worker
    the lease and the pause between looks named here.
    """

    command: Sequence[str]
    environment: Mapping[str, str]
    lease: float
    poll: float
    each: int = 150
    """Jobs of each kind."""
    crew: int = 3
    seconds: float = 20
    kills: bool = True

    @property
    def job_seconds(self) -> float:
        """How long each job takes, so that the work lasts about as long as the killing."""
        return min(LONGEST, max(SHORTEST, 0.8 * self.seconds * self.crew / (2 * self.each)))

    @property
    def limit(self) -> float:
        """Within how many seconds the jobs of a dead worker are in other hands: lease, look, job in hand, poll."""
        return self.lease + LOOK_SECONDS + self.job_seconds + self.poll + SLACK_SECONDS


@dataclass(frozen=True, slots=True)
class Kill:
    """One worker that was killed; `alone` leaves its parent alive to replace it."""

    worker_id: int
    pid: int
    alone: bool
    held: int
    seconds: float
    """Until its jobs were free; without a parent, until the first of them was in other hands."""


@dataclass
class Outcome:
    """What a drill has shown."""

    plan: Plan
    kills: list[Kill] = field(default_factory=list)
    books: Books | None = None
    foreign: int = 0
    """Jobs of other queues that were seen in the hands of the drill's workers."""

    def slowest(self, *, alone: bool) -> float:
        """Return the longest takeover after deaths of one sort."""
        return max((kill.seconds for kill in self.kills if kill.alone == alone and kill.held), default=0.0)

    @property
    def result(self) -> dict[str, Any]:
        """Return the figures, and whether every promise was kept."""
        books = self.books
        if books is None:
            return {"ok": False}
        figures = {
            "jobs": 2 * self.plan.each,
            "kills": len(self.kills),
            "lost": books.lost(self.plan.each),
            "left": books.left,
            "failed": books.failed,
            "twice": books.twice,
            "repeated": books.repeated,
            "foreign": self.foreign,
        }
        slowest = self.slowest(alone=False)
        broken = any(figures[name] for name in ("lost", "left", "failed", "twice", "foreign"))
        few = books.repeated <= BATCH * len(self.kills)
        ok = not broken and few and slowest <= self.plan.limit and (bool(self.kills) or not self.plan.kills)
        times = {"takeover_max_s": round(slowest, 2), "takeover_limit_s": round(self.plan.limit, 2)}
        return {**figures, **times, "replaced_max_s": round(self.slowest(alone=True), 2), "ok": ok}


class Crew:
    """The drill's own processes: each a parent with its worker, in a group of its own."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._command, self._log = list(command), log
        self._environment = {**os.environ, **environment}
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """Start one more."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603 - our own command line
                self._command, env=self._environment, stdout=log, stderr=log, start_new_session=True
            )
        self.processes.append(process)

    def kill(self, pid: int, *, alone: bool) -> None:
        """Kill a worker, alone or with its parent."""
        if alone:
            os.kill(pid, signal.SIGKILL)
            return
        group = os.getpgid(pid)
        os.killpg(group, signal.SIGKILL)
        for process in [each for each in self.processes if each.pid == group]:
            process.wait()
            self.processes.remove(process)

    def end(self, seconds: float) -> None:
        """Ask all to end, and end those that do not within `seconds`."""
        for process in self.processes:
            process.terminate()
        deadline = steady() + seconds
        for process in self.processes:
            with suppress(subprocess.TimeoutExpired):
                process.wait(max(0.01, deadline - steady()))
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def last_words(self) -> str:
        """Return the end of what they printed."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])

    @property
    def has_ended(self) -> bool:
        """Say whether one of them ended by itself."""
        return any(process.poll() is not None for process in self.processes)


class Drill:
    """One drill, from its first job to its last row; `say` is told what happens."""

    def __init__(self, database: Database, plan: Plan, say: Callable[[str], None], stops: Stops) -> None:
        self.database, self.plan, self._say, self._stops = database, plan, say, stops
        self.name = secrets.token_hex(4)
        self.outcome = Outcome(plan)

    def run(self) -> Outcome:
        """Do it; whatever happens, nothing of it stays behind. Raises CannotDrill, or BrokenOff at a wish to stop."""
        with self._crew() as crew:
            made = drill.make_jobs(self.name, self.plan.each, self.plan.job_seconds)
            self.database.write(lambda session: enqueue_many(session, made))
            for _ in range(self.plan.crew):
                crew.start()
            self._wait(crew, lambda: len(self._alive()) >= self.plan.crew, START_SECONDS, "did not start")
            self._say(f"{self.plan.crew} workers serve {2 * self.plan.each:,} jobs of the queue {self._queue}.")
            self._kill_some(crew)
            self._wait(crew, lambda: not self._left(), self.plan.seconds + SPARE_SECONDS, "did not finish")
            crew.end(SPARE_SECONDS)
            self.outcome.books = self._read(partial(drill.read_books, drill=self.name))
        return self.outcome

    @contextmanager
    def _crew(self) -> Iterator[Crew]:
        with TemporaryDirectory(prefix="smsqueue-drill-") as folder:
            command = (*self.plan.command, f"--queue={self._queue}")
            crew = Crew(command, self.plan.environment, Path(folder, "output"))
            try:
                yield crew
            finally:
                crew.end(self.plan.lease)
                while self.database.write(partial(drill.sweep, drill=self.name)):
                    time.sleep(TICK_SECONDS)  # what a killed one had sent already may still arrive

    @property
    def _queue(self) -> str:
        return drill.queue_of(self.name)

    def _kill_some(self, crew: Crew) -> None:
        ends, alone = steady() + self.plan.seconds, False
        while self.plan.kills and steady() < ends and self._left():
            self._rest(random.uniform(0.2, 0.7))  # noqa: S311 - any moment will do
            victims = [(row.id, row.pid) for row in self._alive() if self._held_by(row.id)]
            if victims:
                self._kill(crew, *random.choice(victims), alone=alone)  # noqa: S311
                alone = not alone

    def _kill(self, crew: Crew, worker_id: int, pid: int, *, alone: bool) -> None:
        with suppress(ProcessLookupError):
            crew.kill(pid, alone=alone)
        began, held = steady(), self._held_by(worker_id)
        if not alone:
            crew.start()
        patience = self.plan.limit + SPARE_SECONDS
        self._wait(crew, lambda: self._is_free(held, alone=alone), patience, "took nothing over")
        kill = Kill(worker_id, pid, alone, len(held), steady() - began)
        self.outcome.kills.append(kill)
        what, fate = ("worker", "free again") if alone else ("worker and parent", "taken over")
        who = f"{what} {worker_id} (pid {pid})"
        self._say(f"Killed {who}; jobs in its hands: {kill.held}, {fate} after {kill.seconds:.1f} s.")

    def _wait(self, crew: Crew, condition: Callable[[], bool], seconds: float, failure: str) -> None:
        deadline = steady() + seconds
        while not condition():
            if crew.has_ended:
                raise CannotDrill(f"one of the drill's workers ended by itself: {crew.last_words()}")
            if steady() > deadline:
                raise CannotDrill(f"the drill's workers {failure} within {seconds:.0f} s: {crew.last_words()}")
            self.outcome.foreign = max(self.outcome.foreign, self._read(self._foreign))
            self._rest(TICK_SECONDS)

    def _rest(self, seconds: float) -> None:
        if self._stops.wait(seconds):
            raise BrokenOff

    def _read(self, use_case: Callable[[Session], Any]) -> Any:
        with self.database.reading() as session:
            return use_case(session)

    def _alive(self) -> Sequence[Any]:
        def look(session: Session) -> Sequence[Any]:
            mine = (workers.c.queues == self._queue, is_running)
            return session.execute(
                sa.select(workers.c.id, workers.c.pid).where(*mine, workers.c.expires_at > clock_us(session))
            ).all()

        found: Sequence[Any] = self._read(look)
        return found

    def _held_by(self, worker_id: int) -> set[tuple[int, str]]:
        held = sa.select(jobs.c.id, jobs.c.claim_token).where(jobs.c.worker_id == worker_id)
        return {(row.id, row.claim_token) for row in self._read(lambda session: session.execute(held).all())}

    def _is_free(self, held: set[tuple[int, str]], *, alone: bool) -> bool:
        """Say whether none of these is in dead hands any more; a parent puts them back in the line, without one the
        first must be in other hands by now, or done.
        """
        ids, tokens = [job_id for job_id, _ in held], {token for _, token in held}
        now = sa.select(jobs.c.claim_token).where(jobs.c.id.in_(ids))
        found = self._read(lambda session: session.execute(now).scalars().all())
        waiting = sum(token is None for token in found)
        return not tokens & set(found) and (alone or not held or waiting < len(ids))

    def _left(self) -> bool:
        any_left = sa.select(jobs.c.id).where(jobs.c.queue == self._queue).limit(1)
        return self._read(lambda session: session.execute(any_left).first()) is not None

    def _foreign(self, session: Session) -> int:
        mine = sa.select(workers.c.id).where(workers.c.queues == self._queue)
        others = sa.select(sa.func.count()).where(jobs.c.worker_id.in_(mine), jobs.c.queue != self._queue)
        return session.execute(others).scalar_one()
