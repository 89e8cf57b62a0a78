"""The command that checks the books."""

from dataclasses import asdict

import click
from flask.cli import with_appcontext

from smsqueue.cli.base import database
from smsqueue.cli.output import show_json
from smsqueue.domain import audit
from smsqueue.observe.redaction import escape


@click.command("audit")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def audit_command(as_json: bool) -> None:
    """Check every credit, recipient and count against each other, on one moment of the database.

    Nothing is changed and nobody is disturbed: run it at any time.

    \b
    Example, each night:  flask sms audit --json > audit.json

    Exit codes: 0 all is right, 1 something differs (each row is named), 2 wrong options.
    """
    with database().snapshot() as session:
        report = audit.audit(session)
    if as_json:
        show_json({"ok": not report.problems, **asdict(report)})
    else:
        for problem in report.problems:
            click.echo(escape(problem), err=True)
        checked = ", ".join(f"{count:,} {what}" for what, count in report.checked.items())
        click.echo(f"{'All is right' if not report.problems else 'Something differs'}: checked {checked}.")
    if report.problems:
        raise click.exceptions.Exit(1)
