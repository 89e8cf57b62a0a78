"""Unique jobs: of one key there is one, decided by the insert itself."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from smsqueue.queue import claim as claims
from smsqueue.queue import failed
from smsqueue.queue.dispatch import enqueue, enqueue_many
from tests.integration.queue.kit import Note, numbers


def put(bench, number=0, key="report 7", **more):
    """Queue a job with a key and return the id that the caller is told."""
    return bench.store.write(lambda s: enqueue(s, Note(number=number), unique=key, **more))


def test_second_job_with_the_same_key_is_not_put_in_and_the_first_ones_id_is_returned(bench):
    first = put(bench, 1)
    assert put(bench, 2) == first
    assert numbers(bench.take(5), bench.registry) == [1]


def test_jobs_with_other_keys_and_with_none_are_put_in(bench):
    ids = {put(bench, key=key) for key in ("a", "A", "b")} | set(bench.put(Note(), Note()))
    assert len(ids) == len(bench.rows()) == 5


def test_callers_transaction_lives_on(bench):
    def both(session):
        ids = [enqueue(session, Note(number=number), unique="one") for number in (1, 2)]
        return [*ids, enqueue(session, Note(number=3))]

    first, second, other = bench.store.write(both)
    assert first == second != other
    assert numbers(bench.take(5), bench.registry) == [1, 3]


@pytest.mark.parametrize(("waiting", "count"), [(False, 1), (True, 2)])
def test_key_is_kept_while_the_job_runs_unless_it_is_for_waiting_jobs_only(bench, waiting, count):
    put(bench, unique_waiting=waiting)
    assert len(bench.take()) == 1
    put(bench, unique_waiting=waiting)
    assert len(bench.rows()) == count


@pytest.mark.parametrize("end", ["finished", "failed"])
def test_key_is_free_when_the_job_is_over(bench, end):
    put(bench, 1)
    (held,) = bench.take()
    if end == "finished":
        bench.store.write(partial(claims.finish, claims=[held]))
    else:
        bench.store.write(lambda s: failed.fail(s, bench.registry, held, "reason", "trace"))
    put(bench, 2)
    assert numbers(bench.take(5), bench.registry) == [2]


def test_key_stays_with_a_job_that_is_released(bench):
    first = put(bench)
    (held,) = bench.take()
    bench.store.write(lambda s: claims.release(s, held, delay_seconds=60, spent=True))
    assert put(bench) == first


def test_job_that_gives_its_key_up_at_the_claim_is_claimed_alone(bench):
    """So it is begun at once: handed back unbegun, it would wait beside another with its key."""
    bench.put(Note(number=1))
    put(bench, 2, unique_waiting=True)
    bench.put(Note(number=3))
    assert [numbers(bench.take(5), bench.registry) for _ in range(3)] == [[1, 3], [2], []]


def test_key_is_free_again_when_the_transaction_is_rolled_back(bench):
    with pytest.raises(ZeroDivisionError):
        bench.store.write(lambda s: enqueue(s, Note(), unique="one") / 0)
    put(bench, 5, key="one")
    assert numbers(bench.take(5), bench.registry) == [5]


def test_of_many_at_once_one_is_put_in(bench):
    together = Barrier(6)

    def try_to(number):
        together.wait()
        return [put(bench, number, key=f"key {n}") for n in range(5)]

    with ThreadPoolExecutor(6) as pool:
        told = list(pool.map(try_to, range(6)))
    assert len({tuple(ids) for ids in told}) == 1
    assert len(bench.rows()) == 5


def test_workers_that_finish_meanwhile_do_no_harm(bench):
    together = Barrier(2)

    def finish(_):
        worker = bench.worker()
        together.wait()
        for _ in range(60):
            if held := bench.take(1, worker=worker):
                bench.store.write(partial(claims.finish, claims=held))

    def fill(_):
        together.wait()
        return [put(bench, n) for n in range(60)]

    with ThreadPoolExecutor(2) as pool:
        finished, ids = pool.submit(finish, 0), pool.submit(fill, 0).result()
        finished.result()
    assert len(ids) == 60
    assert len(bench.rows()) <= 1


@pytest.mark.parametrize("key", ["", " a", "a ", "x" * 191])
def test_key_that_not_every_database_would_keep_is_refused(bench, key):
    with pytest.raises(ValueError, match="a unique key has 1 to 190 characters"):
        put(bench, key=key)
    assert bench.rows() == []


def test_many_jobs_may_have_a_delay_a_priority_and_a_group(bench):
    many = [Note(number=number) for number in range(3)]
    bench.store.write(lambda s: enqueue_many(s, many, delay=60, priority=4, group="team 1"))
    assert {(row.priority, row.group_key) for row in bench.rows()} == {(4, "team 1")}
    assert bench.take() == []
    bench.let_pass(61)
    assert len(bench.take(5)) == 3
