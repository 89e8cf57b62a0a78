"""Several workers at one queue, whose database now and then refuses what they do."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import get_ident

import pymysql
import pytest
import sqlalchemy as sa
from psycopg.errors import DeadlockDetected

from smsqueue.queue.dispatch import enqueue_many
from smsqueue.queue.stops import Stops
from smsqueue.queue.worker import Options, Worker
from tests.integration.queue.kit import Note, Quick

WORKERS, JOBS = 5, 400
EVERY = 17
"""So-many-th change of a job by a worker is a deadlock's victim: never two in a row of what it does over again."""


def deadlock(kind: str) -> Exception:
    """Make what the driver raises."""
    if kind == "postgresql":
        return DeadlockDetected("deadlock detected")
    return pymysql.err.OperationalError(1213, "Deadlock found when trying to get lock")


class Clumsy:
    """Makes some statements the victims of deadlocks."""

    def __init__(self, engine: sa.Engine) -> None:
        self.kind = engine.dialect.name
        self.victims = 0
        self.asked: Counter[int] = Counter()
        sa.event.listen(engine, "before_cursor_execute", self._before)

    def _before(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.startswith(("UPDATE jobs", "DELETE FROM jobs", "SELECT jobs.id", "\nWITH gone AS")):
            worker = get_ident()
            self.asked[worker] += 1
            if self.asked[worker] % EVERY == 0:
                self.victims += 1
                raise deadlock(self.kind)


def work(bench) -> str:
    """Be one of the workers."""
    options = Options(["default"], memory_mib=0, max_wait=0)
    return Worker(bench.store, bench.registry, options, Stops()).run().reason


def crowd(bench) -> list[str]:
    """Let all work at once until nothing is ready; why each ended."""
    jobs = [(Note if n % 3 else Quick)(number=n) for n in range(JOBS)]
    bench.store.write(lambda session: enqueue_many(session, jobs))
    with ThreadPoolExecutor(WORKERS) as pool:
        return [each.result() for each in [pool.submit(work, bench) for _ in range(WORKERS)]]


def test_each_job_is_run_by_one_of_many_workers(bench):
    assert set(crowd(bench)) == {"no job is ready"}
    assert Counter(bench.ran) == dict.fromkeys(range(JOBS), 1)
    assert (bench.rows(), bench.failed()) == ([], [])
    assert not bench.events("job.lost") + bench.events("job.released")


@pytest.mark.databases("postgresql", "mariadb")
def test_no_job_is_given_up_for_a_deadlock(bench):
    clumsy = Clumsy(bench.store.engine)
    assert set(crowd(bench)) == {"no job is ready"}
    assert clumsy.victims > 5
    assert set(bench.ran) == set(range(JOBS))
    assert (bench.rows(), bench.failed()) == ([], [])
    assert not bench.events("job.lost") + bench.events("job.released") + bench.events("worker.error")
