"""How soon an idle worker begins a job, and what it costs while there is none."""

import os
import random
import socket
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from smsqueue.queue.dispatch import enqueue
from tests.bench.figures import percentile, say, show_limit
from tests.bench.queue.jobs import EAR, HeardJob
from tests.bench.queue.terms import KNOWS_OUR_JOBS, Terms
from tests.bench.stage import Program, Stage

PICKED_UP, WARM_UP, IDLE_SECONDS = 200, 10, 25.0


def measure(terms: Terms) -> dict[str, float | None]:
    """Measure on PostgreSQL; print SQLite's figures, too."""
    count = terms.of(PICKED_UP)
    print(f"\nAn idle worker, with --sleep as by default: {count} jobs, one at a time, from the call of enqueue()")
    picked_up, cost = _look(terms.server.create(), count)
    found: dict[str, float | None] = {
        "idle_median_ms": show_limit("idle_median_ms", [median(picked_up)], 4, "ms"),
        "idle_p95_ms": show_limit("idle_p95_ms", [percentile(picked_up, 95)], 10, "ms"),
        "idle_cpu_percent": show_limit("idle_cpu_percent", [cost], 1, "%"),
    }
    with TemporaryDirectory(prefix="smsqueue-bench-") as folder:
        picked_up, cost = _look(f"sqlite:///{Path(folder) / 'b.db'}", count)
    show_limit("SQLite, median", [median(picked_up)], 15, "ms")
    show_limit("SQLite, p95", [percentile(picked_up, 95)], 30, "ms")
    show_limit("SQLite, CPU", [cost], 1, "%")
    return found


def _look(url: str, count: int) -> tuple[list[float], float]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.settimeout(30)
        with Stage(url, settings={**KNOWS_OUR_JOBS, EAR: str(ear.getsockname()[1])}) as stage, stage.worker() as worker:
            picked_up = [_pick_up(stage, ear, number) for number in range(WARM_UP + count)][WARM_UP:]
            return picked_up, _cost(worker)


def _pick_up(stage: Stage, ear: socket.socket, number: int) -> float:
    """Return the milliseconds from the call of enqueue() to the handler's first line."""
    time.sleep(random.uniform(0.05, 0.15))  # let the worker become idle, and meet it at any moment of its sleep
    began = time.monotonic_ns()
    stage.database.write(lambda session: enqueue(session, HeardJob(number=number)))
    heard, at = ear.recv(100).split()
    assert int(heard) == number
    return (int(at) - began) / 1e6


def _cost(worker: Program) -> float:
    """Return the percentage of a core that worker and parent take while there is nothing to do."""
    time.sleep(2)
    before, began = worker.cpu_seconds(), time.monotonic()
    time.sleep(IDLE_SECONDS)
    used, seconds = worker.cpu_seconds() - before, time.monotonic() - began
    say(
        "",
        f"{used:.3f} s of CPU in {seconds:.0f} s, in {len(worker.family())} processes; load {os.getloadavg()[0]:.1f}",
    )
    return 100 * used / seconds
