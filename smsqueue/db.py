"""The database: one base class, one way to build an engine, one way to read and one to write."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Session

T = TypeVar("T")
POSTGRESQL_RETRY = {"40001", "40P01"}  # serialization failure, deadlock
# changed since read, lock wait timeout, deadlock, and what hides one: it takes the savepoint that is to be gone back to
MYSQL_RETRY = {(1020,), (1205,), (1213,), (1305,)}
SQLITE_BUSY = {5, 6, 261, 517}  # busy, locked, recovery, snapshot
AFTER_COMMIT = "after_commit"
SQLITE_ERROR = 1  # e.g. no such table
POSTGRESQL_LIMITS = "54"  # e.g. a statement too complex
MYSQL_SERVER_ERRORS = range(1000, 2000)  # said by a server that answers; pymysql calls most of them operational
# changed since read, disk full, too many connections, not ready, shutting down, broken packets (1153 is one too
# large: the statement's), too many connections of one user, lock wait timeout, deadlock, read only; its savepoint
# gone, interrupted, killed
MYSQL_AWAY = {1020, 1021, 1040, 1047, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1290}
MYSQL_AWAY |= {1305, 1317, 1836, 1927}
TRIES = 4  # the first and three more
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
MYSQL_CONNECT = {"connect_timeout": 5, "charset": "utf8mb4", "init_command": "SET time_zone = '+00:00'"}
BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""Integer keys that SQLite can count up by itself."""


class Base(DeclarativeBase):
    """All tables, with one naming rule for their constraints."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """An aware UTC datetime, to the microsecond, on every database."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """PostgreSQL knows zones; MySQL needs to be asked for microseconds; SQLite stores text."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.DateTime(timezone=True))
        if dialect.name in ("mysql", "mariadb"):
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.DateTime())

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Refuse a time without a zone: nobody could tell which moment is meant."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a time without a zone: {value!r}")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        """Give every time its zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def table_of(model: type[Base]) -> sa.Table:
    """Return a model's table, for statements that need no objects."""
    table = model.__table__
    assert isinstance(table, sa.Table)  # noqa: S101 - every model here is a plain table
    return table


def changed(session: Session, statement: sa.Update | sa.Delete, parameters: Any = None) -> int:
    """Execute an UPDATE or DELETE and return how many rows it met."""
    result = session.execute(statement, parameters)
    assert isinstance(result, sa.CursorResult)  # noqa: S101 - these statements have no other
    return result.rowcount


def insert_row(session: Session, table: sa.Table, values: dict[str, Any]) -> int:
    """Insert one row and return its integer key."""
    result = session.execute(sa.insert(table).values(values))
    assert isinstance(result, sa.CursorResult)  # noqa: S101 - an INSERT has no other
    (key,) = result.inserted_primary_key or (0,)
    return int(key)


def normalise_url(url: str) -> str:
    """Name the installed driver, and make a relative SQLite path absolute (libraries disagree about those)."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    scheme = DRIVERS.get(scheme, scheme)
    if scheme == "sqlite" and rest not in ("", "/", "/:memory:"):
        path, question, query = rest.removeprefix("/").partition("?")
        rest = f"/{Path(path).absolute()}{question}{query}"
    return f"{scheme}://{rest}"


def build_engine(url: str, *, pool_size: int = 5) -> sa.Engine:
    """Build the engine for `url`, with the isolation, pragmas and pool that this program needs."""
    url = normalise_url(url)
    name = sa.make_url(url).get_backend_name()
    if name == "sqlite":
        engine = sa.create_engine(url, connect_args={"timeout": 10, "isolation_level": None}, hide_parameters=True)
        sa.event.listen(engine, "connect", _set_pragmas)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    options: dict[str, Any] = {
        "isolation_level": "READ COMMITTED",
        "pool_pre_ping": True,
        "pool_size": pool_size,
        "hide_parameters": True,  # numbers and texts do not belong in an error's message
    }
    if name == "postgresql":
        connect = {"connect_timeout": 5, "application_name": "smsqueue"}
        return sa.create_engine(url, connect_args=connect, **options)
    return sa.create_engine(url, connect_args=MYSQL_CONNECT, **options)


def _set_pragmas(connection: Any, _record: Any) -> None:
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=10000", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A transaction that reads and then writes fails at once when another has written in between:
    # what is going to write takes the write lock first.
    options = connection.get_execution_options()
    if options.get("at_once", False):
        return  # each statement is a transaction of its own
    immediate = options.get("immediate", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def is_worth_repeating(error: DBAPIError) -> bool:
    """Say whether the database asked for the whole transaction to be tried again (deadlock, busy, serialization)."""
    original: Any = error.orig
    if getattr(original, "sqlstate", None) in POSTGRESQL_RETRY:
        return True
    if getattr(original, "sqlite_errorcode", None) in SQLITE_BUSY:
        return True
    return original is not None and original.args[:1] in MYSQL_RETRY


def is_away(error: BaseException) -> bool:
    """Say whether the database could not be reached or the connection broke (as opposed to a wrong statement)."""
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if not isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return False
    return error.statement is None or not _is_the_statements_fault(error.orig)


def _is_the_statements_fault(original: Any) -> bool:
    """Say whether the same statement would fail for ever; some drivers call that an OperationalError, too."""
    if (sqlite_code := getattr(original, "sqlite_errorcode", None)) is not None:
        return bool(sqlite_code % 256 == SQLITE_ERROR)
    number = next(iter(getattr(original, "args", ())), None)
    if isinstance(number, int):
        return number in MYSQL_SERVER_ERRORS and number not in MYSQL_AWAY
    return str(getattr(original, "sqlstate", None)).startswith(POSTGRESQL_LIMITS)


def after_commit(session: Session, callback: Callable[[], None]) -> None:
    """Have `Database.write` call `callback` once the transaction is committed, and not if it never is."""
    session.info.setdefault(AFTER_COMMIT, []).append(callback)


def first_line(error: DBAPIError) -> str:
    """Say in a line what the database complained of, without the statement and its values."""
    return f"{type(error).__name__}: {str(error.orig).strip().partition(chr(10))[0][:200]}"


def _options_at_once(engine: sa.Engine) -> dict[str, Any]:
    # SQLite's driver does so anyway, where nobody says BEGIN.
    return {"at_once": True} if engine.dialect.name == "sqlite" else {"isolation_level": "AUTOCOMMIT"}


def _pause(attempt: int) -> None:
    time.sleep(random.uniform(0.01, 0.05) * 2**attempt)  # noqa: S311 - jitter, not a secret


class Database:
    """An engine with the two ways to use it: `reading()` and `write(use_case)`."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine
        self._writing = engine.execution_options(immediate=True)
        self._at_once = engine.execution_options(**_options_at_once(engine))
        self._kept: dict[int, sa.Connection] = {}

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a session for reading; nothing done in it is kept."""
        with Session(self.engine) as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Open a session that sees one moment of the database, however long it reads."""
        engine = self.engine
        if engine.dialect.name != "sqlite":
            engine = engine.execution_options(isolation_level="REPEATABLE READ")
        with Session(engine) as session:
            yield session

    def write(self, use_case: Callable[[Session], T]) -> T:
        """Run `use_case` in one transaction and commit it; repeat the whole when the database asks for that.

        `use_case` may run several times: network calls, mails and files do not belong in it.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return self._once(use_case)
            except DBAPIError as error:
                if attempt == TRIES or not is_worth_repeating(error):
                    raise
                _pause(attempt)
        raise AssertionError("unreachable")

    def _once(self, use_case: Callable[[Session], T]) -> T:
        with Session(self._writing, expire_on_commit=False) as session:
            with session.begin():
                result = use_case(session)
            for callback in session.info.get(AFTER_COMMIT, ()):
                callback()
            return result

    def at_once(self, statement: str, parameters: Any) -> sa.CursorResult[Any]:
        """Execute one statement that is a transaction of its own, in the driver's words.

        Each thread keeps a connection for this: nothing is asked of the database but the statement.
        """
        for attempt in range(1, TRIES + 1):
            try:
                return self._kept_connection().exec_driver_sql(statement, parameters)
            except DBAPIError as error:
                if not is_worth_repeating(error):
                    self._close_kept(threading.get_ident())
                    raise
                if attempt == TRIES:
                    raise
                _pause(attempt)
        raise AssertionError("unreachable")

    def _kept_connection(self) -> sa.Connection:
        thread = threading.get_ident()
        if thread not in self._kept:
            self._close_kept_of_the_ended()
            connection = self._at_once.connect()
            connection.detach()  # the pool gives its place to another
            self._kept[thread] = connection
            if self.engine.dialect.name == "postgresql":
                # All that is said here finds rows by an index. A plan made while the table was small reads all of it,
                # and is kept when it has grown.
                connection.exec_driver_sql("SET enable_seqscan = off")
        return self._kept[thread]

    def _close_kept_of_the_ended(self) -> None:
        for thread in set(self._kept) - {each.ident for each in threading.enumerate()}:
            self._close_kept(thread)

    def _close_kept(self, thread: int) -> None:
        connection = self._kept.pop(thread, None)
        if connection is not None:
            connection.close()

    def dispose(self) -> None:
        """Close all connections."""
        for thread in list(self._kept):
            self._close_kept(thread)
        self.engine.dispose()
