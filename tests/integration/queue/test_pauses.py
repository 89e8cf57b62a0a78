"""A worker that may not begin anything: by a signal, by an operator's pause, or during maintenance."""

import os
import signal

import pytest

from smsqueue.queue import control
from smsqueue.queue.stops import PAUSE, RESUME, SIGNALS
from tests.integration.queue.kit import Later, Note, Quick
from tests.integration.queue.shift import at_work
from tests.outside import wait_until


@pytest.fixture
def signals(bench):
    """Let signals reach the bench's worker."""
    numbers = (*SIGNALS, PAUSE, RESUME)
    before = {number: signal.getsignal(number) for number in numbers}
    bench.stops.install()
    yield lambda number: os.kill(os.getpid(), number)
    for number, handler in before.items():
        signal.signal(number, handler)


def test_paused_worker_takes_nothing_says_so_and_goes_on_later(bench, signals):
    with at_work(bench, sleep=0.05) as shift:
        signals(PAUSE)
        wait_until(lambda: shift.row.is_paused)
        bench.put(Note(number=1))
        dead = bench.worker()
        bench.expire(dead)
        wait_until(lambda: bench.crew()[dead].state == "lost")
        assert bench.ran == []
        signals(RESUME)
        wait_until(lambda: bench.ran == [1])
        wait_until(lambda: not shift.row.is_paused)


def test_pause_lets_the_rest_of_the_batch_go_unspent(bench, monkeypatch):
    monkeypatch.setattr("smsqueue.queue.hands.QUICK_SECONDS", 60)

    def run(job, _run):
        bench.ran.append(job.number)
        bench.stops.is_paused = job.number == 4

    bench.handle(Quick, run)
    bench.put(*(Quick(number=n) for n in range(7)))
    assert bench.work().reason == "paused"
    assert bench.ran == [0, 1, 2, 3, 4]
    assert [(row.attempts, row.reserved_at) for row in bench.rows()] == [(0, None)] * 2  # and the others are finished


def test_paused_worker_stops_when_told_to(bench):
    with at_work(bench) as shift:
        bench.stops.is_paused = True
        bench.stops.wake()
        wait_until(lambda: shift.row.is_paused)
        assert shift.end().reason == "signal SIGTERM"


@pytest.mark.parametrize("threads", [1, 3])
def test_maintenance_lets_nothing_begin_but_for_who_is_forced(bench, threads):
    bench.store.write(control.begin_maintenance)
    bench.put(Note(number=1))
    assert bench.work(threads=threads).reason == "maintenance"
    assert bench.ran == []
    assert bench.work(threads=threads, force=True).reason == "no job is ready"
    assert bench.ran == [1]


def test_worker_goes_on_after_maintenance(bench):
    bench.store.write(control.begin_maintenance)
    bench.put(Note(number=1))
    with at_work(bench, sleep=0.05):
        wait_until(lambda: bench.events("worker.started"))
        bench.store.write(control.end_maintenance)
        wait_until(lambda: bench.ran == [1])


def test_paused_queue_is_stepped_over(bench):
    bench.store.write(lambda session: control.pause(session, "default"))
    bench.put(Note(number=1), Later(number=2))
    bench.work()
    assert bench.ran == [2]
    bench.store.write(lambda session: control.resume(session, "default"))
    bench.work()
    assert bench.ran == [2, 1]
