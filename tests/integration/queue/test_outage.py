"""A worker in this process whose database does not answer for a while."""

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from smsqueue.queue import hands
from smsqueue.queue.dispatch import jobs
from smsqueue.queue.stops import Stops
from tests.integration.queue.kit import Note, Quick


class Cable:
    """The line to the database, which can be cut."""

    def __init__(self, engine: sa.Engine) -> None:
        self.cut_for = 0
        """How many more statements do not get through."""
        self.asked = 0
        sa.event.listen(engine, "before_cursor_execute", self._before)

    def _before(self, *_: object) -> None:
        if self.cut_for:
            self.cut_for -= 1
            self.asked += 1
            raise OperationalError("statement", {}, Exception("no connection"))


@pytest.fixture
def cable(bench, monkeypatch):
    monkeypatch.setattr(Stops, "wait", lambda self, _seconds, *_: self.reason is not None)
    return Cable(bench.store.engine)


def test_worker_waits_until_the_database_answers_and_says_so_once(bench, cable):
    bench.put(Note(number=1))
    cable.cut_for = 6
    bench.work()
    assert (bench.ran, bench.rows(), cable.asked) == ([1], [], 6)
    assert len(bench.events("database.away")) == len(bench.events("database.back")) == 1


def test_job_broken_off_by_the_database_has_not_spent_a_try(bench, cable):
    attempts = []

    def ask(_job, run):
        attempts.append(run.claim.attempts)
        cable.cut_for = 3 if len(attempts) < 5 else 0
        with run.database.reading() as session:
            session.execute(sa.select(jobs))

    bench.handle(Note, ask)
    bench.put(Note())
    bench.work()
    assert attempts == [1] * 5
    assert (bench.rows(), bench.failed()) == ([], [])


def test_job_that_is_done_is_not_repeated_because_the_database_went_away(bench, cable):
    def cut(job, _run):
        bench.ran.append(job.number)
        cable.cut_for = 3 if job.number == 2 else 0

    bench.handle(Note, cut)
    bench.put(*(Note(number=n) for n in range(5)))
    bench.work()
    assert sorted(bench.ran) == [0, 1, 2, 3, 4]
    assert (bench.rows(), bench.failed()) == ([], [])


def test_batch_that_is_done_is_finished_when_the_database_is_back(bench, cable, monkeypatch):
    monkeypatch.setattr(hands, "QUICK_SECONDS", 60)

    def cut(job, _run):
        bench.ran.append(job.number)
        cable.cut_for = 3 if job.number == 6 else 0

    bench.handle(Quick, cut)
    bench.put(*(Quick(number=n) for n in range(10)))
    bench.work()
    assert bench.ran == list(range(10))
    assert bench.rows() == []


def test_job_whose_statement_is_wrong_fails_and_does_not_hold_up_the_others(bench):
    def ask(_job, run):
        with run.database.reading() as session:
            session.execute(sa.text("SELECT no_such_column FROM jobs"))

    bench.handle(Note, ask)
    bench.put(Note(), Quick(number=1))
    bench.execute(sa.update(jobs).where(jobs.c.kind == "test.note").values(attempts=2))
    bench.work(max_time=20)
    assert bench.ran == [1]
    assert len(bench.failed()) == 1


def test_wish_to_stop_is_heard_while_the_database_is_away(bench, cable):
    cable.cut_for = 1_000_000
    bench.stops.request("signal SIGTERM")
    ending = bench.work(daemon=True)
    assert (ending.reason, ending.code) == ("signal SIGTERM", 0)
    assert not bench.events("worker.started")
