"""How runs end: in a transaction of the handler's own, by the policy, and when the job breaks its database."""

import pytest
import sqlalchemy as sa

from smsqueue.queue import claim as claims
from smsqueue.queue.claim import LeaseLost
from smsqueue.queue.dispatch import SECOND, enqueue, jobs
from smsqueue.queue.history import Tally
from smsqueue.queue.job import Policy
from smsqueue.queue.runner import Run, Snooze, spend
from tests.integration.queue.kit import Later, Note, Quick


class Broken(Exception):
    """What handlers here break with."""


class Hopeless(Broken):
    """An error that no further try will mend."""


def break_down(*_):
    raise Broken("it broke")


def put_in(bench, policy, behaviour=break_down):
    """Queue the only job, of a kind with this policy."""
    bench.handle(Note, behaviour, policy=policy)
    bench.put(Note())


def run_again(bench):
    """Let the job's pause be over and run it."""
    bench.let_pass(3600)
    return bench.run_one()


def test_handlers_own_rows_and_the_end_of_its_job_are_one_commit(bench):
    def work(_job, run: Run):
        def both(session):
            enqueue(session, Later(number=8))
            run.complete_in(session)

        run.database.write(both)
        assert [row.kind for row in bench.rows()] == ["test.later"]

    bench.handle(Note, work)
    bench.put(Note())
    assert bench.run_one() is False
    assert len(bench.events("job.finished")) == 1
    assert [row.kind for row in bench.rows()] == ["test.later"]


def test_job_that_may_be_repeated_is_not_deleted_a_second_time(bench):
    bench.handle(Quick, lambda _job, run: run.database.write(run.complete_in))
    bench.put(Quick())
    assert bench.run_one() is False
    assert bench.rows() == []


def test_job_goes_on_when_the_transaction_that_ends_it_is_rolled_back(bench):
    def work(_job, run: Run):
        def change_your_mind(session):
            enqueue(session, Later())
            run.complete_in(session)
            raise Broken("not now")

        run.database.write(change_your_mind)

    bench.handle(Note, work)
    bench.put(Note())
    bench.run_one()
    row = bench.row()
    assert (row.kind, row.attempts, row.last_error) == ("test.note", 1, "Broken: not now")


def test_end_in_a_transaction_that_was_taken_back_is_followed_by_an_ordinary_end(bench):
    def work(_job, run: Run):
        def both(session):
            run.complete_in(session)
            break_down()

        with pytest.raises(Broken):
            run.database.write(both)

    bench.handle(Note, work)
    bench.put(Note())
    bench.run_one()
    assert (bench.rows(), len(bench.events("job.finished"))) == ([], 1)


def test_nothing_is_kept_when_the_job_is_not_ours_any_more(bench):
    def work(_job, run: Run):
        def both(session):
            enqueue(session, Later())
            run.complete_in(session)

        bench.store.write(lambda s: claims.free_jobs_of(s, [bench.row().worker_id]))
        run.database.write(both)

    bench.handle(Note, work)
    bench.put(Note())
    bench.run_one()
    assert [(row.kind, row.claim_token) for row in bench.rows()] == [("test.note", None)]
    assert len(bench.events("job.lost")) == 1


@pytest.mark.parametrize("late", [Broken("too late"), LeaseLost(1), SystemExit(1)])
def test_error_after_the_end_is_told_and_changes_nothing(bench, late):
    def work(_job, run: Run):
        run.database.write(run.complete_in)
        raise late

    bench.handle(Note, work)
    bench.put(Note())
    bench.run_one()
    assert (bench.rows(), bench.failed()) == ([], [])
    assert [facts["reason"] for facts in bench.events("job.broke_late")] == [f"{type(late).__name__}: {late}"]


def test_end_does_not_belong_into_a_savepoint(bench):
    def work(_job, run: Run):
        def inner(session):
            with session.begin_nested():
                run.complete_in(session)

        run.database.write(inner)

    bench.handle(Note, work)
    bench.put(Note())
    bench.run_one()
    assert "savepoint" in bench.row().last_error


def test_job_is_tried_for_as_long_as_its_policy_says_however_often(bench):
    put_in(bench, Policy(tries=1, retry_for=100, backoff=(5,)))
    for _ in range(4):
        run_again(bench)
    assert (bench.row().attempts, bench.failed()) == (4, [])
    bench.execute(sa.update(jobs).values(created_at=jobs.c.created_at - 96 * SECOND))
    run_again(bench)
    assert bench.failed()[0].error == "Broken"


def test_job_that_kills_its_worker_is_not_begun_again_when_its_time_is_over(bench):
    put_in(bench, Policy(retry_for=100))
    worker = bench.worker()
    bench.take(worker=worker)
    bench.store.write(lambda s: claims.free_jobs_of(s, [worker]))
    bench.execute(sa.update(jobs).values(created_at=jobs.c.created_at - 101 * SECOND))
    bench.run_one()
    assert "TooManyTries: the worker stopped in the middle, and the 100 s" in bench.failed()[0].exception


def test_errors_of_its_own_are_counted_apart_from_tries(bench):
    put_in(bench, Policy(tries=10, max_exceptions=2))
    worker = bench.worker()
    for _ in range(3):  # it dies with its worker: no error of its own
        bench.take(worker=worker)
        bench.store.write(lambda s: claims.free_jobs_of(s, [worker]))
    run_again(bench)
    assert (bench.row().attempts, bench.row().exceptions) == (4, 1)
    run_again(bench)
    assert (bench.rows(), bench.failed()[0].attempts) == ([], 5)


@pytest.mark.parametrize(("error", "fails"), [(Hopeless, True), (Broken, False)])
def test_some_errors_fail_the_job_at_once(bench, error, fails):
    def work(*_):
        raise error("no")

    put_in(bench, Policy(tries=5, fail_on=(Hopeless,)), work)
    bench.run_one()
    assert [row.error for row in bench.failed()] == ["Hopeless"] * fails


@pytest.mark.parametrize("is_final", [True, False])
def test_death_is_judged_without_a_worker(bench, is_final):
    put_in(bench, Policy(tries=3, max_exceptions=1))
    (held,) = bench.take()
    spend(bench.store, bench.registry, held, "TimedOut: 5 s", "", error="TimedOut", is_final=is_final)
    assert [row.error for row in bench.failed()] == ["TimedOut"] * is_final
    assert [(row.attempts, row.exceptions, row.last_error) for row in bench.rows()] == [(1, 0, "TimedOut: 5 s")] * (
        not is_final
    )


def test_runs_are_counted_by_how_they_ended(bench):
    tally = Counted()
    endings = {1: lambda: None, 2: lambda: Snooze(60, "later"), 3: break_down}
    bench.handle(Note, lambda job, _run: endings[job.number](), policy=Policy(tries=1))
    bench.put(*(Note(number=number) for number in endings), Quick())
    worker = bench.worker()
    runner = bench.runner(worker)
    runner = type(runner)(bench.registry, bench.store, runner.lease, bench.stops, runner.order, tally)
    for held in bench.take(5, worker=worker):
        runner.run(held)
    assert tally.endings == ["done", "released", "failed", "done"]


class Counted(Tally):
    """Writes down endings instead of adding them up."""

    def __init__(self) -> None:
        super().__init__()
        self.endings: list[str] = []

    def note(self, held, ending, seconds):
        """Write down an ending."""
        assert held.claimed_at >= held.available_at
        assert seconds >= 0
        self.endings.append(ending)


def lose_connection(_job, run: Run):
    """Be a job that breaks its connection each time it runs."""
    with run.database.reading() as session:
        session.connection().invalidate()
        raise sa.exc.OperationalError("SELECT 1", {}, Exception("gone"), connection_invalidated=True)


def test_lost_connection_costs_a_job_no_try_but_one_that_loses_it_each_time_does(bench):
    put_in(bench, Policy(tries=2), lose_connection)
    runner = bench.runner()
    for _ in range(3):
        (held,) = bench.take()
        with pytest.raises(sa.exc.OperationalError):
            runner.run(held)
        assert (bench.row().attempts, bench.row().last_error) == (1, None)
        bench.store.write(lambda s, held=held: claims.hand_back(s, [held]))
    for _ in range(2):
        bench.let_pass(60)
        (held,) = bench.take()
        assert runner.run(held) is False
    assert (bench.rows(), [row.error for row in bench.failed()]) == ([], ["OperationalError"])


def test_job_that_loses_its_connection_each_time_does_not_keep_a_worker_busy_for_ever(bench):
    put_in(bench, Policy(tries=1), lose_connection)
    bench.put(Note(number=1), Later(number=5))
    bench.work(sleep=0.01)
    assert len(bench.failed()) == 2
    assert bench.ran == [5]


def test_handler_hands_its_work_back_when_the_worker_stops_and_spends_no_try(bench):
    def work(_job, run: Run):
        bench.stops.request("signal SIGTERM")
        return Snooze(0, "the worker stops") if run.is_stopping else None

    put_in(bench, Policy(tries=1), work)
    bench.run_one()
    assert (bench.row().attempts, bench.row().reserved_at) == (0, None)


@pytest.mark.databases("postgresql", "mariadb")
def test_job_that_is_done_when_its_connection_breaks_is_done_and_waits_to_be_deleted(bench):
    bench.put(*(Note(number=number) for number in range(3)))
    worker = bench.worker()
    first, second, third = bench.take(3, worker=worker)
    runner = bench.runner(worker)
    assert runner.run(first) is False
    cut_connections(bench)
    assert runner.run(second) is True
    assert runner.run(third) is False
    assert [row.id for row in bench.rows()] == [second.id]


def cut_connections(bench):
    """End every connection to the database but the one that does so."""
    with bench.store.reading() as session:
        if session.get_bind().dialect.name == "postgresql":
            others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
            session.execute(sa.text(f"SELECT pg_terminate_backend(pid) {others}"))
            return
        others = "FROM information_schema.processlist WHERE id <> connection_id() AND db = database()"
        for number in session.execute(sa.text(f"SELECT id {others}")).scalars().all():
            session.execute(sa.text(f"KILL {number}"))
