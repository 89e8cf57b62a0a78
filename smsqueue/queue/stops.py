"""Why a worker stops or pauses: signals become flags, and a pipe that wakes whoever waits."""

import os
import select
import signal
import threading
import weakref
from contextlib import suppress
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
PAUSE, RESUME = signal.SIGUSR2, signal.SIGCONT


def _close(pipe: tuple[int, int]) -> None:
    for end in pipe:
        os.close(end)


class Stops:
    """A wish to stop (or to pause), from a signal or from anywhere else, that can be waited for."""

    def __init__(self) -> None:
        self.reason: str | None = None
        self.signals = 0
        self.is_paused = False
        """Take nothing new until told to go on."""
        self._read, self._write = pipe = os.pipe()
        os.set_blocking(self._write, False)
        weakref.finalize(self, _close, pipe)

    def install(self) -> None:
        """Turn TERM, INT and QUIT into a wish to stop after what is in hand, USR2 and CONT into a pause and its end."""
        for number in SIGNALS:
            signal.signal(number, self._on_signal)
        for number in (PAUSE, RESUME):
            signal.signal(number, self._on_pause)

    @staticmethod
    def deafen() -> None:
        """Ignore all of these signals: the process is at its end, and what was to be done is done."""
        for number in (*SIGNALS, PAUSE, RESUME):
            signal.signal(number, signal.SIG_IGN)

    def request(self, reason: str) -> None:
        """Wish for a stop; the first reason counts."""
        self.reason = self.reason or reason
        self.wake()

    def wake(self) -> None:
        """Wake whoever waits, without a wish: there is something to see."""
        with suppress(BlockingIOError):  # the pipe is full: whoever waits will wake
            os.write(self._write, b"!")

    def wait(self, seconds: float) -> bool:
        """Sleep for `seconds`, less when a stop is wished for or somebody calls; say whether a stop is wished for."""
        self.is_called_within(seconds)
        return self.reason is not None

    def is_called_within(self, seconds: float, *also: int) -> bool:
        """Sleep for `seconds`, less when there is something to read from `also`; say whether a call ended the sleep.

        A call is a wish to stop, a pause or its end, or `wake`.
        """
        if self.reason is not None:
            return True
        is_called = self._read in select.select([self._read, *also], [], [], seconds)[0]
        if is_called:
            self._forget_calls()
        return is_called

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

    def _forget_calls(self) -> None:
        """Empty the pipe; but a wish to stop wakes everybody who waits, now and later."""
        self.take()
        if self.reason is not None:
            self.wake()

    def _read_to_end(self, pipe: int) -> None:
        while os.read(pipe, 4096):
            continue
        self.request("parent is gone")

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        self.signals += 1
        self.reason = self.reason or f"signal {signal.Signals(number).name}"
        self.wake()

    def _on_pause(self, number: int, _frame: FrameType | None) -> None:
        self.is_paused = number == PAUSE
        self.wake()
