"""Commands for the end of a campaign: its closing sheet, retrying what failed, cloning it."""

from uuid import UUID

import click
import sqlalchemy as sa
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from smsqueue.cli.base import database, settings, write
from smsqueue.cli.output import count, show_json, show_table
from smsqueue.domain import accounts, again, cloning, closing, closing_list
from smsqueue.domain.again import NothingToRetry, Offer
from smsqueue.domain.campaigns import Terms
from smsqueue.domain.closing import Sheet
from smsqueue.domain.errors import NotFound
from smsqueue.domain.rules import rules_for
from smsqueue.models import Campaign, Status, User
from smsqueue.observe.redaction import escape

COLUMNS = {
    "Gateway": "name",
    "Attempts": "attempts",
    "Accepted": "accepted",
    "Referenced": "referenced",
    "Reported": "reported",
    "Neither": "unproved",
    "Segments": "segments",
    "Its parts": "parts",
    "Variance": "variance",
}


@click.command("sheet")
@click.argument("uuid", metavar="ID", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print every recipient as CSV.")
@with_appcontext
def sheet(uuid: UUID, as_json: bool, as_csv: bool) -> None:
    """Add a campaign up: recipients, states, credits and the gateways' references, on one moment of the database.

    For one that still runs it says how it adds up so far.

    \b
    Examples:
      flask sms campaign sheet 0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11
      flask sms campaign sheet 0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11 --csv > sheet.csv

    Exit codes: 0 it adds up, 1 it does not (each thing is named), or no such campaign, 2 wrong options.
    """
    if as_json and as_csv:
        raise click.UsageError("Choose one of --json and --csv.")
    with database().snapshot() as session:
        campaign = _find(session, uuid)
        found = closing.sheet(session, campaign)
        if as_csv:
            for line in closing_list.as_csv(session, campaign, found):
                click.echo(line, nl=False)
    if as_json:
        show_json(found.as_dict())
    elif not as_csv:
        _show(campaign, found)
    if not found.adds_up:
        for problem in found.told_problems:
            click.echo(escape(problem), err=True)
        raise click.exceptions.Exit(1)


@click.command("retry")
@click.argument("uuid", metavar="ID", type=click.UUID)
@click.option("--dry-run", is_flag=True, help="Only say to how many it would send, and for how much.")
@with_appcontext
def retry(uuid: UUID, dry_run: bool) -> None:
    """Send again to those of a campaign who were surely not accepted, for a cause that may pass.

    Never to whom a gateway took or may have taken, whom it refused for good, or who has opted out. It charges what was
    credited for them.

    \b
    Example:  flask sms campaign retry 0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11 --dry-run

    Exit codes: 0 queued (or said), 1 no such campaign, nobody to send to, or credits missing, 2 wrong options.
    """
    chosen = settings()
    terms = Terms(chosen.validity_seconds, chosen.slice_rows, chosen.credits_per_segment)

    def send(session: Session) -> Offer:
        campaign = _find(session, uuid)
        if not dry_run:
            return again.retry(session, campaign.team_id, uuid, terms, user_id=None)
        offer = again.offer(session, campaign)
        if offer is None:
            raise NothingToRetry("Nobody of this campaign was surely not accepted for a cause that may pass.")
        return offer

    offer = write(send)
    said = "would be sent to again" if dry_run else "sent to again"
    click.echo(f"{count(offer.count, 'recipient')} {said}, for {count(offer.price, 'credit')}.")


@click.command("clone")
@click.argument("uuid", metavar="ID", type=click.UUID)
@click.option("--user", "email", help="Whose draft it becomes.  [default: that of who wrote the campaign]")
@with_appcontext
def clone(uuid: UUID, email: str | None) -> None:
    """Write a campaign down once more as a draft, for its owner to look at and confirm. Nothing is sent or charged.

    Who has opted out since, or may not be texted any more, is left out.

    \b
    Example:  flask sms campaign clone 0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11

    Exit codes: 0 written, 1 no such campaign or person, or nobody to send to, 2 wrong options.
    """
    chosen = settings()

    def copy(session: Session) -> Campaign:
        source = _find(session, uuid)
        owner = accounts.find_user(session, email) if email else session.get_one(User, source.user_id)
        limits = rules_for(owner.team, max_segments=chosen.max_segments, credits_per_segment=chosen.credits_per_segment)
        return cloning.clone(session, owner.team_id, uuid, owner, limits)

    draft = write(copy)
    click.echo(f"{draft.uuid}: a draft of {count(draft.total, 'recipient')} for {count(draft.price, 'credit')}.")
    click.echo(f"To be confirmed at /sms/campaigns/{draft.uuid}/review within a day.")


def _show(campaign: Campaign, found: Sheet) -> None:
    so_far = "" if found.is_over else ", so far"
    click.echo(f"{escape(campaign.name)}: {campaign.status}{so_far}. Checked {found.checked_at:%Y-%m-%d %H:%M:%S} UTC.")
    click.echo(f"{found.rows_sum}.")
    click.echo(f"{found.credits_sum}.")
    if found.gateways:
        click.echo()
    rows = [[getattr(line, name) for name in COLUMNS.values()] for line in found.gateways]
    show_table(list(COLUMNS), rows, empty="No gateway was asked yet.")
    click.echo("Everything adds up." if found.adds_up else "It does not add up.")


def _find(session: Session, uuid: UUID) -> Campaign:
    mine = sa.select(Campaign).where(Campaign.uuid == uuid, Campaign.status != Status.DRAFT)
    found = session.scalars(mine).first()
    if found is None:
        raise NotFound("campaign")
    return found
