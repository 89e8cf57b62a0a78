"""Commands about campaigns: listing, looking, pausing, resuming, sending the rest, cancelling."""

from uuid import UUID

import click
import sqlalchemy as sa
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from smsqueue.cli.accounts import find_team
from smsqueue.cli.base import LIMIT, Commands, read, settings, write
from smsqueue.cli.output import show_json, show_table
from smsqueue.cli.pausing import whoever
from smsqueue.core.clock import now
from smsqueue.domain import campaigns, pausing, progress, why
from smsqueue.domain.errors import NotFound
from smsqueue.models import Campaign, Status
from smsqueue.observe.redaction import escape

campaign = Commands("campaign", help="Campaigns.")


def show_campaign(shown: Campaign, *, as_json: bool) -> None:
    """Print how a campaign stands."""
    summary = progress.summary(shown)
    reason = read(lambda session: why.of_campaign(session, shown, settings().gateways_in_use, now()))
    if as_json:
        show_json({**summary, "why": why.as_json(reason)})
        return
    counts = ", ".join(f"{count:,} {state}" for state, count in summary["counts"].items() if count)
    credits = ", ".join(f"{count:,} {what}" for what, count in summary["credits"].items())
    click.echo(f"{escape(shown.name)}: {shown.status}{f' ({escape(shown.error)})' if shown.error else ''}")
    click.echo(f"Recipients: {shown.total:,} ({counts or 'none yet'}). Credits: {credits}.")
    if reason:
        click.echo(escape(reason.sentence))


@campaign.command("list")
@click.option("--team", "team_name", help="Only this team's.")
@click.option("--limit", type=LIMIT, default=50, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def list_campaigns(team_name: str | None, limit: int, as_json: bool) -> None:
    """List campaigns of all teams, newest first, without drafts.

    \b
    Example:  flask sms campaign list --team "Front office" --limit 10

    Exit codes: 0 listed (an empty list, too), 1 no such team, 2 wrong options.
    """

    def look(session: Session) -> list[Campaign]:
        statement = sa.select(Campaign).where(Campaign.status != Status.DRAFT).order_by(Campaign.id.desc()).limit(limit)
        if team_name:
            statement = statement.where(Campaign.team_id == find_team(session, team_name).id)
        return list(session.scalars(statement))

    found = read(look)
    if as_json:
        show_json([{"name": each.name, **progress.summary(each)} for each in found])
        return
    rows = [(each.uuid, each.name, each.status, each.total, each.done, each.created_at) for each in found]
    show_table(("Id", "Name", "Status", "Recipients", "Done", "Created (UTC)"), rows, empty="There is no campaign.")


@campaign.command("show")
@click.argument("uuid", metavar="ID", type=click.UUID)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def show(uuid: UUID, as_json: bool) -> None:
    """Show how a campaign stands.

    \b
    Example:  flask sms campaign show 0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11 --json

    Exit codes: 0 shown, 1 no such campaign, 2 wrong options.
    """
    show_campaign(_find(uuid), as_json=as_json)


@campaign.command("pause")
@click.argument("uuid", metavar="ID", type=click.UUID)
@with_appcontext
def pause(uuid: UUID) -> None:
    """Let nothing more of a campaign be sent until it is resumed. Calls that are open are still recorded.

    \b
    Example:  flask sms campaign pause 0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11

    Exit codes: 0 paused, 1 no such campaign, or there is nothing to pause, 2 wrong options.
    """
    found = _find(uuid)
    show_campaign(write(lambda session: pausing.pause(session, found.team_id, uuid, by=whoever())), as_json=False)


@campaign.command("resume")
@click.argument("uuid", metavar="ID", type=click.UUID)
@with_appcontext
def resume(uuid: UUID) -> None:
    """Let a paused campaign go on where it stopped, valid for as long as it had left.

    \b
    Example:  flask sms campaign resume 0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11

    Exit codes: 0 resumed, 1 no such campaign, or it is not paused, 2 wrong options.
    """
    found = _find(uuid)
    show_campaign(write(lambda session: pausing.resume(session, found.team_id, uuid, by=whoever())), as_json=False)


@campaign.command("release")
@click.argument("uuid", metavar="ID", type=click.UUID)
@with_appcontext
def release(uuid: UUID) -> None:
    """Send the rest of a campaign, which waits for the answers to its first ten, without waiting any longer.

    \b
    Example:  flask sms campaign release 0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11

    Exit codes: 0 released, 1 no such campaign, or nothing of it waits for that, 2 wrong options.
    """
    found = _find(uuid)
    show_campaign(write(lambda session: campaigns.send_rest(session, found.team_id, uuid)), as_json=False)


@campaign.command("cancel")
@click.argument("uuid", metavar="ID", type=click.UUID)
@with_appcontext
def cancel(uuid: UUID) -> None:
    """Stop a campaign. What is not sent yet is not sent, and its credits come back.

    \b
    Example:  flask sms campaign cancel 0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11

    Exit codes: 0 stopped, 1 no such campaign, or it does not run, 2 wrong options.
    """
    found = _find(uuid)
    show_campaign(write(lambda session: campaigns.cancel(session, found.team_id, uuid)), as_json=False)


def _find(uuid: UUID) -> Campaign:
    found = read(lambda session: session.scalar(sa.select(Campaign).where(Campaign.uuid == uuid)))
    if found is None:
        raise NotFound("campaign")
    return found
