"""The loop of one worker process: claim, run, finish, until there is a reason to stop."""

import random
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from smsqueue.db import Database, first_line, is_away
from smsqueue.queue import control, wakeup, workers
from smsqueue.queue.desk import Desk
from smsqueue.queue.events import emit
from smsqueue.queue.hands import AtOnce, Hands, InTurn
from smsqueue.queue.lease import Lease
from smsqueue.queue.link import Link, NoLink
from smsqueue.queue.memory import resident_mib
from smsqueue.queue.order import Order
from smsqueue.queue.registry import Registry
from smsqueue.queue.rounds import Rounds
from smsqueue.queue.runner import Runner
from smsqueue.queue.stops import Stops
from smsqueue.queue.wakeup import Wakeup
from smsqueue.queue.workers import steady

AWAY_SECONDS = 30
PAUSED_SECONDS = 1.0
"""How often a worker that may not begin anything looks round."""
SHORT_LULL_SECONDS = 2.0
"""A worker that ends when nothing is ready waits for the end of so short a lull."""
OUT_OF_MEMORY = 12
"""The exit code of a worker that grew past its limit, as in Laravel."""
NO_LINK = NoLink()


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
    threads: int = 1
    """How many jobs run at once."""
    urgent_priority: int | None = None
    """One of the threads is kept for jobs whose priority is at most this."""
    force: bool = False
    """Work during maintenance, too."""


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
        self.database, self.registry, self.options, self.stops, self.link = database, registry, options, stops, link
        self.order = Order(options.queues, options.max_wait)
        self.order.groups.limit_of = registry.group_limit
        self.desk = Desk(database, self.order, self._look_round, self._may_hurry)
        self.rounds = Rounds(database, options.queues, chores)
        self.wakeup = Wakeup()
        self.lease: Lease | None = None
        self.hands: Hands | None = None
        self._done_before = 0
        """What was done under names that are lost."""
        self._stamp: int | None = None
        self._is_called = False
        """It was woken for a job that came."""
        self._began = steady()
        self._told: dict[str, Any] = {}

    def run(self) -> Ending:
        """Work until there is a reason to stop, sign off, and return that reason."""
        ending = None
        try:
            while ending is None:
                ending = self._try_turn()
            self._sign_off(ending)
        finally:
            self.wakeup.close()
        return ending

    def _try_turn(self) -> Ending | None:
        try:
            return self._turn()
        except DBAPIError as error:
            if not is_away(error):
                self._report(error)
                raise
            return self._wait_for_database(error)
        except Exception as error:
            self._report(error)
            raise

    def _report(self, error: Exception) -> None:
        trace = self.registry.scrub("".join(traceback.format_exception(error)))
        emit("worker.error", worker_id=self.desk.worker_id, trace=trace)

    def _turn(self) -> Ending | None:
        ending = self._ending()
        if ending:
            return ending
        hands = self._hands_of_the_living()
        self.rounds.do_chores()
        self._tell_news()
        if self._hindrance():
            self.desk.exchange(0)
            return self._idle(hands)
        if hands.work(self._most()):
            self.wakeup.found()
            return Ending("one job was asked for") if self.options.once else None
        return self._idle(hands)

    def _idle(self, hands: Hands) -> Ending | None:
        lull = self.order.lulls.seconds
        if not hands.running and not self._stays() and (lull is None or lull > SHORT_LULL_SECONDS):
            return self._ending() or Ending(self._hindrance() or "no job is ready")
        if self._is_outdated():
            return None
        if self._hindrance() or not hands.has_room:
            self.stops.wait(min(PAUSED_SECONDS, self.options.sleep))
        else:
            sleep = self.options.sleep if lull is None else min(self.options.sleep, lull)
            self._is_called = self.wakeup.wait(sleep, self.stops)
        return None

    def _stays(self) -> bool:
        return self.options.daemon and not self.options.once

    def _hindrance(self) -> str | None:
        """Say why nothing may be begun; paused queues are the order's business."""
        if self.stops.is_paused:
            return "paused"
        return "maintenance" if self.rounds.controls.maintenance and not self.options.force else None

    def _most(self) -> int:
        """Return how many jobs may still be done; 0 for any number."""
        if self.options.once:
            return 1
        return self.options.max_jobs and self.options.max_jobs - self._done()

    def _done(self) -> int:
        return self._done_before + (self.hands.done if self.hands else 0)

    def _ending(self) -> Ending | None:
        options = self.options
        if self.stops.reason:
            return Ending(self.stops.reason)
        if options.memory_mib and resident_mib() > options.memory_mib:
            return Ending(f"memory is over {options.memory_mib:g} MiB", OUT_OF_MEMORY)
        if self._is_outdated():
            return Ending("restart was asked for", control.RESTART_CODE)
        if options.max_time and steady() - self._began >= options.max_time:
            return Ending("its time is over")
        if options.max_jobs and self._done() >= options.max_jobs:
            return Ending("it has done the number of jobs asked for")
        return None

    def _is_outdated(self) -> bool:
        return self._stamp is not None and self.rounds.controls.restart > self._stamp

    def _look_round(self, session: Session) -> bool:
        """Learn what operators want; say whether anything may be claimed."""
        if self.rounds.look(session, self.desk.worker_id, in_a_hurry=self._is_called):
            self.order.controls = self.rounds.controls
            self.wakeup.prove(session)
        return not self._hindrance() and not self._is_outdated()

    def _may_hurry(self) -> bool:
        """Say whether what was last learned still lets jobs be claimed, and nothing is to be learned now."""
        return not (self.rounds.is_time_to_look or self._hindrance() or self._is_outdated())

    def _words(self) -> dict[str, Any]:
        """Return what is told with each beat."""
        memory = round(resident_mib())
        return {"jobs_done": self._done(), "memory_mib": memory, "threads": self.options.threads, **self._state()}

    def _relieve(self) -> None:
        if self.hands:
            self.hands.relieve()

    def _state(self) -> dict[str, Any]:
        return {"is_paused": self.stops.is_paused, "wakeup": self.wakeup.state}

    def _tell_news(self) -> None:
        """Tell at once what should not wait for the next beat."""
        if self.lease and self._told != self._state():
            self._told = self._state()
            self.lease.beat()

    def _wait_for_database(self, error: DBAPIError) -> Ending | None:
        """Wait until the database answers again; then begin with nothing in hand but what runs."""
        emit("database.away", worker_id=self.desk.worker_id, reason=first_line(error))
        pause = 0.5
        while not self.stops.wait(pause * random.uniform(0.5, 1)):  # noqa: S311 - jitter, not a secret
            try:
                self.desk.take_stock(self.hands.running if self.hands else [])
            except DBAPIError:
                pause = min(AWAY_SECONDS, pause * 2)
                continue
            if self.hands:
                self.hands.put_down()
            emit("database.back", worker_id=self.desk.worker_id)
            return None
        return Ending(self.stops.reason or "stopped")

    def _hands_of_the_living(self) -> Hands:
        """Return what runs our jobs: new hands, under a new name, when we were taken for dead meanwhile."""
        if self.lease and not self.lease.is_lost and not self.lease.is_fresh:
            self.lease.beat()  # after a sleep or an outage: are we still who we were?
        if self.lease and not self.lease.is_lost and self.hands:
            return self.hands
        if self.lease and self.hands:
            self.lease.stop()
            self.hands.drain()  # what runs under the lost name notices by itself
        self._register()
        self.hands = self._new_hands()
        return self.hands

    def _register(self) -> None:
        """Become a worker, for the first time or after the lease was lost (others hold then what was in hand)."""
        options = self.options
        if self._stays() and type(self.wakeup) is Wakeup:
            self.wakeup = wakeup.build(self.database.engine, options.queues)

        def begin(session: Session) -> tuple[int, int]:
            self._told = self._state()
            worker_id = workers.register(session, options.queues, options.lease, threads=options.threads, **self._told)
            return worker_id, control.restart_stamp(session)

        self.desk.finished = []
        self._done_before = self._done()
        self.hands = None
        self.desk.worker_id, stamp = self.database.write(begin)
        if self._stamp is None:  # what was asked for while we were taken for dead is meant for us, too
            self._stamp = stamp
        beats = options.lease, options.heartbeat
        self.lease = Lease(self.database, self.desk.worker_id, *beats, words=self._words, relieve=self._relieve)
        self.lease.start()
        self.link.registered(self.desk.worker_id)
        emit("worker.started", worker_id=self.desk.worker_id, queues=",".join(options.queues))

    def _new_hands(self) -> Hands:
        assert self.lease  # noqa: S101 - we have just registered
        runner = Runner(self.registry, self.database, self.lease, self.stops, self.order, self.rounds.tally)
        options = self.options
        if options.threads > 1 and not options.once:
            return AtOnce(
                self.desk, runner, self.link, self.stops, threads=options.threads, urgent=options.urgent_priority
            )
        return InTurn(self.desk, runner, self.link, self.stops)

    def _sign_off(self, ending: Ending) -> None:
        if self.lease is None or self.hands is None:
            return
        self.hands.drain()
        self.lease.stop()
        self.rounds.tally.flush(self.database)
        try:
            self.desk.sign_off(self.hands.waiting, ending.reason, self._done())
        except DBAPIError as error:
            emit("database.away", worker_id=self.desk.worker_id, reason=first_line(error))
        emit("worker.stopped", worker_id=self.desk.worker_id, reason=ending.reason, jobs=self._done())
