"""Workers of the queue die, freeze and have wrong clocks."""

import signal
import time

import psutil
import pytest

from tests.drills.yard import Yard, said, seconds_until
from tests.entries.labour import Safe, Task
from tests.processes import eventually

LEASE, POLL, LOOK = 3.0, 0.2, 1.0
"""Seconds: of a lease, between two looks for jobs, and between two looks for the dead."""
SLACK = 1.5
"""For a machine that has other things to do."""
HOUR = 3600.0


@pytest.fixture
def yard(database_url):
    with Yard(database_url) as yard:
        yield yard


def begun(yard, worker, count=1):
    """Wait until a worker holds so many jobs."""
    eventually(lambda: len(yard.held_by(worker)) >= count, 60)


@pytest.mark.drill
def test_the_work_of_a_dead_worker_is_taken_over_within_its_lease(yard):
    first = yard.worker(sleep=POLL, lease=LEASE)
    yard.put([Safe(number=1, seconds=2)])
    begun(yard, first)
    second = yard.worker(sleep=POLL, lease=LEASE)
    first.signal(signal.SIGKILL)
    waited = seconds_until(lambda: yard.held_by(second))
    yard.drained()
    print(f"\nRESULT takeover after {waited:.1f} s with a lease of {LEASE:g} s")
    assert waited <= LEASE + LOOK + POLL + SLACK
    assert [(row.number, row.attempts) for row in yard.effects()] == [(1, 2)]


@pytest.mark.drill
def test_a_frozen_worker_changes_nothing_when_it_wakes(yard):
    first = yard.worker(sleep=POLL, lease=LEASE)
    yard.put([Safe(number=1, seconds=2)])
    begun(yard, first)
    lost = yard.id_of(first)
    first.signal(signal.SIGSTOP)
    eventually(lambda: psutil.Process(first.pid).status() == psutil.STATUS_STOPPED)
    second = yard.worker(sleep=POLL, lease=LEASE)
    begun(yard, second)
    (before,) = yard.held_by(second)
    yard.put(Task(number=number) for number in range(10, 20))
    first.signal(signal.SIGCONT)
    first.wait_for("job.lost")
    after = [row for row in yard.rows() if row.id == before.id]  # none, if the second has just finished it
    assert all((row.claim_token, row.attempts) == (before.claim_token, 2) for row in after)
    yard.drained()
    eventually(lambda: yard.id_of(first) != lost)  # it goes on under a new name
    assert not [row for row in yard.effects() if row.worker == lost]
    assert yard.times_done() == {1: 1, **dict.fromkeys(range(10, 20), 1)}
    assert len(said(first, "worker.started")) == 2


@pytest.mark.drill
def test_wrong_clocks_take_nothing_over_too_early_and_starve_nobody(yard):
    fast = yard.worker(sleep=POLL, lease=LEASE, environment={"TEST_CLOCK_SHIFT": f"{HOUR}"})
    slow = yard.worker(sleep=POLL, lease=LEASE, environment={"TEST_CLOCK_SHIFT": f"{-HOUR}"})
    yard.put(Task(number=number, seconds=2 * LEASE) for number in (1, 2))
    begun(yard, fast)
    begun(yard, slow)
    yard.put(Task(number=number, seconds=0.1) for number in range(10, 50))
    yard.drained()
    effects = yard.effects()
    assert {row.attempts for row in effects} == {1}
    assert set(yard.times_done().values()) == {1}
    assert {row.worker for row in effects if row.number >= 10} == {yard.id_of(fast), yard.id_of(slow)}
    assert not said(fast, "worker.buried") + said(slow, "worker.buried")
    yard.put([Safe(number=60, seconds=1)])
    eventually(lambda: yard.held_by(fast) or yard.held_by(slow))
    dead, heir = (fast, slow) if yard.held_by(fast) else (slow, fast)
    dead.signal(signal.SIGKILL)
    at = time.monotonic()
    begun(yard, heir)
    assert time.monotonic() - at <= LEASE + LOOK + POLL + SLACK
    yard.drained()
    assert yard.times_done()[60] == 1
