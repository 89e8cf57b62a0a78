"""What needs no server: URLs, times, and which errors mean what."""

import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pymysql
import pytest
import sqlalchemy as sa
from psycopg import errors
from sqlalchemy.dialects import mysql, postgresql, sqlite

from smsqueue.db import Database, UtcDateTime, build_engine, is_away, is_worth_repeating, normalise_url


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg://u:p@h/d"),
        ("postgresql://u:p@h:5433/d?sslmode=require", "postgresql+psycopg://u:p@h:5433/d?sslmode=require"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("mysql://u@h/d", "mysql+pymysql://u@h/d"),
        ("mariadb://u@h/d", "mariadb+pymysql://u@h/d"),
        ("mysql+pymysql://u@h/d?charset=utf8mb4", "mysql+pymysql://u@h/d?charset=utf8mb4"),
        ("sqlite://", "sqlite://"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("sqlite:////var/lib/sms.db", "sqlite:////var/lib/sms.db"),
        ("sqlite:///sms.db", f"sqlite:///{Path.cwd()}/sms.db"),
        ("sqlite:///a/sms.db?timeout=3", f"sqlite:///{Path.cwd()}/a/sms.db?timeout=3"),
        ("no url", "no url"),
    ],
)
def test_url_is_understood_in_its_usual_spellings(given, understood):
    assert normalise_url(given) == understood
    assert normalise_url(understood) == understood


DIALECTS = [sqlite.dialect(), postgresql.dialect(), mysql.dialect()]


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_time_without_a_zone_is_refused(dialect):
    with pytest.raises(ValueError, match="a time without a zone"):
        UtcDateTime().process_bind_param(datetime(2026, 1, 1), dialect)  # noqa: DTZ001 - that is the point


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_no_time_stays_none(dialect):
    assert UtcDateTime().process_bind_param(None, dialect) is None
    assert UtcDateTime().process_result_value(None, dialect) is None


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
def test_time_is_stored_as_utc_wherever_it_was_told(dialect):
    told = datetime(2026, 7, 1, 1, 30, 0, 123_456, tzinfo=timezone(timedelta(hours=5, minutes=45)))
    stored = UtcDateTime().process_bind_param(told, dialect)
    assert stored is not None
    assert stored.replace(tzinfo=UTC) == told
    assert UtcDateTime().process_result_value(stored, dialect) == told


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("it broke")
    error.sqlite_errorcode = code
    return error


def with_state(error: Any, sqlstate: str) -> Any:
    error.sqlstate = sqlstate  # newer drivers tell it, too
    return error


def wrapped(original: Exception, kind: type[sa.exc.DBAPIError] = sa.exc.OperationalError, **more: Any):
    return kind("SELECT 1", {}, original, **more)


ERRORS = [
    # the error, whether the database is away, whether to repeat the transaction
    (wrapped(errors.DeadlockDetected()), True, True),
    (wrapped(errors.SerializationFailure()), True, True),
    (wrapped(errors.AdminShutdown()), True, False),
    (wrapped(errors.CannotConnectNow()), True, False),
    (wrapped(errors.TooManyConnections()), True, False),
    (wrapped(errors.OperationalError("server closed the connection unexpectedly")), True, False),
    (wrapped(errors.StatementTooComplex()), False, False),
    (wrapped(errors.UndefinedTable(), sa.exc.ProgrammingError), False, False),
    (wrapped(errors.UniqueViolation(), sa.exc.IntegrityError), False, False),
    (wrapped(errors.InterfaceError("connection already closed"), sa.exc.InterfaceError), True, False),
    (wrapped(errors.InternalError_(), sa.exc.InternalError, connection_invalidated=True), True, False),
    (wrapped(pymysql.OperationalError(1213, "Deadlock found")), True, True),
    (wrapped(pymysql.OperationalError(1205, "Lock wait timeout exceeded")), True, True),
    (wrapped(pymysql.OperationalError(1020, "Record has changed since last read")), True, True),
    (wrapped(pymysql.OperationalError(2003, "Can't connect")), True, False),
    (wrapped(pymysql.OperationalError(2013, "Lost connection")), True, False),
    (wrapped(pymysql.OperationalError(1040, "Too many connections")), True, False),
    (wrapped(pymysql.OperationalError(1053, "Server shutdown in progress")), True, False),
    (wrapped(pymysql.OperationalError(1054, "Unknown column 'x'")), False, False),
    (wrapped(with_state(pymysql.OperationalError(1054, "Unknown column 'x'"), "42S22")), False, False),
    (wrapped(pymysql.OperationalError(1364, "Field has no default value")), False, False),
    (wrapped(pymysql.InterfaceError(0, ""), sa.exc.InterfaceError), True, False),
    (wrapped(sqlite_error(5)), True, True),
    (wrapped(sqlite_error(517)), True, True),
    (wrapped(sqlite_error(6)), True, True),
    (wrapped(sqlite_error(10)), True, False),  # the disk
    (wrapped(sqlite_error(13)), True, False),  # the disk is full
    (wrapped(sqlite_error(14)), True, False),  # the file cannot be opened
    (wrapped(sqlite_error(1)), False, False),  # no such table
    (wrapped(Exception("no connection")), True, False),
    (sa.exc.OperationalError(None, None, pymysql.OperationalError(1045, "Access denied")), True, False),
]


@pytest.mark.parametrize(("error", "away", "repeat"), ERRORS, ids=lambda each: str(each)[:60])
def test_error_is_told_from_others(error, away, repeat):
    assert is_away(error) is away
    assert is_worth_repeating(error) is repeat


@pytest.mark.parametrize("error", [ValueError("no database"), OSError("neither"), sa.exc.InvalidRequestError("nor")])
def test_error_of_something_else_is_not_the_databases(error):
    assert not is_away(error)


def test_sqlite_keeps_what_was_committed_when_the_power_goes(tmp_path):
    with build_engine(f"sqlite:///{tmp_path}/sms.db").connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
        connection.engine.dispose()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 10_000}


def test_reading_keeps_nothing(tmp_path):
    store = Database(build_engine(f"sqlite:///{tmp_path}/sms.db"))
    with store.reading() as session:
        session.execute(sa.text("CREATE TABLE kept (id INTEGER)"))
    with store.reading() as session:
        assert not sa.inspect(session.connection()).has_table("kept")
    store.dispose()
