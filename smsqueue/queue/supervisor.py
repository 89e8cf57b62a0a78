"""The parent of worker processes: starts them, watches their clocks, replaces them, takes them down in good order.

The parent has one thread and starts workers by exec, never by fork. It opens a connection only for an action.
"""

import math
import select
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.exc import DBAPIError

from smsqueue.db import Database, first_line
from smsqueue.queue.aftermath import TIME_IS_OVER, bury, in_words
from smsqueue.queue.child import Child
from smsqueue.queue.control import RESTART_CODE
from smsqueue.queue.events import emit
from smsqueue.queue.registry import Registry
from smsqueue.queue.stops import PAUSE, RESUME, Stops
from smsqueue.queue.systemd import Systemd
from smsqueue.queue.worker import OUT_OF_MEMORY
from smsqueue.queue.workers import steady

CRASHED = 1
"""A worker that ends like this had an error of its own; where none was ever registered, none can start at all."""
IN_ORDER = (0, OUT_OF_MEMORY, RESTART_CODE)
"""How a worker ends that has signed off."""
SECOND_SIGNAL_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 30.0
SETTLED_SECONDS = 60.0
"""A worker that lived this long did not die at once."""
LOOK_SECONDS = 0.5
GATHER_SECONDS = 0.01
"""What workers say in this time is read at once: they begin thousands of jobs a second."""
SHORTEST_SECONDS = 0.005
NO_MANAGER = Systemd()


@dataclass(eq=False)
class Seat:
    """The place of one worker: who works there, when the next one begins, and how many died in it at once."""

    child: Child | None = None
    due: float = 0.0
    """When the next worker is started; infinity: never."""
    has_served: bool = False
    """A worker was registered here."""
    deaths: int = 0
    code: int = 0
    """How the last one ended."""


class Supervisor:
    """Keeps `count` worker processes running until they end by themselves or a signal asks for the end.

    `is_once`: they were asked for one job, so there is nothing to replace.
    """

    def __init__(
        self,
        command: Sequence[str],
        database: Database,
        registry: Registry,
        *,
        grace: float,
        stops: Stops,
        count: int = 1,
        is_once: bool = False,
        systemd: Systemd = NO_MANAGER,
    ) -> None:
        self.command, self.database, self.registry = list(command), database, registry
        self.grace, self.stops, self.is_once, self.systemd = grace, stops, is_once, systemd
        self.seats = [Seat() for _ in range(count)]
        self._forced = math.inf
        self._is_restarting = self._was_ready = self._has_heard = False
        self._next_sign = 0.0

    def run(self) -> int:
        """Return the exit code once there is no worker left, and none to replace.

        RESTART_CODE: all have stopped in order to be started anew, with the parent.
        """
        while self._goes_on():
            self._staff()
            self._wait()
            for seat in self.seats:
                if seat.child:
                    self._attend(seat, seat.child)
            self._report()
        if self._is_restarting and not self.stops.reason:
            self.systemd.reloading()
            return RESTART_CODE
        return max(0 if seat.code == RESTART_CODE else seat.code for seat in self.seats)

    @property
    def children(self) -> list[Child]:
        """The processes that run at this moment."""
        return [seat.child for seat in self.seats if seat.child]

    def _goes_on(self) -> bool:
        is_ending = self.stops.reason or self._is_restarting
        return bool(self.children) or (not is_ending and any(seat.due < math.inf for seat in self.seats))

    def _staff(self) -> None:
        """Start workers whose time has come, and pass on what signals ask for."""
        if self.stops.reason and self._forced == math.inf:
            self._forced = steady() + self.grace
            self.systemd.stopping()
            self._ask_to_end()
        for seat in self.seats:
            is_free = seat.child is None and not self.stops.reason and not self._is_restarting
            if is_free and seat.due <= steady():
                seat.child = Child.start(self.command, self.systemd.watchdog_seconds / 4)
        for child in self.children:
            if child.worker_id and child.is_paused != self.stops.is_paused:
                child.is_paused = self.stops.is_paused
                child.process.send_signal(PAUSE if child.is_paused else RESUME)

    def _ask_to_end(self) -> None:
        for child in self.children:
            child.process.send_signal(signal.SIGTERM)

    def _wait(self) -> None:
        """Sleep until somebody says something, a signal comes, or a time is over; hear what was said."""
        signals = self.stops.fileno()
        if self._has_heard:
            select.select([signals], [], [], GATHER_SECONDS)
        pipes = {child.said: child for child in self.children if not child.is_silent}
        # A worker falls silent in the moment before it ends.
        limits = [steady() + (LOOK_SECONDS if len(pipes) == len(self.children) else 2 * GATHER_SECONDS), self._forced]
        limits += [child.deadline for child in self.children]
        limits += [seat.due for seat in self.seats if seat.child is None]
        seconds = max(SHORTEST_SECONDS, min(limits) - steady())
        readable, _, _ = select.select([signals, *pipes], [], [], seconds)
        if signals in readable:
            self.stops.take()
        heard = [pipes[pipe] for pipe in readable if pipe in pipes]
        for child in heard:
            child.listen()
        self._has_heard = bool(heard)

    def _attend(self, seat: Seat, child: Child) -> None:
        if child.process.poll() is not None:
            self._part(seat, child)
        elif steady() > min(self._forced, child.deadline) or self._insists():
            child.kill()
        seat.has_served = seat.has_served or child.worker_id is not None

    def _insists(self) -> bool:
        # Terminals and service managers signal the whole group, often twice: a second wish counts after a second.
        if self._forced == math.inf:
            return False
        is_late = steady() > self._forced - self.grace + SECOND_SIGNAL_SECONDS
        if not is_late:
            self.stops.signals = min(self.stops.signals, 1)
        return is_late and self.stops.signals > 1

    def _part(self, seat: Seat, child: Child) -> None:
        """See how a worker has ended, and decide what becomes of its place."""
        code = child.close()
        seat.child, seat.code, seat.due = None, max(code, 0), math.inf
        seat.has_served = seat.has_served or child.worker_id is not None
        if code not in IN_ORDER:
            self._bury(child, TIME_IS_OVER if child.overdue else in_words(code))
        if self.stops.reason or self._is_restarting:
            return
        if code == RESTART_CODE:
            self._is_restarting = True
            self._ask_to_end()  # the others have seen the wish, too, or are too new to have
        elif self._is_to_replace(child, code):
            seat.due = steady() + self._pause(seat, child)
        elif code not in IN_ORDER:
            seat.code = CRASHED if code < 0 else code

    def _is_to_replace(self, child: Child, code: int) -> bool:
        if self.is_once or code in (0, RESTART_CODE):
            return False
        if code == OUT_OF_MEMORY:
            return len(self.seats) > 1 and child.has_worked
        return code < 0 or any(seat.has_served for seat in self.seats)

    def _pause(self, seat: Seat, child: Child) -> float:
        """Return the seconds until the next one starts: longer each time a worker dies without having worked."""
        has_settled = child.has_worked or steady() - child.born > SETTLED_SECONDS
        seat.deaths = 0 if has_settled else seat.deaths + 1
        pause = 0.0 if seat.deaths <= 1 else min(LONGEST_PAUSE_SECONDS, 0.25 * 2**seat.deaths)
        emit("worker.replaced", worker_id=child.worker_id, pause=pause)
        return pause

    def _bury(self, child: Child, reason: str) -> None:
        if child.worker_id is None:
            return
        try:
            bury(self.database, self.registry, child.worker_id, reason, culprits=child.culprits)
        except DBAPIError as error:  # the lease will run out instead
            emit("database.away", worker_id=None, reason=first_line(error))
        finally:
            self.database.dispose()
        emit("worker.died", worker_id=child.worker_id, reason=reason)

    def _report(self) -> None:
        """Tell the service manager how we are."""
        if not self._was_ready and all(seat.has_served for seat in self.seats):
            self._was_ready = True
            self.systemd.ready()
        registered = sum(child.worker_id is not None for child in self.children)
        running = sum(len(child.running) for child in self.children)
        self.systemd.status(f"workers {registered} of {len(self.seats)}, {'busy' if running else 'idle'}")
        patience = self.systemd.watchdog_seconds / 2
        if not patience or steady() < self._next_sign:
            return
        if self.children and all(steady() - child.heard < patience for child in self.children):
            self._next_sign = steady() + patience
            self.systemd.alive()
