"""A million recipients: is the end as fast as the beginning, does the worker grow, and does its page stay quick?"""

import threading
import time
from dataclasses import dataclass, field
from uuid import UUID

import psutil

from tests.bench import audience
from tests.bench.figures import percentile, say, show_limit, show_ratio
from tests.bench.race import Taken
from tests.bench.send.terms import Terms
from tests.bench.stage import Program, Stage
from tests.bench.visitor import Visitor

RECIPIENTS = 1_000_000
STRETCHES = 20
"""The rate is taken in so many stretches of equally many texts; of them the second and the last but one count."""
POLL_SECONDS = 0.5
LONGEST_SECONDS = 3 * 3600
MEBIBYTE = 1024 * 1024


@dataclass
class Watch:
    """What was seen while it ran: milliseconds of polls, and the worker's memory."""

    polls: list[float] = field(default_factory=list)
    mebibytes: list[float] = field(default_factory=list)

    def look(self, visitor: Visitor, uuid: UUID, worker: Program) -> bool:
        """Poll once; say whether the campaign is over."""
        began = time.perf_counter()
        answer = visitor.get(f"/sms/campaigns/{uuid}/status").json()
        self.polls.append(1000 * (time.perf_counter() - began))
        children = psutil.Process(worker.process.pid).children()
        self.mebibytes.append(max((child.memory_info().rss for child in children), default=0) / MEBIBYTE)
        return bool(answer["stop"])


def measure(terms: Terms) -> dict[str, float]:
    """Send it by one worker, polled all the time."""
    count = terms.of(RECIPIENTS)
    print(f"\n{count:,} recipients, PostgreSQL, one worker, gateway without latency")
    with Stage(terms.server.create()) as stage:
        outside = stage.outside()
        user = audience.sign_up(stage, credit=count)
        taken = Taken(outside.log)
        with stage.web(), Visitor(stage.web_url) as visitor, stage.worker() as worker:
            uuid = audience.store(stage, user, count)
            watch, pause, ends = Watch(), threading.Event(), time.monotonic() + LONGEST_SECONDS
            while not watch.look(visitor, uuid, worker):
                assert time.monotonic() < ends, "it takes too long"
                pause.wait(POLL_SECONDS)
        times = taken.times(count)
    rates = _rates([moment.timestamp() for moment in times])
    first, last = watch.mebibytes[len(watch.mebibytes) // 10], watch.mebibytes[-2]
    say("texts/s, stretch by stretch", " ".join(f"{rate:,.0f}" for rate in rates))
    say("RSS of the worker", f"{first:.1f} MiB after a tenth, {last:.1f} MiB at the end")
    return {
        "end_vs_start_1m": show_ratio("end_vs_start_1m", [rates[-2] / rates[1]], 0.9),
        "poll_p95_ms": show_limit("poll_p95_ms", [percentile(watch.polls, 95)], 50, "ms"),
    }


def _rates(times: list[float]) -> list[float]:
    size = len(times) // STRETCHES
    parts = [times[start : start + size] for start in range(0, size * STRETCHES, size)]
    return [(len(part) - 1) / (part[-1] - part[0]) for part in parts]
