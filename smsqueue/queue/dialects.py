"""Where the databases differ: their clock, and how a claim steps over locked rows."""

from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

MYSQL_NAMES = ("mysql", "mariadb")
MARIADB_SKIPS = (10, 6)
MYSQL_SKIPS = (8, 0, 1)
_DELETE_ONE = "DELETE FROM jobs WHERE id = %s AND claim_token = %s"
_DELETE_ONE_SQLITE = "DELETE FROM jobs WHERE id = ? AND claim_token = ?"


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


@lru_cache
def locking(statement: sa.Select[Any], dialect: sa.Dialect) -> sa.Select[Any]:
    """Lock the rows that `statement` picks, stepping over those that somebody else has locked."""
    return statement.with_for_update(skip_locked=can_skip_locked(dialect))


def among(column: sa.Column[int], parameter: str, database: str) -> sa.ColumnElement[bool]:
    """Say that `column` is among the integers in `parameter`; on PostgreSQL in the same words, however many."""
    if database == "postgresql":
        return column == sa.any_(sa.bindparam(parameter, type_=postgresql.ARRAY(sa.BigInteger)))
    return column.in_(sa.bindparam(parameter, expanding=True))


def delete_one(dialect: sa.Dialect) -> str:
    """Return, in the driver's words, the statement that deletes a job by its id and claim token."""
    return _DELETE_ONE_SQLITE if dialect.name == "sqlite" else _DELETE_ONE


def can_walk(dialect: sa.Dialect) -> bool:
    """Say whether a subquery may go on in the index from what the query around it has found.

    MariaDB and MySQL read the whole range then, so with them each step is a statement of its own.
    """
    return dialect.name not in MYSQL_NAMES


def next_priority(jobs: sa.Table) -> sa.Select[int]:
    """Select the most urgent priority of what waits in a `queue` that is less urgent than `after`, up to `ceiling`."""
    bounds = jobs.c.priority > sa.bindparam("after", type_=sa.Integer), jobs.c.priority <= sa.bindparam("ceiling")
    waiting = (jobs.c.queue == sa.bindparam("queue"), jobs.c.reserved_at.is_(None))
    look = sa.select(jobs.c.priority).where(*waiting, *bounds).order_by(jobs.c.queue, jobs.c.priority).limit(1)
    return by_claim_index(look, jobs)


def by_claim_index(statement: sa.Select[Any], jobs: sa.Table) -> sa.Select[Any]:
    """Keep MariaDB and MySQL from taking another index that begins with the same column."""
    for name in MYSQL_NAMES:
        statement = statement.with_hint(jobs, "FORCE INDEX (ix_jobs_claim)", name)
    return statement


def walk_of_priorities(jobs: sa.Table) -> sa.Select[int]:
    """Select the distinct priorities of what waits in a `queue`, up to `ceiling`, by one look into the index for each.

    Whoever asked for the first due jobs of all priorities at once would have to step over all that is due later.
    """

    def next_one(after: sa.ColumnElement[int] | None) -> sa.ScalarSelect[int]:
        waiting = (jobs.c.queue == sa.bindparam("queue"), jobs.c.reserved_at.is_(None))
        look = sa.select(jobs.c.priority).where(*waiting, jobs.c.priority <= sa.bindparam("ceiling", type_=sa.Integer))
        if after is not None:
            look = look.where(jobs.c.priority > after)
        return look.order_by(jobs.c.queue, jobs.c.priority).limit(1).scalar_subquery()  # as in the index

    walk = sa.select(next_one(None).label("priority")).cte("walk", recursive=True)
    onward = sa.select(next_one(walk.c.priority).label("priority")).where(walk.c.priority.isnot(None))
    walk = walk.union_all(onward)
    return sa.select(walk.c.priority).where(walk.c.priority.isnot(None))


def next_group(jobs: sa.Table) -> sa.Select[str, bool]:
    """Select the next group after `after` in a `queue` and `priority`, due or not; after the last comes the first."""
    first = _first_group(jobs)
    following = first.where(jobs.c.group_key > _after(jobs)).scalar_subquery()
    return sa.select(sa.func.coalesce(following, first.scalar_subquery()).label("group_key"), sa.true().label("is_due"))


def walk_of_groups(jobs: sa.Table) -> sa.Select[str, bool]:
    """Select the next group after `after` that has a due job of one `priority` in a `queue`, and True.

    After the last group comes the first. It goes from group to group by one look into the index for each, past those
    whose jobs are all due later; when it comes to the last one, or has gone as far as the database goes at once
    (MariaDB: 1,000 steps), it gives the group that it has come to, and False.
    """
    first = _first_group(jobs)

    def following(group: sa.ColumnElement[str]) -> sa.ScalarSelect[str]:
        return first.where(jobs.c.group_key > group).scalar_subquery()

    def is_due(group: sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
        due = sa.select(sa.literal(1)).where(*_lane(jobs), jobs.c.group_key == group, jobs.c.available_at <= now_us())
        # No EXISTS: PostgreSQL may answer that by a table of all that is due.
        return due.limit(1).scalar_subquery().isnot(None)

    begin = sa.func.coalesce(following(_after(jobs)), first.scalar_subquery())
    walk = sa.select(begin.label("group_key")).cte("walk_of_groups", recursive=True)
    onward = sa.select(following(walk.c.group_key)).where(walk.c.group_key.isnot(None), ~is_due(walk.c.group_key))
    walk = walk.union_all(onward)
    last = sa.select(walk.c.group_key, is_due(walk.c.group_key).label("is_due")).where(walk.c.group_key.isnot(None))
    return last.order_by(walk.c.group_key.desc()).limit(1)


def _lane(jobs: sa.Table) -> tuple[sa.ColumnElement[bool], ...]:
    priority = sa.bindparam("priority", type_=sa.Integer)
    return jobs.c.queue == sa.bindparam("queue"), jobs.c.priority == priority, jobs.c.reserved_at.is_(None)


def _first_group(jobs: sa.Table) -> sa.Select[str]:
    in_order = (jobs.c.queue, jobs.c.priority, jobs.c.group_key)  # as in the index
    return by_claim_index(sa.select(jobs.c.group_key).where(*_lane(jobs)).order_by(*in_order).limit(1), jobs)


def _after(jobs: sa.Table) -> sa.BindParameter[str]:
    return sa.bindparam("after", type_=jobs.c.group_key.type)
