"""A campaign through the simulator and through Kannel, beside a bare `requests` session with as many threads."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench import audience
from tests.bench.figures import Run, in_turn, ratios, show_limit, show_rates, show_ratio
from tests.bench.race import Race, to_kannel, to_simulator
from tests.bench.send.kannel import PASSWORD, USERNAME, Kannel
from tests.bench.send.terms import SETTINGS, THREADS, Terms
from tests.bench.stage import Stage

RECIPIENTS = 5_000
LEAN_CONNECTIONS = {0: 16, 100: 192}
MARKS = {0: 0.75, 100: 0.9}
CPU_MARK = 1.3


def on_postgresql(terms: Terms) -> dict[str, float]:
    """Compare without latency and at 100 ms, with one worker and with two."""
    print(f"\nCampaign of {terms.of(RECIPIENTS):,}, PostgreSQL, {THREADS} threads in a worker, {terms.rounds} rounds")
    with Stage(terms.server.create(), dict(SETTINGS)) as stage:
        return _at_both(terms, stage, "vs_requests", two_workers=True)


def on_sqlite(terms: Terms) -> dict[str, float]:
    """The same on SQLite, with one worker."""
    print(f"\nCampaign of {terms.of(RECIPIENTS):,}, SQLite, {THREADS} threads in a worker, {terms.rounds} rounds")
    with (
        TemporaryDirectory(prefix="smsqueue-bench-") as folder,
        Stage(f"sqlite:///{Path(folder) / 'send.db'}", dict(SETTINGS)) as stage,
    ):
        return _at_both(terms, stage, "sqlite_vs_requests", two_workers=False)


def _at_both(terms: Terms, stage: Stage, key: str, *, two_workers: bool) -> dict[str, float]:
    count = terms.of(RECIPIENTS)
    user, outside = audience.sign_up(stage, credit=100 * count), stage.outside()
    race = Race.prepare(stage, user, outside, to_simulator(count), THREADS)
    result = dict[str, float]()
    for latency in MARKS:
        outside.settings(latency_ms=latency)
        print(f" gateway latency {latency} ms")
        pool, one, *two = _in_turn(terms, race, two_workers=two_workers)
        race.show_gateway(min(terms.rounds, 3), LEAN_CONNECTIONS[latency], pool)
        name = f"{key}_{latency}ms"
        result[name] = show_ratio(name, ratios(one, pool), MARKS[latency])
        if latency == 0:
            name = f"cpu_{key}"
            result[name] = show_limit(name, _cpu(one, pool), CPU_MARK, "×")
        if two:
            name = f"two_workers_{latency}ms"
            result[name] = show_ratio(name, ratios(two[0], one), 1.8 if latency else 1)
    return result


def _in_turn(terms: Terms, race: Race, *, two_workers: bool) -> list[list[Run]]:
    names = ["bare requests session", "smsqueue, 1 worker", "smsqueue, 2 workers"][: 3 if two_workers else 2]
    runs: list[Callable[[], Run]] = [race.bare, race.ours, partial(race.ours, 2)]
    found = in_turn(terms.rounds, *runs[: len(names)])
    for name, each in zip(names, found, strict=True):
        show_rates(name, each, "texts/s")
    return found


def _cpu(ours: Sequence[Run], pool: Sequence[Run]) -> list[float]:
    """The CPU time of worker and parent, the database server's apart, beside the bare session's."""
    usual = median(run.cpu_seconds for run in pool)
    return [run.cpu_seconds / usual for run in ours]


def kannel(terms: Terms) -> dict[str, float]:
    """Through Kannel, at no latency: one request for each text, as to any gateway."""
    count = terms.of(RECIPIENTS)
    print(f"\nCampaign of {count:,} through Kannel, PostgreSQL, {THREADS} threads in a worker, {terms.rounds} rounds")
    with Stage(terms.server.create(), dict(SETTINGS)) as stage, Kannel(stage.folder) as gateway:
        stage.settings.update(gateway.settings)
        race = Race.prepare(
            stage, audience.sign_up(stage, credit=100 * count), gateway, to_kannel(count, USERNAME, PASSWORD), THREADS
        )
        pool, one = _in_turn(terms, race, two_workers=False)
        race.show_gateway(min(terms.rounds, 3), LEAN_CONNECTIONS[0], pool)
        return {"kannel_vs_requests": show_ratio("kannel_vs_requests", ratios(one, pool), MARKS[0])}
