"""Workers of the queue are told to stop, to start anew, and are replaced by those of a new release."""

import os
import signal
import time
from functools import partial
from itertools import count

import pytest
import sqlalchemy as sa

from smsqueue.queue import control, testing
from smsqueue.queue.dispatch import jobs
from tests.drills.yard import Yard, has_done, said
from tests.entries.labour import Batched, Safe, Task, of_version
from tests.outside import rest, wait_until
from tests.processes import eventually

GRACE = 5.0
STOPS = 5
LONG = {"lease": 3600.0}
"""For tests that let more time pass than a lease lasts."""


@pytest.fixture
def yard(database_url):
    with Yard(database_url) as yard:
        yield yard


def mixed(first, many):
    """Make jobs of each kind, some of which take their time."""
    kinds = (Batched, Task, Safe)
    return [kinds[n % 3](number=first + n, seconds=0.05 if n % 10 == 0 else 0) for n in range(many)]


@pytest.mark.drill
def test_a_worker_that_is_told_to_stop_under_load_burns_no_try(yard):
    numbers = count(0, 300)
    late, seconds, codes = 0, [], []
    for _ in range(STOPS):
        yard.put(mixed(next(numbers), 300))
        worker, other = yard.worker(), yard.worker()
        before = yard.count()
        wait_until(partial(has_done, yard, before + 21), 60)
        rest(yard.dice.uniform(0, 0.3))
        at, began = time.time(), time.monotonic()
        os.kill(worker.pid, signal.SIGTERM)
        codes.append(worker.ended(GRACE + 10))
        seconds.append(time.monotonic() - began)
        late += sum(line["at"] > at + 1 for line in said(worker, "jobs.claimed"))
        os.kill(other.pid, signal.SIGTERM)
        codes.append(other.ended(GRACE + 10))
    assert all((row.attempts, row.worker_id) == (0, None) for row in yard.rows())
    yard.worker()
    yard.drained()
    effects = yard.effects()
    print(f"\nRESULT stop under load: exit codes {codes}, slowest {max(seconds):.2f} s, late claims {late}")
    assert (set(codes), late) == ({0}, 0)
    assert max(seconds) <= GRACE
    assert {row.attempts for row in effects} == {1}
    assert len(effects) == 300 * STOPS
    assert yard.failed() == []


@pytest.mark.drill
@pytest.mark.databases("postgresql")
def test_a_parent_ends_all_its_workers_in_good_order_and_at_once_when_asked_twice(yard):
    yard.put(mixed(0, 900))
    parent = yard.prepared(count=3)
    wait_until(lambda: yard.count() > 50, 60)
    assert ended(parent) <= GRACE
    assert all((row.attempts, row.worker_id) == (0, None) for row in yard.rows())
    yard.prepared(daemon=False).ended(60)
    assert {row.attempts for row in yard.effects()} == {1}
    yard.put(Task(number=1000 + number, seconds=60) for number in range(3))
    parent = yard.prepared(count=3)
    wait_until(lambda: sum(row.worker_id is not None for row in yard.rows()) == 3, 60)
    parent.signal(signal.SIGTERM)
    rest(1.2)  # a signal within a second is the same wish
    assert ended(parent) <= 1.5
    assert {row.worker_id for row in yard.rows()} == {None}


def ended(process):
    """Tell a process to end and say how many seconds that took."""
    began = time.monotonic()
    process.signal(signal.SIGTERM)
    assert process.ended(GRACE + 10) == 0
    return time.monotonic() - began


@pytest.mark.drill
@pytest.mark.databases("postgresql", "sqlite")
def test_each_worker_drains_before_it_starts_anew(yard):
    workers = [yard.worker() for _ in range(3)]
    yard.put(mixed(0, 600))
    wait_until(lambda: yard.count() > 50, 60)
    yard.store.write(control.request_restart)
    assert [worker.ended(30) for worker in workers] == [control.RESTART_CODE] * 3
    assert all((row.attempts, row.worker_id) == (0, None) for row in yard.rows())
    yard.worker()
    yard.drained()
    assert {row.attempts for row in yard.effects()} == {1}
    assert len(yard.effects()) == 600


@pytest.mark.drill
@pytest.mark.databases("postgresql")
def test_a_job_of_a_newer_release_waits_unspent_for_a_worker_that_knows_it(yard):
    newer = of_version(Task, 2)
    old = yard.worker(**LONG)
    yard.put([newer(number=1), Task(number=2)])
    old.wait_for("job.released")
    (put_off,) = said(old, "job.released")
    assert (put_off["seconds"], put_off["spent"]) == (30, False)
    (row,) = [row for row in yard.rows() if row.attempts == 0]
    assert "version 2" in row.last_error
    new = yard.worker(environment={"TEST_VERSION": "2"}, **LONG)
    eventually(lambda: is_done_or_brought_forward(yard))
    assert {(row.number, row.attempts, row.worker) for row in yard.effects()} == {
        (1, 1, yard.id_of(new)),
        (2, 1, yard.id_of(old)),
    }


def is_done_or_brought_forward(yard):
    """Say whether nothing is left; a job that waits for its time need not wait any longer."""
    waits = sa.select(sa.func.count()).where(jobs.c.reserved_at.is_(None))
    if yard.count(waits):
        testing.travel(yard.store, 31)
    return yard.is_drained()
