"""Jobs come into being with the caller's transaction."""

import pytest

from smsqueue.queue.dispatch import SECOND, clock_us, enqueue, enqueue_many
from tests.integration.queue.kit import Later, Note, Refused


def test_job_exists_when_the_callers_transaction_commits(bench):
    (job_id,) = bench.put(Note(number=7))
    row = bench.row()
    assert (row.id, row.queue, row.kind, row.attempts) == (job_id, "default", "test.note", 0)
    assert (row.reserved_at, row.worker_id, row.claim_token) == (None, None, None)
    assert bench.registry.job(row.payload) == Note(number=7)


def test_job_does_not_exist_when_the_callers_transaction_rolls_back(bench):
    def change_your_mind(session):
        enqueue(session, Note())
        enqueue_many(session, [Note(), Later()])
        raise Refused

    with pytest.raises(Refused):
        bench.store.write(change_your_mind)
    assert bench.rows() == []


def test_many_jobs_are_queued_at_once(bench):
    count = bench.store.write(lambda session: enqueue_many(session, (Note(number=n) for n in range(1000))))
    rows = bench.rows()
    assert (count, len(rows), len({row.uuid for row in rows})) == (1000, 1000, 1000)


def test_no_jobs_are_queued_at_once(bench):
    assert bench.store.write(lambda session: enqueue_many(session, [])) == 0
    assert bench.rows() == []


def test_delayed_job_is_not_ready_before_its_time(bench):
    bench.put(Note(), delay=90)
    row = bench.row()
    assert row.available_at - row.created_at == 90 * SECOND
    assert bench.take() == []
    bench.let_pass(89)
    assert bench.take() == []
    bench.let_pass(1.1)
    assert len(bench.take()) == 1


def test_priority_can_be_said_for_one_job(bench):
    bench.put(Note(), priority=-3)
    assert bench.row().priority == -3


def test_times_are_microseconds_of_the_databases_clock(bench):
    with bench.store.reading() as session:
        before = clock_us(session)
    bench.put(Note())
    with bench.store.reading() as session:
        after = clock_us(session)
    assert before <= bench.row().created_at <= after
