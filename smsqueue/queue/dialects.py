"""Where the databases differ: their clock, and how a claim steps over locked rows."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

MARIADB_SKIPS = (10, 6)
MYSQL_SKIPS = (8, 0, 1)


class now_us(FunctionElement[int]):  # noqa: N801 - reads as the SQL function that it is
    """The database's clock: microseconds UTC since 1970, at the start of the statement."""

    type = sa.BigInteger()
    inherit_cache = True


@compiles(now_us, "postgresql")
def _postgresql(_element: now_us, _compiler: SQLCompiler, **_: Any) -> str:
    # statement_timestamp() and not clock_timestamp(): a stable function may bound an index scan.
    return "(extract(epoch FROM statement_timestamp()) * 1000000)::bigint"


@compiles(now_us, "sqlite")
def _sqlite(_element: now_us, _compiler: SQLCompiler, **_: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)"


@compiles(now_us, "mysql", "mariadb")
def _mysql(_element: now_us, _compiler: SQLCompiler, **_: Any) -> str:
    return "CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED)"


def can_skip_locked(dialect: sa.Dialect) -> bool:
    """Say whether SELECT … FOR UPDATE SKIP LOCKED works (SQLite has one writer at a time and needs no row locks).

    Without it workers wait for each other's claims: slower, still correct.
    """
    if dialect.name == "postgresql":
        return True
    version: tuple[Any, ...] = dialect.server_version_info or ()
    if getattr(dialect, "is_mariadb", False):
        return version >= MARIADB_SKIPS
    return dialect.name == "mysql" and version >= MYSQL_SKIPS


def locking(statement: sa.Select[Any], dialect: sa.Dialect) -> sa.Select[Any]:
    """Lock the rows that `statement` picks, stepping over those that somebody else has locked."""
    return statement.with_for_update(skip_locked=can_skip_locked(dialect))
