"""What a worker's memory does over 100,000 jobs: the first ones make it what it is, the rest leave it flat."""

from contextlib import ExitStack

import psutil

from tests.bench.figures import say
from tests.bench.queue.jobs import RepeatableJob
from tests.bench.queue.terms import KNOWS_OUR_JOBS, Terms, fill, left
from tests.bench.stage import Program, Stage, until

FIRST, ALL = 10_000, 100_000
MEBIBYTE = 1024 * 1024


def measure(terms: Terms) -> dict[str, float | None]:
    """Print the worker's RSS after its first jobs and after all."""
    print("\nMemory")
    with ExitStack() as ends:
        stage = ends.enter_context(Stage(terms.server.create(), settings=dict(KNOWS_OUR_JOBS)))
        worker = ends.enter_context(stage.worker("--queue", "default"))
        before = _after(stage, worker, terms.of(FIRST))
        after = _after(stage, worker, terms.of(ALL))
    say(
        "RSS of a worker",
        f"{before:.1f} MiB after {terms.of(FIRST):,} jobs, {after:.1f} MiB after {terms.of(ALL):,} more",
    )
    return {}


def _after(stage: Stage, worker: Program, count: int) -> float:
    fill(stage, RepeatableJob, count)
    until(lambda: left(stage) == 0, worker)
    return max(float(each.memory_info().rss) for each in psutil.Process(worker.process.pid).children()) / MEBIBYTE
