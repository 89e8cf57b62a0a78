"""What the engine offers to other people's tests."""

import pytest

from smsqueue.queue import control, testing, workers
from smsqueue.queue.dispatch import enqueue
from tests.integration.queue.kit import Later, Note, Quick


def test_queued_jobs_are_found_by_class_and_fields(bench):
    bench.put(Note(number=1), Note(number=2), Quick(number=1), Later(number=1))
    with bench.store.reading() as session:
        assert testing.enqueued(session, Note) == [Note(number=1), Note(number=2)]
        assert testing.enqueued(session, Note, number=2) == [Note(number=2)]
        assert testing.enqueued(session, Note, number=3) == []


def test_queued_job_is_asserted_in_the_callers_transaction(bench):
    def look(session):
        enqueue(session, Note(number=7))
        return testing.assert_enqueued(session, Note, number=7)

    assert bench.store.write(look) == Note(number=7)


@pytest.mark.databases("sqlite")
def test_assertion_says_what_is_there_instead(bench):
    bench.put(Note(number=1), Note(number=2))
    with bench.store.reading() as session:
        with pytest.raises(AssertionError, match=r"0 jobs Note\(number=3\) are queued.*Note\(number=1\), Note"):
            testing.assert_enqueued(session, Note, number=3)
        with pytest.raises(AssertionError, match="2 jobs Note"):
            testing.assert_enqueued(session, Note)


def test_delayed_job_is_ready_after_a_journey(bench):
    bench.put(Note(number=1), delay=3600)
    testing.drain(bench.store, bench.registry, ["default"])
    assert bench.ran == []
    testing.travel(bench.store, 3601)
    testing.drain(bench.store, bench.registry, ["default"])
    assert bench.ran == [1]


def test_worker_that_did_not_beat_on_a_journey_is_dead(bench):
    worker = bench.worker(60)
    bench.put(Note(number=1))
    bench.take(worker=worker)
    testing.travel(bench.store, 59)
    assert bench.store.write(workers.bury_expired) == []
    testing.travel(bench.store, 2)
    assert bench.store.write(workers.bury_expired) == [worker]
    assert bench.row().reserved_at is None


def test_pause_ends_on_a_journey(bench):
    bench.store.write(lambda session: control.pause(session, seconds=60))
    with bench.store.reading() as session:
        assert control.read(session).pause_of("default")
    testing.travel(bench.store, 61)
    with bench.store.reading() as session:
        assert control.read(session).pause_of("default") is None
