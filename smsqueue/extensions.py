"""Flask's extensions, and the one way in which pages write."""

from collections.abc import Callable
from typing import Any, TypeVar

import sqlalchemy as sa
from flask import Flask, g, has_request_context
from flask_mail import Mail
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Session
from werkzeug.exceptions import BadRequest

from smsqueue.db import Base, Database, build_engine

T = TypeVar("T")


class OpenTooLong(BadRequest):
    """The page that a request came from was open for too long, or is not ours: its CSRF token is wrong."""


class FlaskDatabase(SQLAlchemy):
    """Flask-SQLAlchemy on the engine that the whole program uses; `db.session` only reads."""

    def _make_engine(self, bind_key: str | None, options: dict[str, Any], app: Flask) -> sa.Engine:
        return build_engine(app.config["SETTINGS"].database_url)


db = FlaskDatabase(metadata=Base.metadata, session_options={"autoflush": False}, add_models_to_shell=False)
mail = Mail()


def write(use_case: Callable[[Session], T]) -> T:
    """Run `use_case(session)` in one transaction of its own, as `db.Database.write` does.

    What the page has read before is let go of first: read again, it shows what was written. A request whose CSRF
    token was wrong may show its form again, but it writes nothing: for it this raises OpenTooLong (page 400).
    """
    if has_request_context() and g.get("csrf_failed", False):
        raise OpenTooLong("This page was open for too long.")
    db.session.rollback()
    try:
        return database().write(use_case)
    finally:
        db.session.rollback()  # the use case may have read through it: on SQLite that pins it to the past


def database() -> Database:
    """Return the app's database, for use cases that ask for it whole."""
    return Database(db.engine)


@sa.event.listens_for(db.session, "before_flush")
def _refuse_flush(_session: Session, *_: object) -> None:
    # SQLite fails at once when a transaction that has read wants to write.
    raise RuntimeError("db.session only reads: changes belong in extensions.write()")
