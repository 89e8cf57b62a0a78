"""Taking jobs, holding them, and what a claim that is no longer ours can do: nothing."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial

import pytest

from smsqueue.queue import claim as claims
from smsqueue.queue import failed
from smsqueue.queue.claim import LeaseLost
from smsqueue.queue.dispatch import SECOND, enqueue_many
from tests.integration.queue.kit import Note, numbers, session_of


def test_up_to_a_hundred_jobs_are_taken_at_once_in_their_order(bench):
    bench.store.write(lambda session: enqueue_many(session, (Note(number=n) for n in range(150))))
    held = bench.take(100)
    assert numbers(held, bench.registry) == list(range(100))
    assert len({claim.token for claim in held}) == 1


def test_claim_marks_the_row_and_counts_the_try(bench):
    bench.put(Note())
    worker = bench.worker()
    (held,) = bench.take(worker=worker)
    row = bench.row()
    assert (row.worker_id, row.claim_token, row.attempts, held.attempts) == (worker, held.token, 1, 1)
    assert row.reserved_at >= row.created_at


def test_held_job_is_not_taken_again(bench):
    bench.put(Note())
    bench.take()
    assert bench.take() == []


def test_job_that_was_claimed_before_comes_alone(bench):
    bench.put(*(Note(number=n) for n in range(5)))
    (held,) = bench.take(1)
    bench.store.write(lambda s: claims.release(s, held, delay_seconds=0, spent=True))
    bench.let_pass(0.01)
    assert [numbers(bench.take(100), bench.registry) for _ in range(3)] == [[1, 2, 3, 4], [0], []]


def test_job_that_was_claimed_before_comes_alone_when_it_is_first(bench):
    bench.put(*(Note(number=n) for n in range(5)))
    (held,) = bench.take(1)
    bench.store.write(lambda s: claims.release(s, held, delay_seconds=-60, spent=True))
    assert [numbers(bench.take(100), bench.registry) for _ in range(2)] == [[0], [1, 2, 3, 4]]


@pytest.mark.databases("postgresql", "mariadb")  # SQLite has one writer at a time
def test_claimers_step_over_jobs_that_somebody_is_taking(bench):
    bench.put(Note(number=0), Note(number=1))
    first, second = bench.worker(), bench.worker()
    with session_of(bench.store) as one, session_of(bench.store) as two:
        taken = [claims.claim(one, first, "default", 1), claims.claim(two, second, "default", 1)]
        one.commit()
        two.commit()
    assert [numbers(each, bench.registry) for each in taken] == [[0], [1]]


def test_four_claimers_never_get_the_same_job_and_leave_none(bench):
    bench.store.write(lambda session: enqueue_many(session, (Note(number=n) for n in range(1000))))
    together = threading.Barrier(4)

    def take_all(worker: int) -> list[int]:
        together.wait()
        mine: list[int] = []
        while taken := bench.take(7, worker=worker):
            mine += numbers(taken, bench.registry)
            bench.store.write(partial(claims.finish, claims=taken))
        return mine

    with ThreadPoolExecutor(4) as pool:
        shares = list(pool.map(take_all, [bench.worker() for _ in range(4)]))
    assert sorted(number for share in shares for number in share) == list(range(1000))
    assert bench.rows() == []


def test_finished_job_is_gone(bench):
    bench.put(*(Note(number=n) for n in range(3)))
    held = bench.take(2)
    assert bench.store.write(lambda s: claims.finish(s, held)) == 2
    assert numbers(bench.take(5), bench.registry) == [2]


def test_job_handed_back_has_not_spent_a_try_and_keeps_its_place(bench):
    bench.put(Note(number=0), Note(number=1))
    held = bench.take(2)
    assert bench.store.write(lambda s: claims.hand_back(s, held)) == 2
    assert [(row.attempts, row.reserved_at, row.worker_id, row.claim_token) for row in bench.rows()] == [
        (0, None, None, None)
    ] * 2
    assert numbers(bench.take(5), bench.registry) == [0, 1]


@pytest.mark.parametrize(("spent", "attempts"), [(True, 1), (False, 0)])
def test_released_job_waits_and_keeps_the_reason(bench, spent, attempts):
    bench.put(Note())
    (held,) = bench.take()
    bench.store.write(lambda s: claims.release(s, held, delay_seconds=30, spent=spent, reason="x" * 600))
    row = bench.row()
    assert (row.attempts, row.reserved_at, row.last_error) == (attempts, None, "x" * 500)
    assert row.available_at - row.created_at >= 30 * SECOND
    assert bench.take() == []


def test_progress_lets_tries_count_from_one_again(bench):
    bench.put(Note())
    for _ in range(3):
        (held,) = bench.take()
        bench.store.write(lambda s, held=held: claims.release(s, held, delay_seconds=-1, spent=True))
    (held,) = bench.take()
    assert bench.row().attempts == 4
    assert bench.store.write(lambda s: claims.note_progress(s, held))
    assert bench.row().attempts == 1


STALE = {
    "finish": lambda s, held, _: claims.finish(s, [held]),
    "hand back": lambda s, held, _: claims.hand_back(s, [held]),
    "note progress": lambda s, held, _: claims.note_progress(s, held),
    "is held": lambda s, held, _: claims.is_held(s, held),
    "release": lambda s, held, _: claims.release(s, held, delay_seconds=1, spent=True),
    "snooze": lambda s, held, _: claims.release(s, held, delay_seconds=1, spent=False),
    "fail": lambda s, held, registry: failed.fail(s, registry, held, "reason", "traceback"),
}


@pytest.mark.parametrize("action", STALE)
@pytest.mark.parametrize("now", ["free", "with another"])
def test_claim_that_is_no_longer_ours_changes_nothing(bench, action, now):
    bench.put(Note())
    first = bench.worker()
    (held,) = bench.take(worker=first)
    bench.store.write(lambda s: claims.free_jobs_of(s, [first]))
    if now == "with another":
        bench.take()
    before = vars(bench.row())
    act = STALE[action]
    if action in ("release", "snooze", "fail"):
        with pytest.raises(LeaseLost) as lost:
            bench.store.write(lambda s: act(s, held, bench.registry))
        assert lost.value.job_id == held.id
    else:
        assert not bench.store.write(lambda s: act(s, held, bench.registry))
    after = vars(bench.row())
    assert {**after, "_sa_instance_state": 0} == {**before, "_sa_instance_state": 0}
    assert bench.failed() == []


def test_forged_token_does_not_hold(bench):
    bench.put(Note())
    (held,) = bench.take()
    with bench.store.reading() as session:
        assert claims.is_held(session, held)
        assert not claims.is_held(session, replace(held, token="0" * 32))
