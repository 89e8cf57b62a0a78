"""Many workers at one queue: nobody waits for another so long that a job would be given up for it."""

import time

import pytest
import sqlalchemy as sa

from tests.drills.yard import Yard, said
from tests.entries.labour import Brief, Idle

WORKERS, JOBS = 8, 10_000


@pytest.mark.drill
def test_eight_workers_meet_no_deadlock_that_anybody_sees(database_url, database_kind):
    with Yard(database_url) as yard:
        for first in range(0, JOBS, 1000):
            yard.put(Idle(number=n) if n % 2 else Brief(number=n) for n in range(first, first + 1000))
        before = deadlocks(yard)
        began = time.monotonic()
        workers = [yard.prepared(daemon=False, lease=60, heartbeat=10) for _ in range(WORKERS)]
        codes = [worker.ended(300) for worker in workers]
        seconds = time.monotonic() - began
        surfaced = [line for worker in workers for event in TROUBLE for line in said(worker, event)]
        retried, failed = deadlocks(yard) - before, yard.failed()
        print(
            f"\nRESULT {database_kind}: {WORKERS} workers, {JOBS} jobs, {JOBS / seconds:.0f} a second with their starts"
        )
        print(f"deadlocks repeated {retried}, surfaced {len(surfaced)}, jobs failed {len(failed)}")
        assert (codes, yard.waiting()) == ([0] * WORKERS, 0)
        assert (surfaced, failed) == ([], [])


TROUBLE = ("worker.error", "job.failed", "job.released", "job.lost", "worker.lost", "database.away")


def deadlocks(yard):
    """Return how many deadlocks MariaDB has seen; 0 where nobody counts."""
    if yard.store.engine.dialect.name not in ("mysql", "mariadb"):
        return 0
    with yard.store.reading() as session:
        row = session.execute(sa.text("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")).first()
    return int(row[1]) if row else 0
