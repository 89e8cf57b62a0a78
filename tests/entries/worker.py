"""A worker for jobs that a test makes up: the engine's own parent and worker, without anything of SMS.

`python -m tests.entries.worker --daemon`, by the variables of `Settings`.
"""

import os
import re
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smsqueue.db import Database, build_engine
from smsqueue.queue import control, events
from smsqueue.queue.groups import Limit
from smsqueue.queue.job import Job, Policy
from smsqueue.queue.link import PIPES, ParentLink
from smsqueue.queue.registry import Registry
from smsqueue.queue.stops import Stops
from smsqueue.queue.supervisor import Supervisor
from smsqueue.queue.systemd import Systemd
from smsqueue.queue.worker import Options, Worker


@dataclass(frozen=True, kw_only=True)
class Act(Job):
    """A job that does what `deed` names: note, sleep, block, die, leave, start and wait, …"""

    kind, policy = "test.act", Policy(tries=2, backoff=(0,), timeout_seconds=60)
    deed: str
    name: str = ""


@dataclass(frozen=True, kw_only=True)
class ShortAct(Act):
    """The same, and it may take a second only."""

    kind, policy = "test.short-act", Policy(tries=2, backoff=(0,), timeout_seconds=1)


@dataclass(frozen=True, kw_only=True)
class PatientAct(Act):
    """The same, and it is not tried again before a minute is over."""

    kind, policy = "test.patient-act", Policy(tries=2, backoff=(60,), timeout_seconds=60)


@dataclass(frozen=True, kw_only=True)
class LastAct(Act):
    """The same, and it is given up as soon as it takes half a second."""

    kind, policy = "test.last-act", Policy(tries=5, timeout_seconds=0.5, fail_on_timeout=True)


def act(job: Act, _run: Any) -> None:
    """Do it, and write down that it was begun and that it is done."""
    diary = Path(os.environ["TEST_DIARY"])
    _note(diary, f"begun {job.name}")
    DEEDS[job.deed](diary)
    _note(diary, f"done {job.name}")


def _note(diary: Path, line: str) -> None:
    with diary.open("a") as file:
        file.write(f"{line}\n")


def _wait_for_a_word(diary: Path) -> None:
    while not diary.with_name("word").exists():
        time.sleep(0.01)


def _be_deaf(diary: Path) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    _wait_for_a_word(diary)


def _grow(_diary: Path) -> None:
    KEPT.append(b"x" * 200_000_000)


KEPT: list[bytes] = []
DEEDS: dict[str, Any] = {
    "note": lambda _diary: None,
    "grow": _grow,
    "wait": _wait_for_a_word,
    "sleep": lambda _diary: time.sleep(3600),
    "block": lambda _diary: re.match(r"(a+)+$", "a" * 64 + "b"),  # in C, and never finished
    "deaf": _be_deaf,
    "die": lambda _diary: os.kill(os.getpid(), signal.SIGKILL),
    "leave": lambda _diary: os._exit(3),
}


def limit_of(limit: int) -> Limit:
    """Let so many jobs of each group be held at once."""
    return lambda _queue, group: limit if group else 0


def main(arguments: list[str]) -> int:
    """Be the parent, or, when started by one, the worker."""
    events.on(lambda event, facts: print(event, facts, flush=True))
    registry = Registry()
    registry.register(Act, act)
    registry.register(ShortAct, act)
    registry.register(PatientAct, act)
    registry.register(LastAct, act)
    if limit := int(os.environ.get("TEST_GROUP_LIMIT", "0")):
        registry.group_limit = limit_of(limit)
    database = Database(build_engine(os.environ["DATABASE_URL"]))
    stops = Stops()
    stops.install()
    pipes = os.environ.pop(PIPES, None)
    if pipes:
        return _work(pipes, database, registry, stops, arguments)
    command = [sys.executable, "-m", "tests.entries.worker", *arguments]
    is_once = "--once" in arguments
    grace = float(os.environ.get("TEST_GRACE", "20"))
    systemd = Systemd.from_environment(os.environ)
    count = int(os.environ.get("TEST_WORKERS", "1"))
    supervisor = Supervisor(
        command, database, registry, grace=grace, stops=stops, count=count, is_once=is_once, systemd=systemd
    )
    code = supervisor.run()
    if code == control.RESTART_CODE:
        os.execv(sys.executable, command)
    stops.deafen()
    return code


def _work(pipes: str, database: Database, registry: Registry, stops: Stops, arguments: list[str]) -> int:
    link = ParentLink(pipes)
    stops.watch(link.lifeline)
    options = Options(
        ["default"],
        daemon="--daemon" in arguments,
        once="--once" in arguments,
        sleep=0.05,
        memory_mib=float(os.environ.get("TEST_MEMORY", "0")),
        lease=float(os.environ.get("TEST_LEASE", "60")),
        heartbeat=0.2,
        threads=int(os.environ.get("TEST_THREADS", "1")),
    )
    if "--broken" in arguments:
        os.kill(os.getpid(), signal.SIGKILL)
    worker = Worker(database, registry, options, stops, link=link)
    code = worker.run().code
    stops.deafen()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
