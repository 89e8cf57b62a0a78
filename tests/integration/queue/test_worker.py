"""The loop of a worker, in this process: batches, limits, and reasons to stop."""

from concurrent.futures import ThreadPoolExecutor
from itertools import count

import pytest
import sqlalchemy as sa

from smsqueue.db import Database
from smsqueue.queue import control, hands, rounds, workers
from smsqueue.queue.dispatch import enqueue_many
from smsqueue.queue.hands import BATCH
from smsqueue.queue.lease import Lease
from smsqueue.queue.worker import Options, Worker
from tests.integration.queue.kit import Later, Note, Quick
from tests.outside import wait_until


def put_many(bench, job_class, how_many):
    bench.store.write(lambda session: enqueue_many(session, (job_class(number=n) for n in range(how_many))))


@pytest.fixture
def commits(bench):
    """Every commit of a transaction that wrote to the queue, as it happens: the ids that it deleted."""
    found: list[int] = []
    deleted = 0

    def note_deleted(connection, cursor, statement, parameters, *_):
        nonlocal deleted
        if "DELETE FROM jobs" in statement:
            deleted += len(parameters["done"]) if "done" in parameters else cursor.rowcount
            if {"isolation_level", "at_once"} & set(connection.get_execution_options()):
                note(connection)

    def note(_connection):
        nonlocal deleted
        if deleted:
            found.append(deleted)
        deleted = 0

    sa.event.listen(bench.store.engine, "after_cursor_execute", note_deleted)
    sa.event.listen(bench.store.engine, "commit", note)
    return found


@pytest.fixture
def quick(monkeypatch):
    """Let every job be quick, however busy the machine that runs the tests."""
    monkeypatch.setattr(hands, "QUICK_SECONDS", 60)


def test_worker_runs_all_that_is_ready_in_order_and_stops(bench):
    bench.put(Later(number=9), Note(number=1), Note(number=2))
    bench.put(Note(number=3), delay=600)
    ending = bench.work()
    assert (ending.reason, ending.code, bench.ran) == ("no job is ready", 0, [1, 2, 9])
    assert len(bench.rows()) == 1


def test_worker_serves_only_its_queues(bench):
    bench.put(Later(number=9))
    bench.work(["default"])
    assert bench.ran == []


def test_worker_signs_off(bench):
    put_many(bench, Quick, 5)
    bench.work()
    (row,) = bench.crew().values()
    assert (row.state, row.stop_reason, row.jobs_done) == ("stopped", "no job is ready", 5)


def test_repeatable_jobs_are_finished_in_batches(bench, commits, quick):
    put_many(bench, Quick, 300)
    bench.work()
    assert bench.ran == list(range(300))
    assert commits == [1, 2, 4, 8, 16, 32, 64, BATCH, 300 - 227]
    assert sum(facts["count"] for facts in bench.events("jobs.finished")) == 300


def test_other_jobs_are_finished_one_by_one(bench, commits, quick):
    put_many(bench, Note, 20)
    bench.work()
    assert commits == [1] * 20


def test_slow_job_lets_the_rest_of_its_batch_go_unspent(bench, monkeypatch):
    slow: list[int] = []

    def run(job, _run):
        monkeypatch.setattr(hands, "QUICK_SECONDS", 0 if job.number == 4 else 60)
        if job.number == 4:
            slow.extend(row.attempts for row in bench.rows())
        if job.number == 5:
            slow.extend(row.attempts for row in bench.rows())

    bench.handle(Quick, run)
    put_many(bench, Quick, 7)
    bench.work()  # batches of 1, 2, then 4: its second job is the slow one
    assert slow == [1, 1, 1, 1, 1, 0]  # the batch in hand: 3 (done), 4, 5, 6; then 5 alone
    assert bench.rows() == []


def test_what_waits_behind_a_job_that_takes_long_goes_to_others_meanwhile(bench, quick, monkeypatch):
    def run(job, run):
        bench.note(job, run)
        if job.number == 3:
            monkeypatch.setattr(hands, "QUICK_SECONDS", 0)
            wait_until(lambda: [row.attempts for row in bench.rows() if row.reserved_at] == [1])
            monkeypatch.setattr(hands, "QUICK_SECONDS", 60)

    bench.handle(Quick, run)
    put_many(bench, Quick, 7)
    bench.work(heartbeat=0.05)  # batches of 1, 2, then 4: its first job takes long
    assert (bench.ran, bench.rows(), bench.failed()) == (list(range(7)), [], [])
    assert bench.events("job.lost") == []


def test_number_of_jobs_asked_for_is_kept_to_within_a_batch(bench, quick):
    put_many(bench, Quick, 50)
    ending = bench.work(max_jobs=10)
    assert (ending.reason, bench.ran) == ("it has done the number of jobs asked for", list(range(10)))
    assert [(row.attempts, row.reserved_at) for row in bench.rows()] == [(0, None)] * 40


def test_once_runs_one_job(bench):
    put_many(bench, Quick, 3)
    assert bench.work(once=True).reason == "one job was asked for"
    assert (bench.ran, len(bench.rows())) == ([0], 2)


def test_once_ends_when_there_is_none(bench):
    assert bench.work(once=True, daemon=True).reason == "no job is ready"


def test_worker_ends_when_its_time_is_over(bench):
    ending = bench.work(daemon=True, max_time=0.05)
    assert (ending.reason, ending.code) == ("its time is over", 0)


def test_worker_that_grew_too_large_ends_with_its_own_code(bench):
    bench.put(Note())
    ending = bench.work(daemon=True, memory_mib=1)
    assert (ending.reason, ending.code, bench.ran) == ("memory is over 1 MiB", 12, [])


def test_wish_to_stop_lets_the_rest_of_the_batch_go_unspent(bench, quick):
    def run(job, _run):
        if job.number == 4:
            bench.stops.request("signal SIGTERM")

    bench.handle(Quick, run)
    put_many(bench, Quick, 7)
    ending = bench.work(daemon=True)
    assert (ending.reason, ending.code) == ("signal SIGTERM", 0)
    assert [(row.attempts, row.reserved_at) for row in bench.rows()] == [(0, None)] * 2


@pytest.fixture
def looks_often(monkeypatch):
    """Let a worker look round at every turn instead of once a second."""
    clock = count(0, 10)
    monkeypatch.setattr(rounds, "steady", lambda: next(clock))


def test_restart_asked_for_ends_the_worker_with_its_own_code(bench, looks_often, quick):
    def run(job, _run):
        if job.number == 1:
            bench.store.write(control.request_restart)

    bench.handle(Quick, run)
    put_many(bench, Quick, 5)
    ending = bench.work(daemon=True)
    assert (ending.reason, ending.code) == ("restart was asked for", control.RESTART_CODE)
    assert len(bench.rows()) == 2  # the batch in hand was run, and no more claimed


def test_restart_asked_for_before_the_worker_began_is_not_meant_for_it(bench, looks_often):
    bench.store.write(control.request_restart)
    put_many(bench, Quick, 5)
    assert bench.work().reason == "no job is ready"


def test_restart_asked_for_while_the_worker_was_taken_for_dead_is_not_missed(bench, looks_often):
    def run(job, run):
        if job.number == 1:
            bench.expire(run.lease.worker_id)
            bench.store.write(workers.bury_expired)
            bench.store.write(control.request_restart)
            run.lease.beat()

    bench.handle(Quick, run)
    put_many(bench, Quick, 5)
    assert bench.work(daemon=True).code == control.RESTART_CODE


def test_worker_frees_the_jobs_of_dead_ones_and_runs_them(bench, looks_often):
    put_many(bench, Quick, 2)
    dead = bench.worker()
    bench.take(2, worker=dead)
    bench.expire(dead)
    bench.work()
    assert sorted(bench.ran) == [0, 1]
    assert [facts["worker_id"] for facts in bench.events("worker.buried")] == [dead]


def test_worker_that_lost_its_lease_lets_go_and_begins_anew(bench, quick):
    def run(job, run):
        bench.note(job, run)
        if bench.ran == [0, 1, 2, 3]:
            bench.expire(run.lease.worker_id)
            bench.store.write(workers.bury_expired)
            run.lease.beat()

    bench.handle(Quick, run)
    put_many(bench, Quick, 7)
    bench.work()
    assert {row.state for row in bench.crew().values()} == {"lost", "stopped"}
    assert len(bench.crew()) == 2
    assert sorted(set(bench.ran)) == list(range(7))
    assert sorted(bench.ran) == [0, 1, 2, 3, 3, 4, 5, 6]  # 3 was not recorded before the lease was lost
    assert bench.rows() == []


def test_chores_are_done_once_a_minute(bench, looks_often):
    done = []
    put_many(bench, Note, 20)
    options = Options(["default"], memory_mib=0)
    Worker(bench.store, bench.registry, options, bench.stops, chores=[lambda: done.append(1)]).run()
    assert 2 <= len(done) <= 20


class Told:
    """A link that writes down what it is told."""

    def __init__(self):
        self.lines: list[tuple[object, ...]] = []

    def registered(self, worker_id):
        self.lines.append(("worker", worker_id))

    def started(self, held, policy):
        self.lines.append(("started", held.kind, policy.timeout_seconds))

    def ended(self, held):
        self.lines.append(("ended", held.kind))

    def idle(self):
        self.lines.append(("idle",))


def test_parent_is_told_of_each_job_and_of_rest(bench):
    bench.put(Note(number=1), Quick(number=2))
    link = Told()
    Worker(bench.store, bench.registry, Options(["default"], memory_mib=0), bench.stops, link=link).run()
    (worker_id,) = bench.crew()
    assert link.lines == [
        ("worker", worker_id),
        *(("started", "test.note", 30), ("ended", "test.note"), ("idle",)),
        *(("started", "test.quick", 60), ("ended", "test.quick"), ("idle",)),
    ]


def test_two_workers_share_the_work_and_do_none_twice(bench, quick):
    put_many(bench, Note, 60)
    ran: list[int] = []
    bench.handle(Note, lambda job, _run: ran.append(job.number))
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(bench.work) for _ in range(2)]:
            future.result()
    assert sorted(ran) == list(range(60))
    assert bench.rows() == []


def test_heartbeat_goes_on_while_a_job_runs(bench):
    def run(_job, run):
        first = bench.crew()[run.lease.worker_id].heartbeat_at
        while bench.crew()[run.lease.worker_id].heartbeat_at == first:
            bench.stops.wait(0.02)

    bench.handle(Note, run)
    bench.put(Note())
    bench.work(heartbeat=0.05)
    assert bench.rows() == []


def test_jobs_of_a_worker_that_beats_stay_with_it(bench):
    lease_seconds = 1.0
    worker_id = bench.worker(lease_seconds)
    bench.put(Note())
    bench.take(worker=worker_id)
    lease = Lease(Database(bench.store.engine), worker_id, lease_seconds, 0.1)
    lease.start()
    began = workers.steady()
    while workers.steady() < began + 1.5 * lease_seconds:
        assert bench.store.write(workers.bury_expired) == []
        bench.stops.wait(0.05)
    lease.stop()
    assert bench.row().worker_id == worker_id
    assert bench.row().attempts == 1
