"""The loop of one worker process: claim, run, finish, until there is a reason to stop."""

import random
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from smsqueue.db import Database, first_line, is_away
from smsqueue.queue import claim as claims
from smsqueue.queue import control, workers
from smsqueue.queue.claim import Claim
from smsqueue.queue.events import emit
from smsqueue.queue.lease import Lease
from smsqueue.queue.link import Link, NoLink
from smsqueue.queue.memory import resident_mib
from smsqueue.queue.order import Order
from smsqueue.queue.registry import Registry
from smsqueue.queue.runner import Runner
from smsqueue.queue.stops import Stops
from smsqueue.queue.workers import steady

BATCH = 100
"""The most jobs of one claim."""
QUICK_SECONDS = 0.05
"""A batch that took less lets the next one be twice as large."""
AWAY_SECONDS = 30
CHORES_SECONDS = 60
NO_LINK = NoLink()
OUT_OF_MEMORY = 12
"""The exit code of a worker that grew past its limit, as in Laravel."""


@dataclass(frozen=True, slots=True)
class Options:
    """How one worker works; times in seconds, 0 for no limit."""

    queues: Sequence[str]
    daemon: bool = False
    once: bool = False
    sleep: float = 3
    memory_mib: float = 128
    max_jobs: int = 0
    max_time: float = 0
    max_wait: float = 30
    lease: float = 60
    heartbeat: float = 10


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a worker stopped, and its exit code."""

    reason: str
    code: int = 0


class Worker:
    """One process that works on jobs.

    `link` is told who it is and which jobs run; `chores` are done once a minute.
    """

    def __init__(
        self,
        database: Database,
        registry: Registry,
        options: Options,
        stops: Stops,
        *,
        link: Link = NO_LINK,
        chores: Sequence[Callable[[], None]] = (),
    ) -> None:
        self.database, self.registry, self.options, self.stops = database, registry, options, stops
        self.order = Order(options.queues, options.max_wait)
        self.link, self._chores = link, chores
        self._limit, self._id = 1, 0
        self._stamp: int | None = None
        self._began = self._chored = steady()
        self._looked = 0.0
        self._restart_asked = False
        self.lease: Lease | None = None
        self._done = 0
        self._finished: list[Claim] = []
        self._in_hand: list[Claim] = []

    def run(self) -> Ending:
        """Work until there is a reason to stop, sign off, and return that reason."""
        ending = None
        while ending is None:
            try:
                ending = self._turn()
            except DBAPIError as error:
                if not is_away(error):
                    raise
                ending = self._wait_for_database(error)
            except Exception as error:
                emit(
                    "worker.error",
                    worker_id=self._id,
                    trace=self.registry.scrub("".join(traceback.format_exception(error))),
                )
                raise
        self._sign_off(ending)
        return ending

    def _turn(self) -> Ending | None:
        ending = self._ending()
        if ending:
            return ending
        if self.lease and not self.lease.is_lost and not self.lease.is_fresh:
            self.lease.beat()  # after a sleep or an outage: are we still who we were?
        if self.lease is None or self.lease.is_lost:
            self._register()
        self._do_chores()
        self._in_hand = self._claim()
        if not self._in_hand:
            return self._idle()
        began = steady()
        self._run_batch()
        quick = steady() - began < QUICK_SECONDS
        self._limit = min(BATCH, self._limit * 2) if quick and not self.options.once else 1
        return Ending("one job was asked for") if self.options.once else None

    def _run_batch(self) -> None:
        emit("jobs.claimed", worker_id=self._id, ids=[held.id for held in self._in_hand])
        while self._in_hand and self.lease and not self.lease.is_lost:
            began = steady()
            held = self._in_hand[0]
            self.link.started(held, self.registry.policy(held.kind))
            if self.runner.run(held):
                self._finished.append(held)
            self.link.ended(held)
            self._in_hand.pop(0)
            self._done += 1
            self.lease.jobs_done = self._done
            slow = steady() - began > QUICK_SECONDS
            if self._in_hand and (slow or self.stops.reason or self._is_enough()):
                self._hand_back()
        self.link.idle()

    def _claim(self) -> list[Claim]:
        """Finish what is done and take what is next, in one transaction."""

        def turn(session: Session) -> list[Claim]:
            self._finish(session)
            self._look_round(session)
            return self.order.take(session, self._id, self._limit)

        found = self.database.write(turn)
        self._forget_finished()
        return found

    def _finish(self, session: Session) -> None:
        for _, group in groupby(self._finished, key=lambda held: held.token):
            claims.finish(session, list(group))

    def _forget_finished(self) -> None:
        if self._finished:
            emit("jobs.finished", worker_id=self._id, count=len(self._finished), kind=self._finished[0].kind)
        for held in self._finished:
            emit("job.batched", job_id=held.id, kind=held.kind)
        self._finished = []

    def _look_round(self, session: Session) -> None:
        """At most once a second: are there dead workers, does an operator want something?"""
        if steady() - self._looked < 1:
            return
        self._looked = steady()
        self._restart_asked = control.restart_stamp(session) != self._stamp
        for worker_id in workers.bury_expired(session):
            emit("worker.buried", worker_id=worker_id, by=self._id)

    def _hand_back(self) -> None:
        """Give back what was not begun."""
        self.database.write(lambda session: claims.hand_back(session, self._in_hand))
        self._in_hand = []

    def _take_stock(self) -> None:
        """Give back everything: after an outage nobody knows which claims were committed before it."""
        self.database.write(lambda session: claims.hand_back_all(session, self._id, but=self._finished))
        self._in_hand = []

    def _idle(self) -> Ending | None:
        if self.options.once or not self.options.daemon:
            return Ending("no job is ready")
        self.stops.wait(self.options.sleep)
        return None

    def _do_chores(self) -> None:
        if steady() - self._chored >= CHORES_SECONDS:
            self._chored = steady()
            for chore in self._chores:
                chore()

    def _is_enough(self) -> bool:
        return 0 < self.options.max_jobs <= self._done

    def _ending(self) -> Ending | None:
        if self.stops.reason:
            return Ending(self.stops.reason)
        if self.options.memory_mib and resident_mib() > self.options.memory_mib:
            return Ending(f"memory is over {self.options.memory_mib:g} MiB", OUT_OF_MEMORY)
        if self.options.max_time and steady() - self._began >= self.options.max_time:
            return Ending("its time is over")
        if self._is_enough():
            return Ending("it has done the number of jobs asked for")
        if self._restart_asked:
            return Ending("restart was asked for", control.RESTART_CODE)
        return None

    def _wait_for_database(self, error: DBAPIError) -> Ending | None:
        """Wait until the database answers again; then begin with nothing in hand."""
        emit("database.away", worker_id=self._id, reason=first_line(error))
        pause = 0.5
        while not self.stops.wait(pause * random.uniform(0.5, 1)):  # noqa: S311 - jitter, not a secret
            try:
                self._take_stock()
            except DBAPIError:
                pause = min(AWAY_SECONDS, pause * 2)
                continue
            emit("database.back", worker_id=self._id)
            return None
        return Ending(self.stops.reason or "stopped")

    def _register(self) -> None:
        """Become a worker, for the first time or after the lease was lost (others hold then what was in hand)."""

        def begin(session: Session) -> tuple[int, int]:
            worker_id = workers.register(session, self.options.queues, self.options.lease)
            return worker_id, control.restart_stamp(session)

        self._finished, self._in_hand = [], []
        self._id, stamp = self.database.write(begin)
        if self._stamp is None:  # what was asked for while we were taken for dead is meant for us, too
            self._stamp = stamp
        self.lease = Lease(self.database, self._id, self.options.lease, self.options.heartbeat)
        self.lease.jobs_done = self._done
        self.lease.start()
        self.runner = Runner(self.registry, self.database, self.lease, self.stops, self.order)
        self.link.registered(self._id)
        emit("worker.started", worker_id=self._id, queues=",".join(self.options.queues))

    def _sign_off(self, ending: Ending) -> None:
        if self.lease is None:
            return
        self.lease.stop()
        try:
            self.database.write(self._last_words(ending))
        except DBAPIError as error:
            emit("database.away", worker_id=self._id, reason=first_line(error))
        emit("worker.stopped", worker_id=self._id, reason=ending.reason, jobs=self._done)

    def _last_words(self, ending: Ending) -> Callable[[Session], None]:
        def sign_off(session: Session) -> None:
            self._finish(session)
            for _, group in groupby(self._in_hand, key=lambda held: held.token):
                claims.hand_back(session, list(group))
            workers.sign_off(session, self._id, ending.reason, self._done)

        return sign_off
