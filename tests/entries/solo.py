"""A worker without a parent, for the jobs of `tests.entries.labour`: what dies with it, only the lease can tell.

`python -m tests.entries.solo '{"sleep": 0.1, "lease": 3}'`: the engine's options. `TEST_CLOCK_SHIFT`: seconds by
which every clock of this process is wrong. `TEST_VERSION`: the only version of the jobs that it understands.
It prints a line of JSON for each event; with `TEST_QUIET`, not for those of single jobs. A second argument makes it
the parent of so many.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from smsqueue.core import clock
from smsqueue.db import Database, build_engine
from smsqueue.queue import events
from smsqueue.queue.link import PIPES, Link, NoLink, ParentLink
from smsqueue.queue.stops import Stops
from smsqueue.queue.supervisor import Supervisor
from smsqueue.queue.worker import Options, Worker
from tests.entries import labour

DEFAULTS = {"queues": ["default"], "daemon": True, "sleep": 0.1, "memory_mib": 0, "lease": 3, "heartbeat": 0.5}
PRINTED = threading.Lock()
IS_QUIET = bool(os.environ.get("TEST_QUIET"))
GRACE_SECONDS = 5.0
SHIFT = float(os.environ.get("TEST_CLOCK_SHIFT", "0"))


def shift_clocks(seconds: float) -> None:
    """Let every clock that the engine may look at be wrong."""
    real, steady, ticking = time.time, time.clock_gettime, time.monotonic
    changes: dict[str, Callable[..., float]] = {
        "time": lambda: real() + seconds,
        "monotonic": lambda: ticking() + seconds,
        "clock_gettime": lambda which: steady(which) + seconds,
    }
    for name, wrong in changes.items():
        setattr(time, name, wrong)
    clock.now = lambda: datetime.fromtimestamp(real() + seconds, UTC)


def say(event: str, facts: dict[str, Any]) -> None:
    """Print what happened, by a clock that is right."""
    if IS_QUIET and event.startswith("job"):
        return
    line = {"event": event, "at": time.clock_gettime(time.CLOCK_REALTIME) - SHIFT, **facts}
    with PRINTED:
        print(json.dumps(line, default=str), flush=True)


def main(settings: str, workers: int = 0) -> int:
    """Work until told to stop; with `workers`, be the parent of so many."""
    if SHIFT:
        shift_clocks(SHIFT)
    events.on(say)
    stops = Stops()
    stops.install()
    registry = labour.registry(version=int(os.environ.get("TEST_VERSION", "1")))
    database = Database(build_engine(os.environ["DATABASE_URL"]))
    pipes = os.environ.pop(PIPES, None)
    if workers and not pipes:
        command = [sys.executable, "-m", "tests.entries.solo", settings, str(workers)]
        return Supervisor(command, database, registry, grace=GRACE_SECONDS, stops=stops, count=workers).run()
    link: Link = NoLink()
    if pipes:
        link = parent = ParentLink(pipes)
        stops.watch(parent.lifeline)
    options = Options(**{**DEFAULTS, **json.loads(settings)})
    code = Worker(database, registry, options, stops, link=link).run().code
    database.dispose()
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
