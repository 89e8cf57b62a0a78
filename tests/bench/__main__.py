"""`make bench`, or a part of it: `python -m tests.bench drain status`. The last line is RESULT {…}."""

import argparse
import json
import os
import platform
import time

from tests.bench import campaign, drain, review, status
from tests.bench.stage import postgresql

PARTS = {"drain": drain.measure, "campaign": campaign.measure, "review": review.measure, "status": status.measure}


def main() -> None:
    """Measure the parts that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; none means all")
    parts = parser.parse_args().parts or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(PARTS)}")
    began = time.monotonic()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{os.cpu_count()} cores, Python {platform.python_version()}, load before {load}")
    result: dict[str, float] = {}
    with postgresql() as server:
        for part in parts:
            result |= PARTS[part](server)
    print(f"\n{time.monotonic() - began:.0f} s in all")
    print("RESULT", json.dumps(result))


if __name__ == "__main__":
    main()
