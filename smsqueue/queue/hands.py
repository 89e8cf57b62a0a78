"""Running what was claimed: one job after the other in the main thread, or several at once in threads."""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from threading import Lock
from typing import Protocol

from smsqueue.db import is_away
from smsqueue.queue.claim import Claim
from smsqueue.queue.desk import Desk
from smsqueue.queue.lease import Lease
from smsqueue.queue.link import Link
from smsqueue.queue.runner import Runner
from smsqueue.queue.stops import Stops
from smsqueue.queue.workers import steady

BATCH = 100
"""The most jobs of one claim."""
QUICK_SECONDS = 0.05
"""A batch that took less lets the next one be twice as large; a job that took more lets the rest of its batch go."""


class Hands(Protocol):
    """What runs a worker's jobs."""

    @property
    def done(self) -> int:
        """How many runs are over."""

    @property
    def running(self) -> list[Claim]:
        """What runs at this moment, beside the caller."""

    @property
    def waiting(self) -> list[Claim]:
        """What is held and does not run."""

    @property
    def has_room(self) -> bool:
        """Say whether more could be taken."""

    def work(self, most: int) -> bool:
        """Take what is next, `most` jobs if that is not 0, and run or start it; say whether there was anything.

        Raises the database's error when the database is away.
        """

    def put_down(self) -> None:
        """Forget what is held and does not run: it was given back."""

    def relieve(self) -> None:
        """Give back what waits behind a job that takes long; called by another thread, now and then."""

    def drain(self) -> None:
        """Wait until nothing runs."""


class InTurn:
    """One job after the other: short ones are claimed, and where that does no harm finished, many at a time."""

    running: list[Claim] = []  # noqa: RUF012 - never anything, since the caller itself runs the job
    has_room = True

    def __init__(self, desk: Desk, runner: Runner, link: Link, stops: Stops) -> None:
        self.done = 0
        self.waiting: list[Claim] = []
        self._desk, self._runner, self._link, self._stops = desk, runner, link, stops
        self._limit = 1
        self._lock = Lock()
        """Held by whoever shortens what waits."""
        self._began = steady()

    def work(self, most: int) -> bool:
        """Claim a batch, run it, and choose the size of the next."""
        found = self._desk.exchange(min(self._limit, most) if most else self._limit)
        if not found:
            return False
        began = self._began = steady()
        self.waiting = found
        if self._run_batch():
            self._limit = 1
        elif steady() - began < QUICK_SECONDS:
            self._limit = min(BATCH, self._limit * 2)
        else:
            self._limit = max(1, self._limit // 2)
        return True

    def put_down(self) -> None:
        """Forget the batch in hand."""
        self.waiting = []

    def relieve(self) -> None:
        """Give back what waits behind a job that takes long."""
        with self._lock:
            if steady() - self._began > QUICK_SECONDS:
                self._hand_back_after(1)

    def drain(self) -> None:
        """Do nothing: while the caller asks, nothing runs."""

    def _run_batch(self) -> bool:
        """Run what is in hand; say whether there was a slow job, which lets all that waits behind it go."""
        is_slow = False
        is_one_of_many = len(self.waiting) > 1
        while self.waiting and is_still_ours(self._runner.lease):
            self._began = steady()
            self._run(self.waiting[0], is_one_of_many)
            self.done += 1
            is_slow = steady() - self._began > QUICK_SECONDS
            with self._lock:
                del self.waiting[0]
                if is_slow or self._stops.reason or self._stops.is_paused:
                    self._hand_back_after(0)
        self._link.idle()
        self._runner.tell_quick()
        return is_slow

    def _hand_back_after(self, first: int) -> None:
        rest = self.waiting[first:]
        if rest:
            self._desk.hand_back(rest)
            del self.waiting[first:]

    def _run(self, held: Claim, is_one_of_many: bool) -> None:
        self._link.started(held, self._runner.registry.policy(held.kind))
        try:
            if self._runner.run(held, is_one_of_many=is_one_of_many):
                self._desk.finished.append(held)
        finally:
            self._link.ended(held)


class AtOnce:
    """Several jobs at once, each in a thread; the caller's thread claims for those that are free, and never more.

    With `urgent` one thread is kept for jobs whose priority is at most that.
    """

    def __init__(
        self, desk: Desk, runner: Runner, link: Link, stops: Stops, *, threads: int, urgent: int | None
    ) -> None:
        self.done = 0
        self.waiting: list[Claim] = []
        self._desk, self._runner, self._link, self._stops = desk, runner, link, stops
        self._threads, self._urgent = threads, urgent
        self._running: dict[Claim, Future[bool]] = {}
        self._ended: deque[Claim] = deque()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="job")

    @property
    def running(self) -> list[Claim]:
        """What runs in the threads."""
        return list(self._running)

    @property
    def has_room(self) -> bool:
        """Say whether a thread is free."""
        return bool(self._ended) or len(self._running) < self._threads

    def work(self, most: int) -> bool:
        """See what has ended, and start new jobs in the threads that are free."""
        allowed = most - len(self._running) if most else self._threads
        self._reap()
        limit, ceiling = self._room()
        limit = min(limit, allowed)
        if limit <= 0 and not self._desk.finished:
            return False
        found = self._desk.exchange(limit, ceiling=ceiling)
        if found and not is_still_ours(self._runner.lease):
            return False  # others hold by now what was found
        for held in found:
            self._start(held)
        return bool(found)

    def put_down(self) -> None:
        """Forget those whose run the database broke off."""
        self.waiting = []

    def relieve(self) -> None:
        """Do nothing: nothing waits behind a job."""

    def drain(self) -> None:
        """Wait for all that run, and let the threads end."""
        wait(self._running.values())
        self._pool.shutdown()
        self._reap(insist=False)

    def _room(self) -> tuple[int, int | None]:
        """Return how many jobs to take, and the largest priority number that they may have."""
        free = self._threads - len(self._running)
        if self._urgent is None:
            return free, None
        ordinary = sum(held.priority > self._urgent for held in self.running)
        open_to_all = min(free, self._threads - 1 - ordinary)
        return (open_to_all, None) if open_to_all > 0 else (free, self._urgent)

    def _start(self, held: Claim) -> None:
        self._running[held] = future = self._pool.submit(self._run, held)
        future.add_done_callback(partial(self._on_end, held))

    def _run(self, held: Claim) -> bool:
        self._link.started(held, self._runner.registry.policy(held.kind))
        try:
            return self._runner.run(held)
        finally:
            self._link.ended(held)
            self._link.idle()

    def _on_end(self, held: Claim, _future: Future[bool]) -> None:
        self._ended.append(held)
        self._stops.wake()

    def _reap(self, *, insist: bool = True) -> None:
        """Collect what has ended; with `insist` raise what broke a run off."""
        broken: BaseException | None = None
        while self._ended:
            held = self._ended.popleft()
            future = self._running.pop(held)
            error = future.exception()
            broken = broken or error
            if error is not None and is_away(error):
                self.waiting.append(held)
                continue
            self.done += 1
            if error is None and future.result():
                self._desk.finished.append(held)
        if broken and (insist or not is_away(broken)):
            raise broken


def is_still_ours(lease: Lease) -> bool:
    """Say whether what was claimed may be begun: after a sleep, ask the database whether we are still alive."""
    if not lease.is_lost and not lease.is_fresh:
        lease.beat()
    return not lease.is_lost
