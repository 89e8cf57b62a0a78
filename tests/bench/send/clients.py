"""The same worker with other HTTP clients: what a text costs with each, at no latency."""

import os
from functools import partial

from tests.bench import audience
from tests.bench.figures import Run, in_turn, say, show_rates
from tests.bench.race import Race, to_simulator
from tests.bench.send.inject.others import CLIENTS
from tests.bench.send.terms import PEERS, SETTINGS, THREADS, Terms
from tests.bench.stage import Stage
from tests.outside import ROOT

RECIPIENTS = 5_000
INJECT = ROOT / "tests" / "bench" / "send" / "inject"


def measure(terms: Terms) -> dict[str, float]:
    """Let every client have its turn, under the same worker; there is no mark for this."""
    count = terms.of(RECIPIENTS)
    print(
        f"\nHTTP clients under the same worker, {count:,} texts, {THREADS} threads, no latency, {terms.rounds} rounds"
    )
    names = [name for name in CLIENTS if name != "httpx" or PEERS.exists()]
    if "httpx" not in names:
        say("httpx", "left out: make bench-send installs it")
    path = os.pathsep.join(map(str, (INJECT, ROOT)))
    with Stage(terms.server.create(), SETTINGS | {"PYTHONPATH": path, "BENCH_PEERS": str(PEERS)}) as stage:
        user, outside = audience.sign_up(stage, credit=100 * count), stage.outside(latency_ms=0)
        race = Race.prepare(stage, user, outside, to_simulator(count), THREADS)
        found = in_turn(terms.rounds, *(partial(_with, name, race) for name in names))
    for name, runs in zip(names, found, strict=True):
        show_rates(name, runs, "texts/s")
    return {}


def _with(name: str, race: Race) -> Run:
    race.stage.settings["BENCH_HTTP_CLIENT"] = name
    return race.ours()
