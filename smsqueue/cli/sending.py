"""Commands that send: one text, or a text to a list."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from smsqueue.cli.base import database, read, settings, write
from smsqueue.cli.campaigns import show_campaign
from smsqueue.cli.output import count
from smsqueue.cli.waiting import wait_for
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain import accounts, campaigns, drafts, reviewing, sheets
from smsqueue.domain.campaigns import Terms
from smsqueue.domain.checking import Rules
from smsqueue.domain.rules import rules_for
from smsqueue.models import Campaign, SkippedRow, Status, User
from smsqueue.observe.redaction import escape

SHOWN_BAD_ROWS = 5


class BadRows(SmsQueueError):
    """Some rows of the list cannot be sent to, and nobody said to leave them out."""


@click.command("send")
@click.option("--user", "email", required=True, help="E-mail of the person who sends.")
@click.option("--to", "number", required=True, help="The number, in any usual spelling.")
@click.option("--text", required=True, help="What to send.")
@click.option("--wait", is_flag=True, help="Wait until it is sent or not.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def send(email: str, number: str, text: str, wait: bool, as_json: bool) -> None:
    """Send one SMS, as the page /sms/send does.

    \b
    Example:  flask sms send --user ann@example.org --to "+44 7400 123456" --text "Your table is ready" --wait

    Exit codes: 0 queued (with --wait: sent), 1 refused (with --wait: or failed), 2 wrong options.
    """

    def draft(session: Session) -> Campaign:
        owner = accounts.find_user(session, email)
        return drafts.draft_single(session, user=owner, number=number, text=text, rules=_rules(owner))

    _finish(_launch(write(draft)), wait=wait, as_json=as_json)


@click.command("create")
@click.option("--user", "email", required=True, help="E-mail of the person who sends.")
@click.option("--csv", "file", type=click.File("rb"), required=True, help="The list; - reads standard input.")
@click.option("--text", required=True, help="What to send; ((column)) is replaced by each row's cell.")
@click.option("--name", help="Name of the campaign.  [default: name of the file]")
@click.option("--column", help="Header of the column with the numbers.  [default: found by its contents]")
@click.option("--skip-bad", is_flag=True, help="Send to the good rows when there are bad ones.")
@click.option("--wait", is_flag=True, help="Wait until the campaign has ended.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def create(
    *,
    email: str,
    file: BinaryIO,
    text: str,
    name: str | None,
    column: str | None,
    skip_bad: bool,
    wait: bool,
    as_json: bool,
) -> None:
    """Send a text to a list, as the page /sms/campaigns/new does.

    Numbers that stand in the list twice, in whatever spelling, get one SMS. With bad rows nothing is sent, and the
    first of them are shown, unless --skip-bad is given.

    \b
    Example:  flask sms campaign create --user ann@example.org --csv guests.csv --text "Hello ((name))" --wait

    Exit codes: 0 queued (with --wait: completed), 1 refused (with --wait: or failed), 2 wrong options.
    """
    content = file.read()
    title = name or (Path(file.name).stem if file.name != "<stdin>" else "Campaign")
    draft = _draft(email, title, text, content, column)
    try:
        checked = _check(draft, skip_bad=skip_bad, quiet=as_json)
        launched = _launch(checked)
    except SmsQueueError:
        write(lambda session: campaigns.discard(session, draft.team_id, draft.uuid))
        raise
    _finish(launched, wait=wait, as_json=as_json)


def _draft(email: str, name: str, text: str, content: bytes, column: str | None) -> Campaign:
    sheet = sheets.read(content)
    index = None if column is None else sheets.find_column(sheet, column)

    def make(session: Session) -> Campaign:
        owner = accounts.find_user(session, email)
        upload = drafts.save_upload(session, owner.team_id, f"{name}.csv", content)
        more: dict[str, Any] = {"name": name, "text": text, "upload": upload, "sheet": sheet, "column": index}
        return drafts.draft_bulk(session, user=owner, rules=_rules(owner), replace=None, **more)

    return write(make)


def _check(draft: Campaign, *, skip_bad: bool, quiet: bool) -> Campaign:
    """Check all rows here, whatever their number: nobody waits for a page."""
    rules = _rules(read(lambda session: session.get_one(User, draft.user_id)))
    reviewing.check_rows(database(), draft.id, rules)
    with database().reading() as session:
        checked = session.get_one(Campaign, draft.id)
        if checked.bad and not skip_bad:
            raise BadRows(_told(checked, drafts.skipped(session, checked, None, SHOWN_BAD_ROWS)))
    if not quiet:
        _tell_skipped(checked)
    return checked


def _told(checked: Campaign, rows: Sequence[SkippedRow]) -> str:
    lines = [f"  row {row.source_row}: {escape(row.cell)!r}: {escape(row.problem)}" for row in rows]
    if checked.bad > len(rows):
        lines.append(f"  and {checked.bad - len(rows):,} more")
    head = f"Nothing was sent: {count(checked.bad, 'bad row')} of {checked.rows:,}."
    return "\n".join([f"{head} Mend them, or leave them out by --skip-bad.", *lines])


def _tell_skipped(checked: Campaign) -> None:
    if checked.bad:
        click.echo(f"Left out: {count(checked.bad, 'bad row')}.")
    if checked.opted_out:
        click.echo(f"Left out: {count(checked.opted_out, 'row')} with a number that wants no texts of the team.")
    if checked.duplicates:
        click.echo(f"Merged: {count(checked.duplicates, 'row')} with a number of an earlier row; it gets one SMS.")


def _rules(owner: User) -> Rules:
    chosen = settings()
    return rules_for(owner.team, max_segments=chosen.max_segments, credits_per_segment=chosen.credits_per_segment)


def _terms() -> Terms:
    chosen = settings()
    return Terms(chosen.validity_seconds, chosen.slice_rows, chosen.credits_per_segment)


def _launch(draft: Campaign) -> Campaign:
    token, terms = draft.token or "", _terms()
    return write(lambda session: campaigns.launch(session, draft.team_id, draft.uuid, token, terms))


def _finish(launched: Campaign, *, wait: bool, as_json: bool) -> None:
    if not as_json:
        price = count(launched.price, "credit")
        click.echo(f"{launched.uuid}: {count(launched.total, 'recipient')} for {price}.")
    ended = wait_for(database(), launched.id) if wait else read(lambda session: session.get_one(Campaign, launched.id))
    show_campaign(ended, as_json=as_json)
    if wait and ended.status != Status.COMPLETED:
        raise click.exceptions.Exit(1)
