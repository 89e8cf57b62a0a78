"""No-op jobs worked off: ours through the real `flask sms work`, bare loops, and others' queues, all in turn."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.figures import Run, in_turn, ratios, say, show_rates, show_ratio
from tests.bench.queue.jobs import RepeatableJob, SafeJob
from tests.bench.queue.terms import KNOWS_OUR_JOBS, Terms, bare, filled, peer, plain, redis_url, work
from tests.bench.stage import Stage

MANY, SOME, LARAVEL = 100_000, 30_000, 3_000
FEW, LIMITED, PLENTY = 50, 500, 20_000
VOID_BELOW = 20
OURS, OURS_SAFE, OURS_TWO = "smsqueue, repeatable", "smsqueue, one commit each", "– two workers"
THEIRS, LIMIT, BARE, LEAN = (
    "bare, Laravel's shape",
    "bare, claim and delete 100: limit",
    "bare, one commit each",
    "– lean",
)
PGQUEUER, PROCRASTINATE, CELERY, RQ = "pgqueuer", "procrastinate", "Celery", "RQ"
Sides = dict[str, Callable[[], Run]]
Runs = dict[str, list[Run]]


class Void(Exception):
    """The references are not what they should be: nothing can be said of this run."""


def measure(terms: Terms) -> dict[str, float | None]:
    """Compare all on PostgreSQL; print SQLite's figures, too."""
    print(f"\nNo-op jobs a second, {terms.rounds} rounds in turn; from the first claim to the last finish")
    with ExitStack() as ends:
        stage = ends.enter_context(Stage(terms.server.create(), settings=dict(KNOWS_OUR_JOBS)))
        sides = _ours(terms, stage) | _bare(terms, stage) | _on_postgresql(terms) | _on_redis(terms)
        runs = dict(zip(sides, in_turn(terms.rounds, *sides.values()), strict=True))
    for name, found in runs.items():
        show_rates(name, found, "jobs/s")
    _sqlite(terms)
    return _compare(runs)


def _ours(terms: Terms, stage: Stage) -> Sides:
    return {
        OURS: filled(stage, RepeatableJob, terms.of(MANY), work),
        OURS_SAFE: filled(stage, SafeJob, terms.of(SOME), work),
        OURS_TWO: filled(stage, SafeJob, terms.of(SOME), lambda where, count: work(where, count, "--workers", "2")),
    }


def _bare(terms: Terms, stage: Stage) -> Sides:
    return {
        THEIRS: filled(stage, RepeatableJob, terms.of(LARAVEL), partial(bare, "laravel")),
        LIMIT: filled(stage, RepeatableJob, terms.of(MANY), partial(bare, "limit")),
        LEAN: filled(stage, RepeatableJob, terms.of(MANY), partial(bare, "lean")),
        BARE: filled(stage, SafeJob, terms.of(SOME), partial(bare, "safe")),
    }


def _on_postgresql(terms: Terms) -> Sides:
    """Procrastinate has no batches; pgqueuer's concurrency limits what it may hold, and a limit of 1 is slow indeed."""
    url = plain(terms.server.create())
    sides: Sides = {}
    for concurrency in (1, 10):
        for delete in ("never", "always"):
            name = f"{PROCRASTINATE}, concurrency {concurrency}, delete {delete}"
            sides[name] = partial(peer, "procrastinate", url, terms.of(1_000), concurrency, delete)
    url = plain(terms.server.create())
    for batch in (10, 100):
        for concurrency, count in ((1, FEW), (10, LIMITED), (0, terms.of(PLENTY))):
            name = f"{PGQUEUER}, batch {batch}, {f'concurrency {concurrency}' if concurrency else 'no limit'}"
            sides[name] = partial(peer, "pgqueuer", url, count, batch, concurrency)
    return sides


def _on_redis(terms: Terms) -> Sides:
    url = redis_url()
    if url is None:
        say("Celery and RQ", "are left out: no Redis with an empty database answers at 127.0.0.1:6379")
        return {}
    sides: Sides = {RQ: partial(peer, "rq", url, terms.of(500))}
    for prefetch in (10, 100):
        for concurrency in (1, 10):
            name = f"{CELERY}, prefetch {prefetch}, concurrency {concurrency}"
            sides[name] = partial(peer, "celery", url, terms.of(1_500), prefetch, concurrency)
    return sides


def _compare(runs: Runs) -> dict[str, float | None]:
    """Print and return what is claimed, unless the references disprove themselves."""
    found: dict[str, float | None] = {
        "drain_vs_laravel": show_ratio("drain_vs_laravel", ratios(runs[OURS], runs[THEIRS]), 15),
        "drain_vs_limit": show_ratio("drain_vs_limit", ratios(runs[OURS], runs[LIMIT]), 0.5),
        "drain_vs_best_peer": show_ratio("drain_vs_best_peer", ratios(runs[OURS], _best(runs, PEERS)), 1),
        "safe_vs_bare": show_ratio("safe_vs_bare", ratios(runs[OURS_SAFE], runs[BARE]), 0.8),
        "two_workers": show_ratio("two_workers", ratios(runs[OURS_TWO], runs[OURS_SAFE]), 1.4),
    }
    show_ratio("safe, against the best one-by-one", ratios(runs[OURS_SAFE], _best(runs, ONE_BY_ONE)), 1)
    show_ratio("repeatable, against lean", ratios(runs[OURS], runs[LEAN]), 0)
    if show_ratio("limit, against Laravel's shape", ratios(runs[LIMIT], runs[THEIRS]), VOID_BELOW) < VOID_BELOW:
        raise Void(f"the limit is not {VOID_BELOW} times Laravel's shape: this machine is too busy to compare")
    return found


PEERS = (PGQUEUER, PROCRASTINATE, CELERY, RQ)
ONE_BY_ONE = (PROCRASTINATE, CELERY, RQ, THEIRS)


def _best(runs: Runs, names: tuple[str, ...]) -> list[Run]:
    """Return the runs of the setting with the best median."""
    return max(
        (found for side, found in runs.items() if side.startswith(names)),
        key=lambda found: median(run.rate for run in found),
    )


def _sqlite(terms: Terms) -> None:
    with ExitStack() as ends:
        folder = ends.enter_context(TemporaryDirectory(prefix="smsqueue-bench-"))
        stage = ends.enter_context(Stage(f"sqlite:///{Path(folder) / 'b.db'}", settings=dict(KNOWS_OUR_JOBS)))
        repeatable, safe = in_turn(
            terms.rounds,
            filled(stage, RepeatableJob, terms.of(MANY), work),
            filled(stage, SafeJob, terms.of(SOME), work),
        )
    show_rates("SQLite, repeatable", repeatable, "jobs/s")
    show_rates("SQLite, one commit each", safe, "jobs/s")
