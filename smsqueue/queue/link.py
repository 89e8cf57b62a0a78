"""What a worker tells whoever watches it: who it is, and which jobs run. The parent's end is in `child.py`."""

import os
import threading
from typing import Protocol

from smsqueue.queue.claim import Claim
from smsqueue.queue.job import Policy
from smsqueue.queue.workers import steady

PIPES = "SMSQUEUE_WORKER_PIPES"
"""The environment variable by which a worker finds the pipes to its parent."""
QUICK_SECONDS = 0.05
"""The end of a job that took less is told together with the beginning of the next one."""


class Link(Protocol):
    """What a worker tells of itself. Threads may call it at the same time."""

    def registered(self, worker_id: int) -> None:
        """Tell under which number it works from now on."""

    def started(self, held: Claim, policy: Policy) -> None:
        """Tell that a job begins, and how long it may take."""

    def ended(self, held: Claim) -> None:
        """Tell that a job's run is over, whatever came of it."""

    def idle(self) -> None:
        """Tell that no job begins for now: to be called after a batch, before the next is claimed."""


class NoLink:
    """Nobody watches."""

    def registered(self, worker_id: int) -> None:
        """Nobody hears it."""

    def started(self, held: Claim, policy: Policy) -> None:
        """Nobody hears it."""

    def ended(self, held: Claim) -> None:
        """Nobody hears it."""

    def idle(self) -> None:
        """Nobody hears it."""


class ParentLink:
    """The worker's end of the pipes to its parent: lines `worker ID`, `job ID TOKEN TIMEOUT`, `done ID TOKEN`, `alive`.

    A job costs one write: the end of a quick one that ran alone goes along with what is told next.
    """

    def __init__(self, value: str) -> None:
        self._says, self.lifeline = numbers = tuple(int(number) for number in value.split(",")[:2])
        for pipe in numbers:
            os.set_inheritable(pipe, False)  # what a handler starts must not keep them open
        self._lock = threading.Lock()
        self._running: dict[tuple[int, str], float] = {}
        self._unsaid = ""
        if pulse := float(value.split(",")[2]):
            threading.Thread(target=self._pulse, args=(pulse,), name="pulse", daemon=True).start()

    def registered(self, worker_id: int) -> None:
        """Tell the parent who we are."""
        self._say(f"worker {worker_id}\n")

    def started(self, held: Claim, policy: Policy) -> None:
        """Tell the parent which job begins."""
        self._running[held.id, held.token] = steady()
        self._say(f"job {held.id} {held.token} {policy.timeout_seconds:g}\n")

    def ended(self, held: Claim) -> None:
        """Tell the parent that a job's run is over, if need be a little later."""
        began = self._running.pop((held.id, held.token), 0.0)
        line = f"done {held.id} {held.token}\n"
        if self._running or steady() - began > QUICK_SECONDS:
            self._say(line)
        else:
            with self._lock:
                self._unsaid += line

    def idle(self) -> None:
        """Tell the parent what it has not been told yet."""
        if self._unsaid:
            self._say("")

    def _say(self, line: str) -> None:
        # A write of less than 4 KiB to a pipe is whole, or waits; with the lock, it is also in order.
        with self._lock:
            said, self._unsaid = self._unsaid + line, ""
            try:
                os.write(self._says, said.encode())
            except BrokenPipeError:
                return  # the parent is gone: the lifeline has told the worker to stop

    def _pulse(self, seconds: float) -> None:
        while not threading.Event().wait(seconds):
            self._say("alive\n")
