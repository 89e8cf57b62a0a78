"""What the database says of itself: whether it keeps what it has committed, and whether it stays quick."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import Base, Database
from smsqueue.queue.dialects import can_skip_locked
from smsqueue.queue.doctor import Check, Finding
from smsqueue.queue.workers import is_running, workers

OLD_SECONDS = 300
CROWDED = 0.8
BESIDE = 3
"""Connections of a worker beside one for each thread: heartbeat, listener, chores."""
LARGE_WAL = 256 * 1024 * 1024
NETWORK = ("nfs", "cifs", "smb", "9p", "afs", "ceph", "gluster", "lustre", "fuse.sshfs", "fuse.gluster", "vboxsf")
Storage = Mapping[str, Mapping[str, float]]
"""For each table the storage parameters that PostgreSQL should have."""
_SMALL = {"fillfactor": 50, "autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 500}
HOT: Storage = {
    "jobs": {
        "fillfactor": 70,
        "autovacuum_vacuum_scale_factor": 0,
        "autovacuum_vacuum_threshold": 2000,
        "autovacuum_vacuum_cost_delay": 0,
        "autovacuum_analyze_scale_factor": 0,
        "autovacuum_analyze_threshold": 5000,
    },
    "workers": _SMALL,
}
"""The queue's own tables whose rows change all the time."""
POSTGRESQL_DURABLE = ("fsync", "full_page_writes", "synchronous_commit")


def _name(database: Database) -> str:
    name = database.engine.dialect.name
    return "mysql" if name == "mariadb" else name


def skip_locked(database: Database) -> Finding:
    """Claims step over rows that others are claiming."""
    dialect = database.engine.dialect
    if _name(database) == "sqlite":
        return Finding("skip locked", "ok", "not needed: SQLite lets one write at a time")
    with database.engine.connect():  # the version is known once it was connected to
        version = ".".join(str(part) for part in dialect.server_version_info or ())
    if can_skip_locked(dialect):
        return Finding("skip locked", "ok", f"version {version} has it")
    found = f"version {version} lacks it: workers wait for each other's claims"
    return Finding("skip locked", "warning", found, "MariaDB from 10.6 or MySQL from 8.0.1 has it")


def isolation(database: Database) -> Finding:
    """A transaction sees what others have committed, and ends when we say so."""
    wanted = "SERIALIZABLE" if _name(database) == "sqlite" else "READ COMMITTED"
    with database.engine.connect() as connection:
        found = str(connection.get_isolation_level())
        at_once = _name(database) == "mysql" and bool(connection.exec_driver_sql("SELECT @@autocommit").scalar())
    if found == wanted and not at_once:
        return Finding("isolation", "ok", found)
    return Finding("isolation", "error", f"{found}{', autocommit' if at_once else ''}", f"it must be {wanted}")


def durability(database: Database) -> Finding:
    """What was committed survives a power cut."""
    with database.reading() as session:
        name = _name(database)
        wrong = list({"postgresql": _postgresql, "sqlite": _sqlite, "mysql": _mysql}[name](session))
    if not wrong:
        return Finding("durability", "ok", "a commit is on disk when it is answered")
    advice = f"set {' and '.join(right for _, right in wrong)}: else a power cut loses what was committed"
    return Finding("durability", "error", ", ".join(found for found, _ in wrong), advice)


def _postgresql(session: Session) -> Iterator[tuple[str, str]]:
    for setting in POSTGRESQL_DURABLE:
        found = session.execute(sa.text(f"SHOW {setting}")).scalar()
        if found == "off":
            yield f"{setting} is {found}", f"{setting} = on"


def _sqlite(session: Session) -> Iterator[tuple[str, str]]:
    journal = session.execute(sa.text("PRAGMA journal_mode")).scalar()
    if journal != "wal":
        yield f"journal_mode is {journal}", "PRAGMA journal_mode=WAL"
    synchronous = session.execute(sa.text("PRAGMA synchronous")).scalar_one()
    if synchronous < 2:
        yield f"synchronous is {synchronous}", "PRAGMA synchronous=FULL"
    if session.execute(sa.text("PRAGMA busy_timeout")).scalar_one() < 1000:
        yield "busy_timeout is below 1 s", "PRAGMA busy_timeout=10000"


def _mysql(session: Session) -> Iterator[tuple[str, str]]:
    flush = session.execute(sa.text("SELECT @@innodb_flush_log_at_trx_commit")).scalar()
    if flush != 1:
        yield f"innodb_flush_log_at_trx_commit is {flush}", "innodb_flush_log_at_trx_commit = 1"


def disk(database: Database, largest: int = LARGE_WAL) -> Finding | None:
    """An embedded database lies on a disk of this machine, and its log does not grow without end."""
    name = database.engine.url.database
    if _name(database) != "sqlite" or not name or name == ":memory:":
        return None
    path = Path(name).resolve()
    kind = filesystem(path, Path("/proc/mounts").read_text() if Path("/proc/mounts").exists() else "")
    if kind.startswith(NETWORK):
        return Finding("disk", "error", f"{path} lies on {kind}: its locks do not work there", "use a local disk")
    log = path.with_name(f"{path.name}-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > largest:
        found = f"{log} has {size >> 20:,} MiB: somebody has read in one transaction for long"
        return Finding("disk", "warning", found, "end that program; the file shrinks when nobody is connected")
    return Finding("disk", "ok", f"{kind or 'unknown file system'}, log of {size >> 20:,} MiB")


def filesystem(path: Path, mounts: str) -> str:
    """Name the kind of file system that `path` lies on; empty when that cannot be told."""
    found = [line.split()[1:3] for line in mounts.splitlines() if len(line.split()) > 2]
    over = [(len(point), kind) for point, kind in found if path.is_relative_to(point.replace("\\040", " "))]
    return max(over, default=(0, ""))[1]


def connections(database: Database) -> Finding | None:
    """The server has room for all the threads of the workers, and some more."""
    if _name(database) == "sqlite":
        return None
    most, used = {
        "postgresql": ("SHOW max_connections", "SELECT count(*) FROM pg_stat_activity WHERE client_port IS NOT NULL"),
        "mysql": ("SELECT @@max_connections", "SELECT count(*) FROM information_schema.processlist"),
    }[_name(database)]
    needed = sa.select(sa.func.coalesce(sa.func.sum(workers.c.threads + BESIDE), 0)).where(is_running)
    with database.reading() as session:
        limit, taken = (int(session.execute(sa.text(ask)).scalar_one()) for ask in (most, used))
        need = int(session.execute(needed).scalar_one())
    found = f"{taken:,} of {limit:,} are used; the threads of all workers need up to {need:,}"
    if max(taken, need) < CROWDED * limit:
        return Finding("connections", "ok", found)
    return Finding("connections", "warning", found, "raise max_connections, or run fewer processes or threads")


def indexes(database: Database) -> Finding:
    """Every index of this version is there, and usable."""
    with database.engine.connect() as connection:
        there = sa.inspect(connection)
        tables = set(there.get_table_names())
        missing = sorted(
            str(index.name)
            for table in Base.metadata.sorted_tables
            for index in table.indexes
            if table.name not in tables or index.name not in {found["name"] for found in there.get_indexes(table.name)}
        )
        broken = _invalid(connection) if _name(database) == "postgresql" else []
    if missing:
        return Finding("indexes", "error", f"missing: {', '.join(missing)}", "`flask db upgrade`, or make them by hand")
    if broken:
        advice = f"`REINDEX INDEX CONCURRENTLY {broken[0]}`"
        return Finding("indexes", "error", f"not usable: {', '.join(broken)}", advice)
    return Finding("indexes", "ok", "all are there")


def _invalid(connection: sa.Connection) -> list[str]:
    statement = "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid ORDER BY 1"
    return list(connection.execute(sa.text(statement)).scalars())


def transactions(database: Database, seconds: float = OLD_SECONDS) -> Finding | None:
    """Nobody holds a transaction open for minutes: behind it dead rows pile up and claims get slow."""
    if _name(database) == "sqlite":
        return None
    ask = _POSTGRESQL_OLDEST if _name(database) == "postgresql" else _MYSQL_OLDEST
    with database.engine.connect() as connection:
        oldest = connection.execute(sa.text(ask)).first()
        connection.rollback()
    if oldest is None or oldest.age < seconds:
        return Finding("oldest transaction", "ok", f"younger than {seconds / 60:g} min")
    found = f"open for {oldest.age / 60:,.0f} min: process {oldest.pid} ({oldest.who})"
    end = "SELECT pg_terminate_backend({})" if _name(database) == "postgresql" else "KILL {}"
    return Finding("oldest transaction", "warning", found, f"end it: `{end.format(oldest.pid)}`")


_POSTGRESQL_OLDEST = """
SELECT pid, concat_ws(', ', nullif(application_name, ''), usename, state) AS who,
       extract(epoch FROM clock_timestamp() - xact_start)::float AS age
FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
  AND xact_start IS NOT NULL
ORDER BY xact_start LIMIT 1
"""
_MYSQL_OLDEST = """
SELECT t.trx_mysql_thread_id AS pid, concat_ws(', ', p.user, p.command) AS who,
       timestampdiff(SECOND, t.trx_started, convert_tz(utc_timestamp(), '+00:00', 'SYSTEM')) AS age
FROM information_schema.innodb_trx t JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id
WHERE p.db = database() AND p.id <> connection_id()
ORDER BY t.trx_started LIMIT 1
"""


def storage(database: Database, wanted: Storage) -> Finding | None:
    """Tables whose rows change all the time leave room in their pages and are vacuumed early."""
    if _name(database) != "postgresql":
        return None
    with database.reading() as session:
        wrong = sorted(table for table, options in wanted.items() if options.items() - _options(session, table).items())
    if not wrong:
        return Finding("storage", "ok", "fillfactor and autovacuum suit the hot tables")
    found = f"usual fillfactor or autovacuum: {', '.join(wrong)}"
    return Finding("storage", "warning", found, "`flask sms doctor --fix` sets them, without disturbing anybody")


def fix_storage(database: Database, wanted: Storage) -> list[str]:
    """Set what `storage` misses and return the tables that were changed; holds nobody up."""
    if _name(database) != "postgresql":
        return []
    fixes = {table: partial(_fix, table=table, options=options) for table, options in wanted.items()}
    return [table for table, fix in fixes.items() if database.write(fix)]


def _fix(session: Session, table: str, options: Mapping[str, float]) -> bool:
    if not options.items() - _options(session, table).items():
        return False
    values = ", ".join(f"{name} = {value:g}" for name, value in options.items())
    session.execute(sa.text(f"ALTER TABLE {table} SET ({values})"))
    return True


def _options(session: Session, table: str) -> dict[str, float]:
    statement = sa.text("SELECT unnest(reloptions) FROM pg_class WHERE oid = to_regclass(:name)")
    pairs: list[Any] = [row.partition("=") for row in session.execute(statement, {"name": table}).scalars()]
    return {name: float(value) for name, _, value in pairs if value.replace(".", "").isdecimal()}


CHECKS: tuple[tuple[str, Check], ...] = (
    ("skip locked", skip_locked),
    ("isolation", isolation),
    ("durability", durability),
    ("disk", disk),
    ("connections", connections),
    ("indexes", indexes),
    ("oldest transaction", transactions),
)
