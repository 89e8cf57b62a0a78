"""What Alembic runs for `flask db upgrade` and its like: on the app's database, or printed with `--sql`."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import context
from flask import current_app


@contextmanager
def foreign_keys_off(engine: sa.Engine) -> Iterator[sa.Connection]:
    """Connect without SQLite's foreign keys.

    Altering a table there means copying and dropping it, which would take the rows that refer to it along.
    The switch works only outside a transaction, so it is thrown below SQLAlchemy.
    """
    with engine.connect() as connection:
        raw = connection.connection.driver_connection
        if engine.dialect.name == "sqlite" and raw is not None:
            raw.execute("PRAGMA foreign_keys=OFF")
        try:
            yield connection
        finally:
            connection.rollback()
            if engine.dialect.name == "sqlite" and raw is not None:
                raw.execute("PRAGMA foreign_keys=ON")


def run() -> None:
    """Migrate in one transaction where the database can undo table changes (PostgreSQL, SQLite)."""
    migrate = current_app.extensions["migrate"]
    options = {**migrate.configure_args, "target_metadata": migrate.db.metadata}
    engine = migrate.db.engine
    if context.is_offline_mode():
        context.configure(dialect_name=engine.dialect.name, literal_binds=True, **options)
        with context.begin_transaction():
            context.run_migrations()
        return
    options["transactional_ddl"] = engine.dialect.name in ("postgresql", "sqlite")
    with foreign_keys_off(engine.execution_options(immediate=True)) as connection:
        context.configure(connection=connection, **options)
        with context.begin_transaction():
            context.run_migrations()


run()
