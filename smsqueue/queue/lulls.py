"""Lulls: for how long one worker takes no jobs of a queue from some priority on, since they could not do anything.

What waits then is neither claimed nor put off: it keeps its place, and whoever goes before it goes on.
"""

from collections.abc import Callable
from threading import Lock

from smsqueue.queue.workers import steady


class Lulls:
    """What one worker leaves alone for a while; any of its threads may ask."""

    def __init__(self, clock: Callable[[], float] = steady) -> None:
        self._clock = clock
        self._until: dict[tuple[str, int], float] = {}
        self._lock = Lock()

    def begin(self, queue: str, priority: int, seconds: float) -> None:
        """Leave alone for so long what is as urgent as `priority` or less; the last word counts."""
        with self._lock:
            self._until[queue, priority] = self._clock() + seconds

    def ceiling(self, queue: str, also: int | None = None) -> int | None:
        """Return the largest priority number that may be claimed now, at most `also`; None: there is no bound."""
        bounds = [priority - 1 for name, priority in self._open() if name == queue]
        return min([*bounds, *([] if also is None else [also])], default=None)

    @property
    def seconds(self) -> float | None:
        """How long it is until the first of them ends; None: there is none."""
        until = self._open().values()
        return max(0.0, min(until) - self._clock()) if until else None

    def _open(self) -> dict[tuple[str, int], float]:
        if not self._until:
            return {}
        now = self._clock()
        with self._lock:
            self._until = {key: until for key, until in self._until.items() if until > now}
            return dict(self._until)
