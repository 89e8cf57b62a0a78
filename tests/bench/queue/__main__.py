"""`make bench-queue`, or a part of it: `python -m tests.bench.queue drain idle`. The last line is RESULT {…}."""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable

from tests.bench.queue import claiming, crowd, drain, enqueueing, idle, memory
from tests.bench.queue.terms import PEERS_PYTHON, Terms
from tests.bench.stage import postgresql

PARTS: dict[str, Callable[[Terms], dict[str, float | None]]] = {
    "drain": drain.measure,
    "enqueue": enqueueing.measure,
    "idle": idle.measure,
    "claim": claiming.measure,
    "memory": memory.measure,
    "mariadb": crowd.measure,
}


def main() -> int:
    """Measure the parts that were asked for; 1 if nothing can be said of this run."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.queue", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none means all")
    parser.add_argument("--rounds", type=int, default=3, help="how often each runs (3)")
    parser.add_argument("--share", type=float, default=1, help="how much of each, for a quick look: 0.1 is a tenth")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if not PEERS_PYTHON.exists():
        parser.error("the others' queues are not installed: make bench-queue does that, from requirements-bench.lock")
    began = time.monotonic()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, load before {load}")
    result: dict[str, float | None] = {}
    try:
        with postgresql() as server:
            for part in options.parts or PARTS:
                result |= PARTS[part](Terms(server, options.rounds, options.share))
    except drain.Void as reason:
        print(f"\nVOID: {reason}")
        return 1
    print(f"\n{time.monotonic() - began:.0f} s in all")
    print("RESULT", json.dumps(result))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
