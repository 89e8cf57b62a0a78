"""How an idle worker learns of new jobs, on each database, and what happens when it does not."""

from functools import partial

import pytest
import sqlalchemy as sa

from smsqueue.queue import wakeup as wakeups
from smsqueue.queue.stops import Stops
from smsqueue.queue.wakeup import Wakeup, build
from tests.integration.queue.kit import Later, Note
from tests.integration.queue.shift import at_work
from tests.outside import wait_until

HOW = {"postgresql": "listening", "sqlite": "watching", "mariadb": "polling"}
told = pytest.mark.databases("postgresql", "sqlite")
listening = pytest.mark.databases("postgresql")


@pytest.fixture
def wakeup(bench):
    """A wakeup that is ready: on PostgreSQL the server's first answer is taken for news."""
    wakeup = build(bench.store.engine, ["default", "other"])
    if bench.store.engine.dialect.name == "postgresql":
        assert wakeup.wait(10, bench.stops)
    yield wakeup
    wakeup.close()


def hang_up(bench):
    """Let the server end every connection that listens."""
    listeners = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
    with bench.store.reading() as session:
        return session.execute(sa.text(listeners)).scalar_one()


def done(bench, how_many):
    return len(bench.ran) == how_many


@told
def test_new_job_of_a_served_queue_is_news(bench, wakeup):
    assert not wakeup.wait(0.1, bench.stops)
    bench.put(Note())
    assert wakeup.wait(10, bench.stops)
    assert not wakeup.wait(0.1, bench.stops)


@told
def test_other_queues_jobs_and_jobs_of_tomorrow_are_no_news(bench, wakeup):
    bench.put(Later())
    bench.put(Note(), delay=3600)
    assert not wakeup.wait(0.3, bench.stops)


@told
def test_job_that_came_before_the_wait_is_news(bench, wakeup):
    bench.put(Note(number=1))
    bench.put(Note(number=2))
    assert wakeup.wait(10, bench.stops)


@pytest.mark.databases("sqlite")
def test_somebody_elses_changes_are_no_news(bench, wakeup):
    bench.worker()
    assert not wakeup.wait(0.1, bench.stops)


def test_call_ends_the_wait(bench, wakeup):
    bench.stops.wake()
    wakeup.wait(3600, bench.stops)
    bench.stops.request("enough")
    wakeup.wait(3600, bench.stops)


class Slept(Stops):
    """Notes for how long it should have slept."""

    def __init__(self):
        super().__init__()
        self.seconds = []

    def wait(self, seconds):
        self.seconds.append(seconds)
        return False


def test_looking_becomes_rare_until_there_is_something():
    stops, wakeup = Slept(), Wakeup()
    for _ in range(20):
        wakeup.wait(3, stops)
    assert stops.seconds == sorted(stops.seconds)
    assert stops.seconds[0] < 0.05
    assert stops.seconds[-1] == 3
    wakeup.found()
    wakeup.wait(3, stops)
    assert stops.seconds[-1] < 0.05


def test_worker_says_how_it_learns_of_jobs(bench, database):
    with at_work(bench) as shift:
        assert shift.row.wakeup == HOW[database.kind]


@told
def test_idle_worker_is_woken(bench):
    with at_work(bench) as shift:
        wait_until(lambda: shift.row.state == "running")
        for number in range(1, 6):
            bench.put(Note(number=number))
            wait_until(partial(done, bench, number))


@pytest.mark.databases("mariadb")
def test_idle_worker_looks(bench):
    with at_work(bench, sleep=0.5):
        for number in range(1, 4):
            bench.put(Note(number=number))
            wait_until(partial(done, bench, number))


@listening
def test_listener_hears_itself(bench, wakeup, monkeypatch):
    monkeypatch.setattr(wakeups, "PROOF_SECONDS", 0)
    for _ in range(3):
        bench.store.write(wakeup.prove)
        assert not wakeup.wait(0.2, bench.stops)
    assert (wakeup.state, bench.events("listener.degraded")) == ("listening", [])


@listening
def test_word_of_a_transaction_that_is_undone_is_not_waited_for(bench, wakeup, monkeypatch):
    monkeypatch.setattr(wakeups, "HEARING_SECONDS", 0.05)
    with bench.store.reading() as session:
        wakeup.prove(session)
    assert not wakeup.wait(0.2, bench.stops)
    assert wakeup.state == "listening"


@listening
def test_listener_that_does_not_hear_itself_says_so_and_connects_anew(bench, wakeup, monkeypatch):
    monkeypatch.setattr(wakeups, "HEARING_SECONDS", 0.05)
    wakeup._own, listened = "somewhere_else", wakeup._own  # what is said there, the server tells nobody
    bench.store.write(wakeup.prove)
    monkeypatch.setattr(wakeups, "HEARING_SECONDS", 10)
    wakeup._own = listened
    assert wakeup.wait(10, bench.stops)  # connected anew: a look is worth it
    assert wakeup.state == "degraded"
    assert len(bench.events("listener.degraded")) == 1
    assert wakeup.wait(10, bench.stops)  # the server tells us from now on
    bench.store.write(wakeup.prove)
    wait_until(lambda: not wakeup.wait(0.05, bench.stops) and wakeup.state == "listening")
    assert len(bench.events("listener.back")) == 1


@listening
def test_worker_whose_listener_is_cut_off_says_so_goes_on_and_listens_again(bench, monkeypatch):
    monkeypatch.setattr(wakeups, "PROOF_SECONDS", 0)
    with at_work(bench, sleep=0.5) as shift:
        wait_until(lambda: hang_up(bench))
        wait_until(lambda: bench.events("listener.degraded"))
        bench.put(Note(number=1))
        wait_until(lambda: bench.ran == [1])
        wait_until(lambda: bench.events("listener.back"), 30)
        wait_until(lambda: shift.row.wakeup == "listening")
        assert len(bench.events("listener.degraded")) == 1


@listening
def test_worker_without_a_connection_to_spare_looks_now_and_then(bench, monkeypatch):
    def refuse(*_, **__):
        raise bench.store.engine.dialect.loaded_dbapi.OperationalError("too many connections")

    monkeypatch.setattr(wakeups, "_connect", refuse)
    with at_work(bench, sleep=0.2) as shift:
        bench.put(Note(number=1))
        wait_until(lambda: bench.ran == [1])
        assert shift.row.wakeup == "degraded"
    assert len(bench.events("listener.degraded")) == 1
