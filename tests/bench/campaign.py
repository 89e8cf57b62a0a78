"""A campaign of 5,000 through the simulated gateway, beside a bare `requests` pool that posts the same bodies."""

from collections.abc import Callable
from functools import partial

from tests.bench import audience
from tests.bench.figures import Run, in_turn, ratios, show_rates, show_ratio
from tests.bench.race import Race, to_simulator
from tests.bench.stage import Server, Stage

RECIPIENTS, THREADS, ROUNDS = 5_000, 16, 3
LEAN_CONNECTIONS = {0: 16, 100: 192}
"""At 100 ms the gateway alone is asked over so many connections that their number is not what limits it."""
SETTINGS = {"SMS_CONCURRENCY": str(THREADS), "SMS_CONCURRENCY_MAX": str(THREADS)}
"""As many threads as the reference has."""


def measure(server: Server) -> dict[str, float]:
    """Compare without latency and at 100 ms, there with two workers too."""
    print(f"\nCampaign of {RECIPIENTS:,}, {THREADS} threads in a worker, {ROUNDS} rounds")
    with Stage(server.create(), SETTINGS) as stage:
        user, outside = audience.sign_up(stage, credit=30 * RECIPIENTS), stage.outside()
        race = Race.prepare(stage, user, outside, to_simulator(RECIPIENTS), THREADS)
        found = dict[str, float]()
        for latency, wanted in ((0, 0.75), (100, 0.8)):
            outside.settings(latency_ms=latency)
            found |= _at(race, latency, wanted)
        return found


def _at(race: Race, latency: int, wanted: float) -> dict[str, float]:
    print(f" gateway latency {latency} ms")
    names = ["bare requests session", "smsqueue, 1 worker"]
    runs: list[Callable[[], Run]] = [race.bare, race.ours]
    if latency:
        names.append("smsqueue, 2 workers")
        runs.append(partial(race.ours, 2))
    pool, one, *two = found = in_turn(ROUNDS, *runs)
    for name, each in zip(names, found, strict=True):
        show_rates(name, each, "texts/s")
    race.show_gateway(ROUNDS, LEAN_CONNECTIONS[latency], pool)
    key = f"campaign_vs_requests_{latency}ms"
    result = {key: show_ratio(key, ratios(one, pool), wanted)}
    if two:
        result["two_workers_100ms"] = show_ratio("two_workers_100ms", ratios(two[0], one), 1.6)
    return result
