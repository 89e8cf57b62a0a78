"""The parent's view of one worker process: the pipes to it, and what it last said of itself."""

import math
import os
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from smsqueue.queue.link import PIPES
from smsqueue.queue.workers import steady

NOT_INHERITED = ("NOTIFY_SOCKET",)
"""Only the parent speaks to the service manager."""


@dataclass(eq=False)
class Child:
    """One worker process and what it last said of itself."""

    process: subprocess.Popen[bytes]
    said: int
    lifeline: int
    born: float = field(default_factory=steady)
    heard: float = field(default_factory=steady)
    """When it last said anything."""
    worker_id: int | None = None
    running: dict[tuple[int, str], float] = field(default_factory=dict)
    """Ids and claim tokens of the jobs that run, and when each must be over."""
    overdue: list[tuple[int, str]] = field(default_factory=list)
    """The jobs for which it was killed."""
    has_worked: bool = False
    """It got as far as beginning a job; how often a job may end its worker, its tries say."""
    is_paused: bool = False
    """It was told to pause."""
    is_silent: bool = False
    """The worker closed its end: nothing more will come."""
    _rest: bytes = b""

    @classmethod
    def start(cls, command: Sequence[str], pulse_seconds: float) -> "Child":
        """Start a worker by exec; it gives a sign of life every `pulse_seconds` (0: none)."""
        said, says = os.pipe()
        alive, lifeline = os.pipe()
        kept = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        environment = {**kept, PIPES: f"{says},{alive},{pulse_seconds:g}"}
        process = subprocess.Popen(command, pass_fds=(says, alive), env=environment)  # noqa: S603 - our own command line
        os.close(says)
        os.close(alive)
        return cls(process, said, lifeline)

    def listen(self) -> None:
        """Read what the worker wrote, as `ParentLink` says it."""
        heard = os.read(self.said, 65536)
        self.is_silent = not heard
        self.heard = steady()
        *lines, self._rest = (self._rest + heard).split(b"\n")
        for line in lines:
            self._understand(line.decode().split())

    def _understand(self, words: list[str]) -> None:
        match words:
            case ["job", job_id, token, seconds]:
                self.has_worked = True
                self.running[int(job_id), token] = self.heard + (float(seconds) or math.inf)
            case ["done", job_id, token]:
                self.running.pop((int(job_id), token), None)
            case ["worker", number]:
                self.worker_id = int(number)

    @property
    def deadline(self) -> float:
        """When the first of its jobs must be over."""
        return min(self.running.values(), default=math.inf)

    def kill(self) -> None:
        """End it at once; if a job's time is over, that is why."""
        self.overdue = self.overdue or [job for job, limit in self.running.items() if limit < steady()]
        self.process.kill()

    def close(self) -> int:
        """Wait for the process to end, read its last words (they may name the job that ended it); its exit code."""
        code = self.process.wait()
        os.set_blocking(self.said, False)
        with suppress(BlockingIOError):  # somebody it started has the pipe open
            while not self.is_silent:
                self.listen()
        os.close(self.said)
        os.close(self.lifeline)
        return code

    @property
    def culprits(self) -> list[tuple[int, str]]:
        """The jobs that a dead worker was killed for, or may have died of."""
        return [job for job in self.overdue if job in self.running] if self.overdue else list(self.running)
