"""Jobs come into being with the caller's transaction."""

import psycopg
import pytest
import sqlalchemy as sa

from smsqueue.queue.dispatch import CHANNEL, SECOND, clock_us, enqueue, enqueue_many
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


@pytest.mark.parametrize("mixed", [False, True])
def test_many_jobs_keep_the_order_in_which_they_are_given(bench, mixed):
    given = [Later(number=n) if mixed and n % 2 else Note(number=n) for n in range(1500)]
    bench.store.write(lambda session: enqueue_many(session, given))
    rows = bench.rows()
    assert [bench.registry.job(row.payload) for row in rows] == given
    assert {(row.queue, row.kind) for row in rows} == {(job.queue, job.kind) for job in given}
    assert all(len(row.uuid) == 36 and row.created_at == row.available_at > 0 for row in rows)


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize(("delay", "told"), [(0, ["default", "later"]), (60, [])])
def test_listeners_are_told_once_for_each_commit_and_queue_and_only_of_what_is_due(bench, delay, told):
    def put(session):
        for number in range(3):
            enqueue(session, Note(number=number), delay=delay)
        enqueue_many(session, [Later(number=number) for number in range(2000)], delay=delay)
        enqueue_many(session, [Note(), Later()], delay=delay)
        enqueue(session, Note(), delay=delay, unique="one")

    with psycopg.connect(bench.store.engine.url.set(drivername="postgresql").render_as_string(False)) as ear:
        ear.autocommit = True
        ear.execute(f"LISTEN {CHANNEL}")
        bench.store.write(put)
        bench.store.write(lambda session: session.execute(sa.select(sa.func.pg_notify(CHANNEL, "the end"))))
        heard = []
        for notice in ear.notifies(timeout=10):
            if notice.payload == "the end":
                break
            heard.append(notice.payload)
    assert sorted(heard) == told
