"""The queue's database goes away under load, and its listeners are cut off, in the open and in silence."""

import time
from functools import partial

import pytest
import sqlalchemy as sa

from smsqueue.queue.models import WorkerRow
from tests.drills.yard import Yard, bounce, has_done, said, seconds_until
from tests.entries.labour import Batched, Safe, Task
from tests.outside import wait_until
from tests.processes import DeafDoor, eventually

JOBS, WORKERS = 2400, 3
RESUMED_SECONDS = 10.0
POLL = 1.0
CUT = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'")


@pytest.mark.drill
@pytest.mark.databases("postgresql")
def test_a_database_that_restarts_twice_under_load_costs_no_job(database_url):
    with Yard(database_url) as yard:
        kinds = (Batched, Task, Safe)
        yard.put(kinds[n % 3](number=n, seconds=0.01) for n in range(JOBS))
        workers = [yard.worker() for _ in range(WORKERS)]
        resumed = []
        for number, mode in enumerate(("fast", "immediate")):
            done = JOBS * (number + 1) // 4
            wait_until(partial(has_done, yard, done), 60)
            bounce(yard.store.engine, mode)
            before = yard.count()
            resumed.append(seconds_until(partial(has_done, yard, before + 21)))
        yard.drained()
        times = yard.times_done()
        repeats = sum(times.values()) - JOBS
        print(f"\nRESULT resumed after {[round(seconds, 1) for seconds in resumed]} s, repeats {repeats}")
        assert set(times) == set(range(JOBS))
        assert max(resumed) <= RESUMED_SECONDS
        assert all(times[number] == 1 for number in range(2, JOBS, 3)), "a safe job was repeated"
        assert yard.failed() == []
        assert all(worker.is_running() for worker in workers)
        assert all(said(worker, "database.away") for worker in workers)


@pytest.mark.drill
@pytest.mark.databases("postgresql")
def test_a_listener_that_is_cut_off_listens_again(database_url):
    with Yard(database_url) as yard:
        worker = yard.worker(sleep=POLL)
        eventually(lambda: wakeup(yard, worker) == "listening")
        with yard.store.engine.begin() as connection:
            assert connection.execute(CUT).scalar_one()
        assert pick_up(yard, 1) <= POLL + 0.5
        worker.wait_for("listener.degraded")
        worker.wait_for("listener.back")
        eventually(lambda: wakeup(yard, worker) == "listening")
        assert min(pick_up(yard, number) for number in range(2, 6)) < POLL / 2


@pytest.mark.drill
@pytest.mark.databases("postgresql")
def test_a_listener_whose_line_is_half_open_says_so_and_looks_by_itself(database_url):
    with Yard(database_url) as yard, DeafDoor(database_url) as door:
        worker = yard.worker(url=door.url, sleep=POLL)
        eventually(lambda: wakeup(yard, worker) == "listening")
        door.is_deaf = True
        deaf = pick_up(yard, 1)
        found_out = seconds_until(lambda: wakeup(yard, worker) == "degraded")
        degraded = max(pick_up(yard, number) for number in range(2, 5))
        door.is_deaf = False
        recovered = seconds_until(lambda: wakeup(yard, worker) == "listening")
        hint = min(pick_up(yard, number) for number in range(10, 14))
        print(f"\nRESULT half open: pick-up {deaf:.2f} s; degraded after {found_out:.1f} s: {degraded:.2f} s")
        print(f"listening again after {recovered:.1f} s, then pick-up {hint * 1000:.0f} ms")
        assert max(deaf, degraded) <= POLL + 0.5
        assert hint < POLL / 2


def wakeup(yard, worker):
    """How a worker says that it learns of new jobs."""
    with yard.store.reading() as session:
        statement = sa.select(WorkerRow.wakeup).where(WorkerRow.pid == worker.pid).order_by(WorkerRow.id.desc())
        return session.scalars(statement).first()


def pick_up(yard, number):
    """Queue a job and say after how many seconds it was done."""
    began = time.monotonic()
    yard.put([Task(number=number)])
    eventually(lambda: yard.times_done()[number], 60)
    return time.monotonic() - began
