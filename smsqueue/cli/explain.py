"""The command that says why something does not move."""

from dataclasses import asdict
from uuid import UUID

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from smsqueue.cli.base import read, settings
from smsqueue.cli.output import show_json
from smsqueue.cli.services import build_registry
from smsqueue.domain import explaining
from smsqueue.observe.redaction import escape, scrub
from smsqueue.queue import explain
from smsqueue.queue.explain import Answer


@click.command("explain")
@click.argument("wanted", metavar="JOB|CAMPAIGN")
@click.option("--row", type=click.IntRange(min=1), help="Of this recipient of the campaign alone, by its row.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def explain_command(wanted: str, row: int | None, as_json: bool) -> None:
    """Say why a job, a campaign or a recipient does not move, since when, who can end it, and which command helps.

    JOB is a number or a uuid, also that of a failed job; CAMPAIGN the uuid in its page's address. Times are UTC.

    \b
    Examples:
      flask sms explain 4711
      flask sms explain 0b0f6b1e-3c39-4c8f-9a51-2f4f0e6c8f11 --json
      flask sms explain 0b0f6b1e-3c39-4c8f-9a51-2f4f0e6c8f11 --row 17

    Exit codes: 0 explained, 1 there is nothing with this id, 2 wrong options.
    """
    answer = read(lambda session: _answer(session, wanted.strip(), row))
    if answer is None and row is not None:
        raise click.ClickException(f"No campaign has the id {wanted} and a recipient in row {row}.")
    if answer is None:
        raise click.ClickException(f"No job and no campaign has the id {wanted}: finished, deleted, or never there.")
    if as_json:
        show_json(asdict(answer))
        return
    click.echo(escape(answer.subject))
    for reason in answer.reasons:
        click.echo(f"- {escape(scrub(reason.sentence))}")
        if reason.command:
            click.echo(f"  Try: {escape(reason.command)}")


def _answer(session: Session, wanted: str, row: int | None) -> Answer | None:
    registry = build_registry()
    kinds, limit_of = registry.entries.keys(), registry.group_limit
    found = None if row else explain.explain(session, wanted, kinds, limit_of)
    if found is not None:
        return found
    try:
        uuid = UUID(wanted)
    except ValueError:
        return None
    if row:
        return explaining.explain_row(session, uuid, row, settings().gateways_in_use)
    return explaining.explain(session, uuid, kinds, limit_of, settings().gateways_in_use)
