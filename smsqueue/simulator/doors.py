"""Which calls are open, and how they end when the process is told to stop."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Doors:
    """Counts open calls, lets them wait, and wakes all of them when it is time to go."""

    def __init__(self) -> None:
        self.closing = False
        self._open = 0
        self._last = time.monotonic()
        self._asleep: set[asyncio.Future[None]] = set()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Count one call while it lasts."""
        self._open += 1
        try:
            yield
        finally:
            self._open -= 1
            self._last = time.monotonic()

    async def wait(self, seconds: float | None) -> None:
        """Wait so long (`None` = for ever), but not past the closing."""
        if self.closing or seconds == 0:
            return
        loop = asyncio.get_running_loop()
        woken = loop.create_future()
        timer = loop.call_later(seconds, _wake, woken) if seconds is not None else None
        self._asleep.add(woken)
        try:
            await woken
        finally:
            self._asleep.discard(woken)
            if timer:
                timer.cancel()

    async def close(self, quiet_seconds: float, at_most_seconds: float) -> None:
        """Let open calls be answered at once; return when it has been quiet for so long, or when time is up.

        Callers with an open connection may be in the middle of their next request: closing on them at once would
        look like "read it, then closed", which nobody can tell from a message taken.
        """
        self.closing = True
        for woken in list(self._asleep):
            _wake(woken)
        end = time.monotonic() + at_most_seconds
        while time.monotonic() < end and (self._open or time.monotonic() - self._last < quiet_seconds):
            await asyncio.sleep(0.02)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
