"""The parent of a worker process: starts it, watches its clock, replaces it, and takes it down in good order.

The parent has one thread and starts workers by exec, never by fork. It opens a connection only for an action.
"""

import math
import os
import select
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from smsqueue.db import Database, first_line
from smsqueue.queue import workers
from smsqueue.queue.claim import Claim
from smsqueue.queue.control import RESTART_CODE
from smsqueue.queue.dispatch import jobs
from smsqueue.queue.events import emit
from smsqueue.queue.link import PIPES
from smsqueue.queue.registry import Registry
from smsqueue.queue.runner import give_up, put_back
from smsqueue.queue.stops import Stops
from smsqueue.queue.worker import OUT_OF_MEMORY
from smsqueue.queue.workers import steady

CRASHED = 1
"""A worker that ends like this had an error of its own; one that was never registered cannot start at all."""
IN_ORDER = (0, OUT_OF_MEMORY, RESTART_CODE)
"""How a worker ends that has signed off."""
SECOND_SIGNAL_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
SETTLED_SECONDS = 60.0
"""A worker that lived this long did not die at once."""


class TimedOut(Exception):
    """A job ran longer than it may."""


@dataclass
class Child:
    """One worker process and what it last said of itself."""

    process: subprocess.Popen[bytes]
    said: int
    lifeline: int
    born: float = field(default_factory=steady)
    worker_id: int | None = None
    running: dict[tuple[int, str], float] = field(default_factory=dict)
    """Ids and claim tokens of the jobs that run, and when each must be over."""
    has_worked: bool = False
    """It got as far as beginning a job; how often a job may end its worker, its tries say."""
    is_silent: bool = False
    """The worker closed its end: nothing more will come."""
    _rest: bytes = b""

    def listen(self) -> None:
        """Read what the worker wrote, as `ParentLink` says it."""
        heard = os.read(self.said, 65536)
        self.is_silent = not heard
        *lines, self._rest = (self._rest + heard).split(b"\n")
        for line in lines:
            self._understand(line.decode().split())

    def _understand(self, words: list[str]) -> None:
        match words:
            case ["worker", number]:
                self.worker_id = int(number)
            case ["job", job_id, token, seconds]:
                self.has_worked = True
                self.running[int(job_id), token] = steady() + (float(seconds) or math.inf)
            case ["done", job_id, token]:
                self.running.pop((int(job_id), token), None)

    @property
    def deadline(self) -> float:
        """When the first of its jobs must be over."""
        return min(self.running.values(), default=math.inf)

    def hear_out(self) -> None:
        """Wait for the process to end and read its last words: they may name the job that ended it."""
        self.process.wait()
        os.set_blocking(self.said, False)
        with suppress(BlockingIOError):  # somebody it started has the pipe open
            while not self.is_silent:
                self.listen()

    def close(self) -> int:
        """Wait for the process to end, close the pipes, return its exit code."""
        self.hear_out()
        code = self.process.wait()
        os.close(self.said)
        os.close(self.lifeline)
        return code


class Supervisor:
    """Keeps one worker process running until it ends by itself or a signal asks for the end.

    `is_once`: it was asked for one job, so there is nothing to replace.
    """

    def __init__(
        self,
        command: Sequence[str],
        database: Database,
        registry: Registry,
        *,
        grace: float,
        stops: Stops,
        is_once: bool = False,
    ) -> None:
        self.command, self.database, self.registry = list(command), database, registry
        self.grace, self.stops, self.is_once = grace, stops, is_once
        self._deaths = 0

    def run(self) -> int:
        """Return the worker's exit code once there is nothing to replace."""
        while True:
            child = self._start()
            code = self._watch(child)
            if self.stops.reason:
                return max(code, 0)
            died = code < 0 or (code not in IN_ORDER and child.worker_id is not None)
            if not died:
                return code
            if self.is_once:
                return CRASHED
            if self._pause(child):
                return 0

    def _start(self) -> Child:
        said, says = os.pipe()
        alive, lifeline = os.pipe()
        environment = {**os.environ, PIPES: f"{says},{alive},0"}
        process = subprocess.Popen(self.command, pass_fds=(says, alive), env=environment)  # noqa: S603 - our own command line
        os.close(says)
        os.close(alive)
        return Child(process, said, lifeline)

    def _watch(self, child: Child) -> int:
        """Follow one worker to its end; a negative code means that it was killed."""
        forced: float | None = None
        while child.process.poll() is None:
            if self.stops.reason and forced is None:
                child.process.terminate()
                forced = steady() + self.grace
            self._wait(child, forced)
            if forced and (steady() > forced or self._insists(forced)):
                child.process.kill()
            elif steady() > child.deadline:
                self._end_overdue(child)
        code = child.close()
        if code not in IN_ORDER:
            self._bury(child, f"exit code {code}")
        return code

    def _wait(self, child: Child, forced: float | None) -> None:
        limits = [limit - steady() for limit in (forced or math.inf, child.deadline)]
        signals = self.stops.fileno()
        pipes = [signals] if child.is_silent else [child.said, signals]
        longest = 0.02 if child.is_silent else 0.5  # a worker falls silent in the moment before it ends
        readable, _, _ = select.select(pipes, [], [], max(0.0, min([longest, *limits])))
        if child.said in readable:
            child.listen()
        if signals in readable:
            self.stops.take()

    def _insists(self, forced: float) -> bool:
        # Terminals and service managers signal the whole group, often twice: a second wish counts after a second.
        late = steady() > forced - self.grace + SECOND_SIGNAL_SECONDS
        if not late:
            self.stops.signals = min(self.stops.signals, 1)
        return late and self.stops.signals > 1

    def _end_overdue(self, child: Child) -> None:
        child.process.kill()
        overdue = [job for job, limit in child.running.items() if limit < steady()]
        child.hear_out()
        for job in overdue:
            if job in child.running:  # else it ended in the last moment
                self._try(partial(self._record_timeout, *job))

    def _record_timeout(self, job_id: int, token: str) -> None:
        held = self.database.write(lambda session: _find(session, job_id, token))
        if held is None:
            return
        policy = self.registry.policy(held.kind)
        reason = f"TimedOut: stopped after {policy.timeout_seconds:g} s"
        if policy.tries and held.attempts >= policy.tries:
            give_up(self.database, self.registry, held, reason, reason)
        else:
            put_back(self.database, held, policy.delay(held.attempts), spent=True, reason=reason)

    def _bury(self, child: Child, reason: str) -> None:
        """Free at once what a dead worker held; only the job that ran has spent a try."""
        worker_id, begun = child.worker_id, [job_id for job_id, _ in child.running]
        if worker_id is None:
            return

        def bury(session: Session) -> None:
            unbegun = sa.update(jobs).where(jobs.c.worker_id == worker_id, jobs.c.id.notin_(begun))
            session.execute(unbegun.values(attempts=jobs.c.attempts - 1))
            workers.bury(session, [worker_id], reason)

        self._try(lambda: self.database.write(bury))
        emit("worker.died", worker_id=worker_id, reason=reason)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except DBAPIError as error:  # the lease will run out instead
            emit("database.away", worker_id=None, reason=first_line(error))
        finally:
            self.database.dispose()

    def _pause(self, child: Child) -> bool:
        """Wait longer each time a worker dies without having worked; True when the wish to stop came meanwhile."""
        has_settled = child.has_worked or steady() - child.born > SETTLED_SECONDS
        self._deaths = 0 if has_settled else self._deaths + 1
        pause = 0.0 if self._deaths <= 1 else min(LONGEST_PAUSE_SECONDS, 0.25 * 2**self._deaths)
        emit("worker.replaced", worker_id=child.worker_id, pause=pause)
        return self.stops.wait(pause)


def _find(session: Session, job_id: int, token: str) -> Claim | None:
    columns = (jobs.c.id, jobs.c.uuid, jobs.c.queue, jobs.c.kind, jobs.c.payload, jobs.c.attempts, jobs.c.priority)
    row = session.execute(sa.select(*columns).where(jobs.c.id == job_id, jobs.c.claim_token == token)).first()
    return Claim(*row, token=token) if row else None
