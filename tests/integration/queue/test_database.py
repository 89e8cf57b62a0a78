"""What the databases do: repeat a transaction when asked to, keep times, tell their clock."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, OperationalError

from smsqueue.db import TRIES, Database, build_engine
from smsqueue.queue.dispatch import clock_us
from smsqueue.queue.models import ControlRow, FailedJob

TWO = {"one": 0, "two": 0}


@pytest.fixture
def controls(store):
    """Two rows that tests count up."""
    store.write(lambda session: session.add_all(ControlRow(name=name, value=value) for name, value in TWO.items()))

    def values() -> dict[str, int]:
        with store.reading() as session:
            return {row.name: row.value for row in session.execute(sa.select(ControlRow.name, ControlRow.value))}

    return values


def count_up(session, name):
    session.execute(sa.update(ControlRow).where(ControlRow.name == name).values(value=ControlRow.value + 1))


@pytest.mark.databases("postgresql", "mariadb")
def test_deadlock_lets_the_whole_transaction_be_repeated(store, controls):
    together = threading.Barrier(2)
    runs: list[str] = []

    def cross(first: str, second: str) -> None:
        met = False

        def use_case(session):
            nonlocal met
            runs.append(first)
            count_up(session, first)
            if not met:
                met = True
                together.wait(30)
            count_up(session, second)

        store.write(use_case)

    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(cross, "one", "two"), pool.submit(cross, "two", "one")]:
            future.result()
    assert controls() == {"one": 2, "two": 2}
    assert len(runs) > 2  # one of the two was asked to try again


@pytest.mark.databases("sqlite")
def test_busy_database_lets_the_whole_transaction_be_repeated(database, store, controls):
    impatient = Database(build_engine(database.url))
    sa.event.listen(impatient.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=1"))
    is_busy = threading.Event()
    sa.event.listen(impatient.engine, "handle_error", lambda _context: is_busy.set())
    with store.engine.connect() as other:
        other.exec_driver_sql("COMMIT")
        other.exec_driver_sql("BEGIN IMMEDIATE")
        writer = threading.Thread(target=impatient.write, args=(lambda session: count_up(session, "one"),))
        writer.start()
        assert is_busy.wait(30)
        other.exec_driver_sql("ROLLBACK")
        writer.join(30)
    impatient.dispose()
    assert controls() == {"one": 1, "two": 0}


def test_transaction_that_is_never_granted_is_given_up(store, controls, monkeypatch):
    monkeypatch.setattr(time, "sleep", lambda _seconds: None)
    asked = []

    def use_case(session):
        count_up(session, "one")
        asked.append(1)
        raise OperationalError("UPDATE", {}, _asks_again(store.engine.dialect.name))

    with pytest.raises(OperationalError):
        store.write(use_case)
    assert (len(asked), controls()) == (TRIES, TWO)


def _asks_again(dialect: str) -> Exception:
    error = Exception(1213, "deadlock")
    if dialect == "postgresql":
        error.sqlstate = "40P01"  # type: ignore[attr-defined]
    if dialect == "sqlite":
        error.sqlite_errorcode = 5  # type: ignore[attr-defined]
    return error


def test_other_errors_are_not_repeated(store, controls):
    asked = []

    def use_case(session):
        asked.append(1)
        count_up(session, "two")
        session.execute(sa.insert(ControlRow).values(name="one", value=1))

    with pytest.raises(IntegrityError):
        store.write(use_case)
    assert (asked, controls()) == ([1], TWO)


def test_mistake_of_the_program_changes_nothing(store, controls):
    def use_case(session):
        count_up(session, "two")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(use_case)
    assert controls() == TWO


def test_no_update_is_lost_however_many_write(store, controls):
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(store.write, lambda session: count_up(session, "one")) for _ in range(40)]:
            future.result()
    assert controls()["one"] == 40


def test_write_returns_what_the_use_case_does_and_its_objects_can_be_read(store):
    row = store.write(lambda session: session.merge(ControlRow(name="one", value=5)))
    assert (row.name, row.value) == ("one", 5)


def test_snapshot_sees_one_moment(store, controls):
    with store.snapshot() as session:
        before = session.scalar(sa.select(ControlRow.value).where(ControlRow.name == "one"))
        store.write(lambda writing: count_up(writing, "one"))
        session.expire_all()
        after = session.scalar(sa.select(ControlRow.value).where(ControlRow.name == "one"))
    assert (before, after, controls()["one"]) == (0, 0, 1)


@pytest.mark.parametrize(
    "moment", [datetime(2026, 3, 29, 1, 30, 0, 1, UTC), datetime(1999, 12, 31, 23, 59, 59, 999_999, UTC)]
)
def test_time_comes_back_to_the_microsecond_and_with_its_zone(store, moment):
    store.write(lambda s: s.add(FailedJob(uuid="u", queue="q", payload="p", exception="e", failed_at=moment)))
    with store.reading() as session:
        found = session.scalar(sa.select(FailedJob.failed_at))
        is_found = session.scalar(sa.select(sa.func.count()).where(FailedJob.failed_at == moment))
    assert (found, found.tzinfo, is_found) == (moment, UTC, 1)


def test_databases_clock_is_ours_and_never_goes_back(store):
    with store.reading() as session:
        earlier = time.time()
        readings = [clock_us(session) / 1_000_000 for _ in range(50)]
        later = time.time()
    assert earlier - 1 < readings[0] <= readings[-1] < later + 1
    assert readings == sorted(readings)


def test_databases_clock_goes_on_within_a_transaction(store):
    with store.reading() as session:
        first = clock_us(session)
        deadline = time.monotonic() + 10
        while clock_us(session) == first:
            assert time.monotonic() < deadline
