"""The test suite's own databases: each test finds tables and no rows."""

import sqlalchemy as sa

from smsqueue.db import Base, Database
from tests.databases import Target


def test_a_database_has_every_table_and_no_rows(store: Database, database: Target) -> None:
    with store.reading() as session:
        for table in Base.metadata.sorted_tables:
            assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 0, f"{database.kind}: {table}"
