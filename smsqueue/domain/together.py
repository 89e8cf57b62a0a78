"""Doing at once what several threads ask for at nearly the same time: one transaction instead of many."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")
LARGEST = 500


@dataclass
class _Ticket(Generic[T]):
    item: T
    woken: threading.Event = field(default_factory=threading.Event)
    was_taken: bool = False
    is_done: bool = False


class Together(Generic[T]):
    """Collects what threads ask for: the first one does it for all, and nobody goes on before theirs is done.

    It waits for as many as came the last time, at most `seconds`: who is alone is not kept waiting.
    """

    def __init__(self, work: Callable[[Sequence[T]], None], *, seconds: float) -> None:
        self._work, self._seconds = work, seconds
        self._waiting: list[_Ticket[T]] = []
        self._is_led = False
        self._came = threading.Condition()
        self._expected = 1

    def do(self, item: T) -> None:
        """Return when the item's work is done; raise when it is not.

        When the work for all breaks, each one's is done alone, so that one bad item is nobody else's trouble.
        """
        mine = _Ticket(item)
        with self._came:
            self._waiting.append(mine)
            leads, self._is_led = not self._is_led, True
            if len(self._waiting) >= self._expected:
                self._came.notify()
        if not leads:
            mine.woken.wait()
        if not mine.was_taken:
            self._lead(mine)
        if not mine.is_done:
            self._work([item])

    def _lead(self, mine: _Ticket[T]) -> None:
        taken = self._collect()
        try:
            self._work([ticket.item for ticket in taken])
            for ticket in taken:
                ticket.is_done = True
        except Exception:
            if len(taken) == 1:
                raise  # else each one's is done alone next, and says itself what is wrong with it
        finally:
            self._hand_over()
            for ticket in taken:
                if ticket is not mine:
                    ticket.woken.set()

    def _collect(self) -> list[_Ticket[T]]:
        end = time.monotonic() + self._seconds
        with self._came:
            while len(self._waiting) < self._expected and (left := end - time.monotonic()) > 0:
                self._came.wait(left)
            taken, self._waiting = self._waiting[:LARGEST], self._waiting[LARGEST:]
            self._expected = len(taken)
            for ticket in taken:
                ticket.was_taken = True
            return taken

    def _hand_over(self) -> None:
        """Let the first of those who came meanwhile lead the next."""
        with self._came:
            if self._waiting:
                self._waiting[0].woken.set()
            else:
                self._is_led = False
