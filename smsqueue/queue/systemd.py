"""Speaking to the service manager as `sd_notify` does: ready, status, signs of life, stopping."""

import os
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Self


class Systemd:
    """The service manager that started us. When none did, nothing is said."""

    def __init__(self, address: str = "", watchdog_seconds: float = 0) -> None:
        self._address = f"\0{address[1:]}" if address.startswith("@") else address  # "@": an abstract socket
        self.watchdog_seconds = watchdog_seconds if address else 0
        self._status = ""

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Find the manager by the variables that it sets; a watchdog of another process is not ours."""
        pid, microseconds = environ.get("WATCHDOG_PID", ""), environ.get("WATCHDOG_USEC", "")
        is_watched = microseconds.isdecimal() and pid in ("", str(os.getpid()))
        return cls(environ.get("NOTIFY_SOCKET", ""), int(microseconds) / 1_000_000 if is_watched else 0)

    def ready(self) -> None:
        """Tell that the start, or the start anew, is over."""
        self._say("READY=1")

    def status(self, text: str) -> None:
        """Tell in words how we are, when that has changed."""
        if text != self._status:
            self._status = text
            self._say(f"STATUS={text}")

    def alive(self) -> None:
        """Tell that all is well; the manager starts us again when it does not hear that in time."""
        self._say("WATCHDOG=1")

    def stopping(self) -> None:
        """Tell that the end has begun."""
        self._say("STOPPING=1")

    def reloading(self) -> None:
        """Tell that we start anew, under the same process id."""
        self._say(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def _say(self, text: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker, suppress(OSError):
            speaker.setblocking(False)  # a manager that does not listen must not hold up the workers
            speaker.sendto(text.encode(), self._address)
