"""Insert a row, or change the one that is there already: one statement, so that two at once cannot fail."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite

from smsqueue.queue.dialects import MYSQL_NAMES

Changes = Callable[[sa.Table, Any], dict[str, Any]]
"""From the columns that are there and those that are given to what the row becomes."""


def upsert(dialect: sa.Dialect, table: sa.Table, changes: Changes) -> sa.Insert:
    """Build an INSERT that, where a row with this primary key exists, makes `changes(table, given)` to it."""
    if dialect.name in MYSQL_NAMES:
        theirs = mysql.insert(table)
        return theirs.on_duplicate_key_update(changes(table, theirs.inserted))
    ours: Any = postgresql.insert(table) if dialect.name == "postgresql" else sqlite.insert(table)
    keys = list(table.primary_key.columns)
    found: sa.Insert = ours.on_conflict_do_update(index_elements=keys, set_=changes(table, ours.excluded))
    return found
