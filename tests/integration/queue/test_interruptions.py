"""What a worker does after it was asleep or cut off, and how its progress counts."""

from sqlalchemy.exc import OperationalError

from smsqueue.queue import claim as claims
from smsqueue.queue import workers
from smsqueue.queue.lease import Lease
from smsqueue.queue.order import Order
from tests.integration.queue.kit import Note, Quick


def test_lease_is_fresh_until_two_beats_are_missing(bench, monkeypatch):
    now = [500.0]
    monkeypatch.setattr(workers, "steady", lambda: now[0])
    lease = Lease(bench.store, bench.worker(), 60, 10)
    seen = []
    for seconds in (19.9, 0.1):
        now[0] += seconds
        seen.append(lease.is_fresh)
    lease.beat()
    assert [*seen, lease.is_fresh] == [True, False, True]


def test_worker_that_slept_claims_nothing_under_the_name_that_it_lost(bench, monkeypatch):
    names = []
    asleep = [0.0]
    clock = workers.steady
    monkeypatch.setattr(workers, "steady", lambda: clock() + asleep[0])

    def sleep_at_first(_job, run):
        names.append(run.lease.worker_id)
        if len(names) == 1:
            asleep[0] = 100
            bench.store.write(lambda session: workers.bury(session, [run.lease.worker_id], "lease ran out"))

    bench.handle(Note, sleep_at_first)
    bench.put(Note(), Note())
    bench.work()
    assert len(names) == 3  # the first job ran again: it was taken away while its worker slept
    assert names[0] not in names[1:]


def test_claim_whose_commit_was_lost_is_given_back_when_the_database_returns(bench, monkeypatch):
    take = Order.take
    lost: list[claims.Claim] = []

    def lose_the_answer(order, session, worker_id, limit, *, ceiling):
        claimed = take(order, session, worker_id, limit, ceiling=ceiling)
        if not lost:
            lost.extend(claimed)
            session.commit()
            raise OperationalError("COMMIT", None, Exception("server closed the connection"))
        return claimed

    monkeypatch.setattr(Order, "take", lose_the_answer)
    bench.put(Quick(number=1))
    bench.work()
    assert len(lost) == 1
    assert bench.ran == [1]
    assert bench.rows() == []


def test_everything_is_given_back_unspent_but_what_is_finished(bench):
    worker = bench.worker()
    bench.put(Quick(number=1), Quick(number=2), Quick(number=3))
    done, _ = bench.take(2, worker=worker)
    (others,) = bench.take()
    assert bench.store.write(lambda session: claims.hand_back_all(session, worker, but=[done])) == 1
    held = {row.id: (row.reserved_at is not None, row.attempts) for row in bench.rows()}
    assert held[done.id] == (True, 1)
    assert held[others.id] == (True, 1)
    assert sorted(held.values()) == [(False, 0), (True, 1), (True, 1)]


def test_error_after_progress_counts_as_the_first_try(bench):
    def fail(_job, run):
        run.database.write(lambda session: claims.note_progress(session, run.claim))
        raise ValueError("in the middle")

    bench.handle(Note, fail)
    bench.put(Note())
    for _ in range(5):
        bench.run_one()
        assert bench.row().attempts == 1
        bench.let_pass(100)
    assert bench.failed() == []
