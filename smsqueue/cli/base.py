"""What all commands share: where the database is, and how an error becomes a sentence and an exit code."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from flask import current_app
from flask.cli import AppGroup, with_appcontext
from sqlalchemy.exc import DBAPIError, OperationalError, ProgrammingError
from sqlalchemy.orm import Session

from smsqueue.config import Settings
from smsqueue.core.errors import SmsQueueError
from smsqueue.db import Database
from smsqueue.extensions import db
from smsqueue.observe import logs
from smsqueue.observe.redaction import scrub

T = TypeVar("T")
LIMIT = click.IntRange(1, 1_000_000)
"""How many lines a command may be asked for."""
ID = click.IntRange(1, 2**63 - 1)
"""Ids that a column holds."""


class Commands(AppGroup):
    """A group whose commands say what is wrong in a sentence (exit code 1) instead of a traceback."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that was asked for."""
        try:
            return super().invoke(ctx)
        except SmsQueueError as error:
            raise click.ClickException(str(error)) from error
        except DBAPIError as error:
            if not isinstance(error, ProgrammingError | OperationalError):  # away, or no such table or column
                raise
            reason = scrub(str(error.orig)).strip().splitlines()[0].rstrip(".")
            advice = "Is DATABASE_URL right, and was `flask db upgrade` run?"
            raise click.ClickException(f"The database does not do what is asked: {reason}. {advice}") from error


def make_group(*commands: click.Command) -> Commands:
    """Build `flask sms` with these commands."""
    group = Commands("sms", callback=_begin, help=_begin.__doc__)
    for command in commands:
        group.add_command(command)
    return group


@click.pass_context
@with_appcontext
def _begin(context: click.Context) -> None:
    """Send SMS campaigns in the background.

    `flask sms COMMAND --help` shows each command with an example and its exit codes.
    """
    chosen = settings()
    logs.start(chosen.log_format, chosen.log_file, quiet=context.invoked_subcommand != "work")
    context.call_on_close(logs.stop)


def settings() -> Settings:
    """Return this installation's settings."""
    found: Settings = current_app.config["SETTINGS"]
    return found


def database() -> Database:
    """Return this installation's database."""
    return Database(db.engine)


def read(use_case: Callable[[Session], T]) -> T:
    """Run `use_case(session)` for reading."""
    with database().reading() as session:
        return use_case(session)


def write(use_case: Callable[[Session], T]) -> T:
    """Run `use_case(session)` in one transaction."""
    return database().write(use_case)
