"""`make bench-send`, or a part of it: `python -m tests.bench.send requests million`. The last line is RESULT {…}."""

import argparse
import json
import os
import platform
import time
from collections.abc import Callable

from tests.bench.send import beside, clients, million, reports
from tests.bench.send.terms import Terms
from tests.bench.stage import postgresql

PARTS: dict[str, Callable[[Terms], dict[str, float]]] = {
    "requests": beside.on_postgresql,
    "sqlite": beside.on_sqlite,
    "kannel": beside.kannel,
    "clients": clients.measure,
    "reports": reports.measure,
    "million": million.measure,
}


def main() -> None:
    """Measure the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.send", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none means all")
    parser.add_argument("--rounds", type=int, default=5, help="how often each runs (5)")
    parser.add_argument("--share", type=float, default=1, help="how much of each, for a quick look: 0.1 is a tenth")
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    began = time.monotonic()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, load before {load}")
    result = dict[str, float]()
    with postgresql() as server:
        for part in options.parts or PARTS:
            result |= PARTS[part](Terms(server, options.rounds, options.share))
    print(f"\n{time.monotonic() - began:.0f} s in all")
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main()
