"""Several jobs at once in one worker."""

import threading
from collections import Counter

import pytest
from sqlalchemy.exc import OperationalError

from smsqueue.queue import workers
from smsqueue.queue.worker import Options, Worker
from tests.integration.queue.kit import Later, Note, Quick
from tests.integration.queue.shift import at_work
from tests.outside import wait_until

SECONDS = 20


@pytest.fixture
def gate(bench):
    """What lets `Note` jobs end."""
    gate = threading.Event()

    def wait(job, _run):
        bench.ran.append(job.number)
        assert gate.wait(SECONDS)

    bench.handle(Note, wait)
    yield gate
    gate.set()


def held(bench):
    return [row.payload for row in bench.rows() if row.reserved_at]


def test_jobs_run_at_once(bench):
    meeting = threading.Barrier(3)
    bench.handle(Note, lambda _job, _run: meeting.wait(SECONDS))
    bench.put(*(Note(number=n) for n in range(6)))
    ending = bench.work(threads=3)
    assert (ending.reason, bench.rows(), bench.failed()) == ("no job is ready", [], [])


def test_no_more_is_claimed_than_can_run(bench, gate):
    bench.put(*(Note(number=n) for n in range(5)))
    with at_work(bench, threads=2, sleep=0.05) as shift:
        wait_until(lambda: len(bench.ran) == 2)
        assert len(held(bench)) == 2
        assert shift.row.threads == 2
        gate.set()
        wait_until(lambda: not bench.rows())
    assert sorted(bench.ran) == list(range(5))


def test_one_thread_is_kept_for_what_is_urgent(bench, gate):
    bench.put(*(Note(number=n) for n in range(5)))
    with at_work(bench, threads=3, urgent_priority=-10, sleep=0.05):
        wait_until(lambda: len(bench.ran) == 2)
        bench.put(Note(number=9), priority=-5)
        bench.put(Note(number=7), priority=-10)
        wait_until(lambda: 7 in bench.ran)
        assert sorted(bench.ran) == [0, 1, 7]
        gate.set()


def test_wish_to_stop_lets_end_what_runs_and_takes_nothing_more(bench, gate):
    bench.put(*(Note(number=n) for n in range(5)))
    with at_work(bench, threads=2, sleep=0.05) as shift:
        wait_until(lambda: len(bench.ran) == 2)
        bench.stops.request("signal SIGTERM")
        gate.set()
        assert shift.future.result(SECONDS).reason == "signal SIGTERM"
        assert (shift.row.state, shift.row.jobs_done) == ("stopped", 2)
    assert [(row.attempts, row.reserved_at) for row in bench.rows()] == [(0, None)] * 3


def test_jobs_of_a_lost_lease_are_dropped_and_run_again(bench):
    names, second = [], threading.Event()

    def run(job, run):
        names.append((job.number, run.lease.worker_id))
        if len(names) == 2:
            bench.expire(run.lease.worker_id)
            bench.store.write(workers.bury_expired)
            run.lease.beat()
            second.set()
        assert second.wait(SECONDS)

    bench.handle(Note, run)
    bench.put(Note(number=1), Note(number=2))
    bench.work(threads=2)
    assert Counter(number for number, _ in names) == {1: 2, 2: 2}
    assert len({worker for _, worker in names}) == 2
    assert len(bench.events("job.lost")) == 2
    assert (bench.rows(), bench.failed()) == ([], [])


def test_repeatable_jobs_are_finished_with_the_next_claim(bench):
    bench.put(*(Quick(number=n) for n in range(20)))
    bench.work(threads=4)
    assert sorted(bench.ran) == list(range(20))
    assert bench.rows() == []
    assert sum(facts["count"] for facts in bench.events("jobs.finished")) == 20


def test_number_of_jobs_asked_for_is_kept(bench):
    bench.put(*(Quick(number=n) for n in range(20)))
    ending = bench.work(threads=4, max_jobs=7)
    assert (ending.reason, len(bench.ran)) == ("it has done the number of jobs asked for", 7)
    assert [(row.attempts, row.reserved_at) for row in bench.rows()] == [(0, None)] * 13


def test_queues_keep_their_order(bench, gate):
    bench.put(Later(number=8))
    bench.put(Note(number=1), Note(number=2))
    with at_work(bench, threads=2, sleep=0.05):
        wait_until(lambda: len(bench.ran) == 2)
        assert sorted(bench.ran) == [1, 2]
        gate.set()
        wait_until(lambda: 8 in bench.ran)


def test_run_that_the_database_broke_off_is_repeated_unspent_and_the_other_goes_on(bench, gate):
    broken = []

    def ask(_job, run):
        broken.append(run.claim.attempts)
        if len(broken) == 1:
            raise OperationalError("SELECT", {}, Exception("no connection"))

    bench.handle(Quick, ask)
    bench.put(Note(number=1))
    with at_work(bench, threads=2, sleep=0.05):
        wait_until(lambda: bench.ran == [1])
        bench.put(Quick())
        wait_until(lambda: len(broken) == 2)
        assert held(bench)[0] == Note(number=1).to_payload()
        gate.set()
        wait_until(lambda: not bench.rows())
    assert (broken, bench.ran, bench.failed()) == ([1, 1], [1], [])
    assert len(bench.events("database.back")) == 1


def test_error_of_a_job_is_recorded_as_ever(bench):
    def fail(job, _run):
        raise ValueError("no")

    bench.handle(Note, fail)
    bench.put(*(Note(number=n) for n in range(4)))
    bench.work(threads=2)
    assert [(row.attempts, row.last_error) for row in bench.rows()] == [(1, "ValueError: no")] * 4


class Told:
    """A link that counts."""

    def __init__(self):
        self.running, self.most, self.lock = set(), 0, threading.Lock()

    def registered(self, worker_id):
        pass

    def started(self, held, policy):
        with self.lock:
            self.running.add(held.id)
            self.most = max(self.most, len(self.running))

    def ended(self, held):
        with self.lock:
            self.running.remove(held.id)

    def idle(self):
        pass


def test_parent_is_told_of_every_run_and_its_end(bench):
    meeting = threading.Barrier(2)
    bench.handle(Note, lambda _job, _run: meeting.wait(SECONDS))
    bench.put(*(Note(number=n) for n in range(4)))
    link = Told()
    Worker(bench.store, bench.registry, Options(["default"], memory_mib=0, threads=2), bench.stops, link=link).run()
    assert (link.most, link.running) == (2, set())


def test_error_of_the_engine_itself_ends_the_worker(bench, monkeypatch):
    def break_down(*_):
        raise RuntimeError("a bug of the engine's own")

    bench.put(Note())
    options = Options(["default"], memory_mib=0, threads=2)
    worker = Worker(bench.store, bench.registry, options, bench.stops, link=Told())
    monkeypatch.setattr(worker.link, "started", break_down)
    with pytest.raises(RuntimeError):
        worker.run()
    assert len(bench.events("worker.error")) == 1
    assert worker.lease
    worker.lease.stop()
