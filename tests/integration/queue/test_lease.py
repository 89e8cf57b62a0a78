"""Workers as rows: who lives, who is dead, and whose jobs are free."""

import threading

import pytest
from sqlalchemy.exc import OperationalError

from smsqueue.queue import claim as claims
from smsqueue.queue import lease as leases
from smsqueue.queue import workers
from smsqueue.queue.dispatch import SECOND
from smsqueue.queue.lease import Lease
from tests.integration.queue.kit import Note, numbers
from tests.outside import wait_until


def test_registered_worker_has_a_lease(bench):
    worker = bench.worker(lease_seconds=45)
    row = bench.crew()[worker]
    assert (row.state, row.queues, row.jobs_done) == ("running", "default", 0)
    assert row.expires_at - row.heartbeat_at == 45 * SECOND


def test_beat_renews_the_lease(bench):
    worker = bench.worker()
    bench.expire(worker)
    assert bench.store.write(lambda s: workers.beat(s, worker, 60, 12))
    row = bench.crew()[worker]
    assert (row.expires_at - row.heartbeat_at, row.jobs_done) == (60 * SECOND, 12)
    assert bench.store.write(workers.bury_expired) == []


def test_dead_workers_jobs_are_freed_and_only_those(bench):
    bench.put(*(Note(number=n) for n in range(4)))
    dead, alive = bench.worker(), bench.worker()
    bench.take(2, worker=dead)
    bench.take(2, worker=alive)
    bench.expire(dead)
    assert bench.store.write(workers.bury_expired) == [dead]
    assert [(row.worker_id, row.attempts) for row in bench.rows()] == [(None, 1)] * 2 + [(alive, 1)] * 2
    assert {worker: row.state for worker, row in bench.crew().items()} == {dead: "lost", alive: "running"}
    assert bench.crew()[dead].stop_reason == "lease ran out"
    assert numbers(bench.take(10), bench.registry) == [0]  # claimed before, so each alone
    assert numbers(bench.take(10), bench.registry) == [1]


def test_beat_after_burial_says_so(bench):
    worker = bench.worker()
    bench.expire(worker)
    bench.store.write(workers.bury_expired)
    assert not bench.store.write(lambda s: workers.beat(s, worker, 60, 0))
    assert bench.crew()[worker].state == "lost"


def test_job_taken_by_a_worker_that_is_already_buried_is_freed_too(bench):
    zombie = bench.worker()
    bench.expire(zombie)
    bench.store.write(workers.bury_expired)
    bench.put(Note())
    bench.take(worker=zombie)  # it has not noticed yet
    bench.store.write(workers.bury_expired)
    assert bench.row().reserved_at is None


def test_job_held_by_a_worker_that_nobody_knows_is_freed(bench):
    bench.put(Note())
    bench.take(worker=999_999_999)
    bench.store.write(workers.bury_expired)
    assert bench.row().reserved_at is None


def test_worker_that_signs_off_leaves_nothing_held(bench):
    bench.put(Note())
    worker = bench.worker()
    bench.take(worker=worker)
    bench.store.write(lambda s: workers.sign_off(s, worker, "signal SIGTERM", 3))
    row = bench.crew()[worker]
    assert (row.state, row.stop_reason, row.jobs_done) == ("stopped", "signal SIGTERM", 3)
    assert bench.row().reserved_at is None
    assert not bench.store.write(lambda s: workers.beat(s, worker, 60, 0))


def test_lost_worker_stays_lost_when_it_signs_off(bench):
    worker = bench.worker()
    bench.expire(worker)
    bench.store.write(workers.bury_expired)
    bench.store.write(lambda s: workers.sign_off(s, worker, "signal SIGTERM", 3))
    assert bench.crew()[worker].state == "lost"


def test_lease_beats_by_itself_until_it_is_stopped(bench):
    worker = bench.worker()
    first = bench.crew()[worker].heartbeat_at
    lease = Lease(bench.store, worker, 60, 0.05, words=lambda: {"jobs_done": 5, "memory_mib": 90})
    lease.start()
    try:
        wait_until(lambda: bench.crew()[worker].heartbeat_at > first)
        assert (bench.crew()[worker].jobs_done, bench.crew()[worker].memory_mib) == (5, 90)
    finally:
        lease.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "heartbeat"]


def test_lease_notices_that_it_is_lost_and_beats_no_more(bench):
    worker = bench.worker()
    bench.expire(worker)
    bench.store.write(workers.bury_expired)
    lease = Lease(bench.store, worker, 60, 0.05)
    lease.start()
    wait_until(lambda: lease.is_lost)
    assert not lease.covers(0)
    lease.stop()
    assert bench.events("worker.lost") == [{"worker_id": worker}]


def test_missed_beat_is_tried_again_soon(bench, monkeypatch):
    worker = bench.worker()
    beats = []

    def beat(*_, **_words):
        beats.append(1)
        if len(beats) == 1:
            raise OperationalError("UPDATE", {}, Exception("gone"))
        return True

    monkeypatch.setattr(leases, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(workers, "beat", beat)
    lease = Lease(bench.store, worker, 60, 0.01)
    lease.start()
    wait_until(lambda: len(beats) >= 3)
    lease.stop()
    assert [facts["worker_id"] for facts in bench.events("heartbeat.missed")] == [worker]
    assert not lease.is_lost


def test_lease_covers_only_what_ends_before_it_does(bench, monkeypatch):
    now = [500.0]
    monkeypatch.setattr(workers, "steady", lambda: now[0])
    lease = Lease(bench.store, bench.worker(), 60, 10)
    assert lease.covers(59.9)
    assert not lease.covers(60)
    now[0] += 30
    assert lease.covers(29.9)
    assert not lease.covers(30)
    lease.beat()
    assert lease.covers(59.9)


@pytest.mark.databases("sqlite")
def test_broken_claim_of_a_dead_worker_counts_as_a_try(bench):
    bench.put(Note())
    for attempt in (1, 2, 3):
        worker = bench.worker()
        (held,) = bench.take(worker=worker)
        assert held.attempts == attempt
        bench.store.write(lambda s, worker=worker: claims.free_jobs_of(s, [worker]))
