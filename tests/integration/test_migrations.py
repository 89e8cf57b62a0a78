"""Migrations: up gives the tables that the models describe, down gives nothing, on each database."""

import re

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask
from flask_migrate import downgrade, upgrade

from smsqueue.app import create_app
from smsqueue.db import Base, build_engine
from smsqueue.extensions import db
from smsqueue.paths import resource_dir


@pytest.fixture
def app(empty_database_url, make_settings):
    """The application on a database without tables."""
    app = create_app(make_settings(DATABASE_URL=empty_database_url))
    with app.app_context():
        yield app
        db.engine.dispose()


def scripts() -> ScriptDirectory:
    """Our migrations."""
    return ScriptDirectory(str(resource_dir("migrations")))


def tables(engine: sa.Engine) -> set[str]:
    """The tables there are, without Alembic's own."""
    return set(sa.inspect(engine).get_table_names()) - {"alembic_version"}


def test_up_gives_what_the_models_describe(app: Flask):
    upgrade()
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        assert context.get_current_revision() == scripts().get_current_head()


def test_down_leaves_nothing_and_up_works_again(app: Flask):
    upgrade()
    downgrade(revision="base")
    assert tables(db.engine) == set()
    upgrade()
    assert tables(db.engine) == set(Base.metadata.tables)


def test_rules_of_the_tables_are_the_models_too(app: Flask, databases, database_kind):
    """Checks, defaults and what happens to rows that refer to a deleted one, which Alembic does not compare."""
    upgrade()
    other = build_engine(databases.ready(database_kind))
    assert rules(db.engine) == rules(other)
    other.dispose()


def rules(engine: sa.Engine) -> dict[str, object]:
    """What the database itself says about each table."""
    seen = sa.inspect(engine)
    return {
        table: {
            "checks": sorted(
                (c["name"], re.sub(r"[\s`()]", "", c["sqltext"])) for c in seen.get_check_constraints(table)
            ),
            "keys": seen.get_pk_constraint(table),
            "refers": sorted(map(str, seen.get_foreign_keys(table))),
            "columns": {
                c["name"]: (str(c["type"]), c["nullable"], c["default"] is None) for c in seen.get_columns(table)
            },
            "indexes": sorted(index_in_words(index) for index in seen.get_indexes(table)),
        }
        for table in sorted(tables(engine))
    }


def index_in_words(index) -> str:
    """An index with its condition as text."""
    options = {name: str(value) for name, value in index.get("dialect_options", {}).items()}
    return f"{index['name']} {index['column_names']} {index['unique']} {options}"


@pytest.mark.databases("sqlite")
def test_sqlite_looks_after_references_again_when_it_is_over(app: Flask):
    upgrade()
    with db.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1


def test_migrations_are_numbered_and_in_one_line():
    numbers = [script.revision for script in reversed(list(scripts().walk_revisions()))]
    assert numbers == [f"{number:04}" for number in range(1, len(numbers) + 1)]
    assert all(
        script.path.rpartition("/")[2].startswith(f"{script.revision}_") for script in scripts().walk_revisions()
    )
