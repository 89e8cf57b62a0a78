"""A worker that goes on working in a thread of the test's process."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from smsqueue.queue.models import WorkerRow
from smsqueue.queue.worker import Ending, Options, Worker
from tests.integration.queue.kit import Bench
from tests.outside import wait_until


@dataclass
class Shift:
    """A worker at work: `with at_work(bench, threads=3) as shift`."""

    bench: Bench
    worker: Worker
    future: Future[Ending]

    @property
    def row(self) -> WorkerRow:
        """What the worker says of itself."""
        return self.bench.crew()[self.worker.desk.worker_id]

    def end(self, seconds: float = 20) -> Ending:
        """Ask it to stop, and wait for that."""
        self.worker.stops.request("signal SIGTERM")
        return self.future.result(seconds)


@contextmanager
def at_work(bench: Bench, **options: Any) -> Iterator[Shift]:
    """Let a worker work until the test is over."""
    chosen = Options(("default", "later"), daemon=True, **{"memory_mib": 0, "sleep": 60, **options})
    worker = Worker(bench.store, bench.registry, chosen, bench.stops)
    with ThreadPoolExecutor(1) as pool:
        shift = Shift(bench, worker, pool.submit(worker.run))
        try:
            wait_until(lambda: worker.hands or shift.future.done())
            yield shift
        finally:
            bench.stops.request("the test is over")
        shift.future.result(20)
