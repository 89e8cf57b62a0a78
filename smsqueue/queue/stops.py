"""Why a worker stops: signals become a flag, and a pipe that wakes whoever waits."""

import os
import select
import signal
import threading
import weakref
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)


def _close(pipe: tuple[int, int]) -> None:
    for end in pipe:
        os.close(end)


class Stops:
    """A wish to stop, from a signal or from anywhere else, that can be waited for."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.signals = 0
        self._read, self._write = pipe = os.pipe()
        os.set_blocking(self._write, False)
        weakref.finalize(self, _close, pipe)

    def install(self) -> None:
        """Turn TERM, INT and QUIT into a wish to stop after what is in hand."""
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    def request(self, reason: str) -> None:
        """Wish for a stop; the first reason counts."""
        self.reason = self.reason or reason
        os.write(self._write, b"!")

    def wait(self, seconds: float) -> bool:
        """Sleep for `seconds`, less when a stop is wished for; say whether it is."""
        if self.reason is None:
            select.select([self._read], [], [], seconds)
        return self.reason is not None

    def fileno(self) -> int:
        """Let `select` wait for a wish to stop beside other things."""
        return self._read

    def take(self) -> None:
        """Empty the pipe, so that the next signal wakes the waiter again."""
        if select.select([self._read], [], [], 0)[0]:
            os.read(self._read, 4096)

    def watch(self, pipe: int) -> None:
        """Wish for a stop as soon as the other end of `pipe` closes: whoever started us is gone."""
        threading.Thread(target=self._read_to_end, args=(pipe,), name="parent", daemon=True).start()

    def _read_to_end(self, pipe: int) -> None:
        while os.read(pipe, 4096):
            continue
        self.request("parent is gone")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.signals += 1
        self.reason = self.reason or f"signal {signal.Signals(number).name}"
        os.write(self._write, b"!")
