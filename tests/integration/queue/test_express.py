"""PostgreSQL: what is plain is finished and claimed by one statement; all else is left to the general way."""

import pytest

from smsqueue.queue import claim as claims
from smsqueue.queue import express
from smsqueue.queue.dispatch import enqueue, enqueue_many
from tests.integration.queue.kit import Bench, Later, Note

pytestmark = pytest.mark.databases("postgresql")


def add(bench: Bench, number: int, **more) -> int:
    return bench.store.write(lambda session: enqueue(session, Note(number=number), **more))


def exchange(bench: Bench, done=(), limit: int = 100) -> list[claims.Claim]:
    return express.exchange(bench.store, done, bench.worker(), ["later", "default"], limit)


def take(bench: Bench, done=(), limit: int = 100) -> list[int]:
    return [held.id for held in exchange(bench, done, limit)]


def test_plain_jobs_are_claimed_in_their_order(bench):
    ids = [add(bench, number) for number in range(5)]
    assert take(bench, limit=3) == ids[:3]
    assert take(bench) == ids[3:]
    assert take(bench) == []


def test_claim_is_as_the_general_way_makes_it(bench):
    add(bench, 1)
    (held,) = exchange(bench, limit=1)
    assert bench.store.write(lambda session: claims.find(session, held.id, held.token)) == held


def test_what_is_done_is_deleted_and_what_is_not_ours_any_more_stays(bench):
    ids = [add(bench, number) for number in range(3)]
    done = exchange(bench, limit=2)
    bench.store.write(lambda session: claims.hand_back(session, done[1:]))
    assert take(bench, done) == ids[1:]


@pytest.mark.parametrize("more", [{"group": "a"}, {"unique": "key", "unique_waiting": True}, {"delay": 60}])
def test_what_is_not_plain_is_left_alone(bench, more):
    add(bench, 1, **more)
    assert take(bench) == []


def test_plain_job_beside_groups_waits_for_its_turn(bench):
    add(bench, 1)
    add(bench, 2, group="a")
    assert take(bench) == []


def test_job_that_was_claimed_before_is_left_alone_at_the_front_and_stepped_over_behind(bench):
    first, second = add(bench, 1), add(bench, 2)
    held = exchange(bench, limit=1)
    bench.store.write(lambda session: claims.release(session, held[0], delay_seconds=0, spent=True))
    assert held[0].id == first
    assert take(bench) == [second]
    assert take(bench) == []


def test_first_queue_that_holds_something_is_the_one(bench):
    add(bench, 1)
    (later,) = bench.put(Later(number=2))
    assert take(bench) == [later]
    bench.put(Later(number=3), delay=60)
    assert take(bench) == []


def test_nothing_is_taken_past_a_more_urgent_priority(bench):
    add(bench, 1)
    add(bench, 2, priority=-1, delay=60)
    assert take(bench) == []


def test_statement_that_was_planned_for_a_small_table_reads_no_large_one_whole(bench):
    for number in range(20):
        add(bench, number)
        take(bench)
    bench.store.write(lambda session: enqueue_many(session, [Note(number=number) for number in range(20_000)]))
    read = "SELECT pg_stat_force_next_flush(), seq_tup_read FROM pg_stat_user_tables WHERE relname = 'jobs'"
    with bench.store.engine.connect() as connection:
        before = connection.exec_driver_sql(read).scalars(1).one()
    assert len(take(bench)) == 100
    bench.store.at_once("SELECT pg_stat_force_next_flush()", ())
    with bench.store.engine.connect() as connection:
        after = connection.exec_driver_sql(read).scalars(1).one()
    assert after - before < 20_000
