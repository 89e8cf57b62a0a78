"""Commands about messages of which nobody can tell whether they were sent."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import click
import sqlalchemy as sa
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from smsqueue.cli.accounts import find_team
from smsqueue.cli.base import ID, LIMIT, Commands, database, read, settings
from smsqueue.cli.output import count, show_json, show_table
from smsqueue.cli.pausing import whoever
from smsqueue.core.errors import SmsQueueError
from smsqueue.core.phones import mask
from smsqueue.domain import unknowns
from smsqueue.domain.errors import NotFound
from smsqueue.domain.resolving import Terms
from smsqueue.domain.unknowns import Choice, Decision
from smsqueue.models import Campaign

unknown = Commands("unknown", help="Messages of which nobody can tell whether they were sent.")
RISKS = {
    Decision.SENT: "Count {} as sent? Their credits are spent.",
    Decision.AGAIN: "Send {} again? Whoever has the message already gets it a second time.",
    Decision.NOT_SENT: "Count {} as not sent, and credit them back? They may have arrived all the same.",
}
DONE = {
    Decision.ASK: "The gateway is asked about {}.",
    Decision.SENT: "{} counted as sent.",
    Decision.AGAIN: "{} will be sent again.",
    Decision.NOT_SENT: "{} counted as not sent and credited back.",
}


class NothingUnknown(SmsQueueError):
    """None of the messages that were named is unknown."""


@unknown.command("list")
@click.option("--team", "team_name", help="Only this team's.")
@click.option("--campaign", "uuid", metavar="ID", type=click.UUID, help="Only this campaign's.")
@click.option("--limit", type=LIMIT, default=100, show_default=True, help="How many, the oldest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def list_unknown(*, team_name: str | None, uuid: UUID | None, limit: int, as_json: bool) -> None:
    """List messages of which nobody can tell whether they were sent.

    \b
    Examples:
      flask sms unknown list
      flask sms unknown list --campaign 0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11 --json

    Exit codes: 0 listed (an empty list, too), 1 no such team or campaign, 2 wrong options.
    """

    def look(session: Session) -> list[dict[str, Any]]:
        names = {each.id: each for each in _campaigns(session, team_name, uuid)}
        found = unknowns.listing(session, [Choice(id_) for id_ in names], limit=limit)
        return [_facts(row, names[row.campaign_id]) for row in found]

    rows = read(look)
    if as_json:
        show_json(rows)
        return
    heads = (
        "Id",
        "Campaign",
        "Row",
        "Number",
        "Gateway",
        "Called at (UTC)",
        "Asked",
        "Asked at (UTC)",
        "What happened",
    )
    show_table(heads, [list(row.values()) for row in rows], empty="Nothing is unknown.")


@unknown.command("resolve")
@click.argument("what", type=click.Choice([each.value for each in Decision]))
@click.argument("ids", nargs=-1, type=ID, metavar="[ID...]")
@click.option("--all", "uuid", metavar="CAMPAIGN", type=click.UUID, help="All of this campaign.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--author", default=whoever, help="Who decides.  [default: you]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def resolve(*, what: str, ids: tuple[int, ...], uuid: UUID | None, yes: bool, author: str, as_json: bool) -> None:
    """Decide about unknown messages: those with these ids (see `unknown list`), or all of a campaign.

    ask: the gateway is asked once more. sent: they count as sent and are paid for. again: they are sent once more, and
    may arrive twice. not-sent: they are credited back. Nothing is decided while a call may still be on its way.

    \b
    Examples:
      flask sms unknown resolve ask --all 0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11
      flask sms unknown resolve sent 4711 4712 --yes

    Exit codes: 0 done, 1 nothing of it is unknown, or it is too early, 2 wrong options.
    """
    if bool(ids) == bool(uuid):
        raise click.UsageError("name ids, or --all with a campaign")
    decision = Decision(what)
    choices = read(lambda session: _chosen(session, ids, uuid))
    total = read(lambda session: sum(unknowns.size(session, choice) for choice in choices))
    if not total:
        raise NothingUnknown("None of these messages is unknown.")
    if decision in RISKS and not yes:
        click.confirm(RISKS[decision].format(count(total, "message")), abort=True)
    terms = Terms.of(settings())
    done = sum(unknowns.decide(database(), choice, decision, terms, by=author) for choice in choices)
    if as_json:
        show_json({"what": what, "unknown": total, "done": done})
        return
    click.echo(DONE[decision].format(count(done, "message")))


def _campaigns(session: Session, team_name: str | None, uuid: UUID | None) -> Sequence[Campaign]:
    found = sa.select(Campaign).where(Campaign.unknown > 0)
    if team_name:
        found = found.where(Campaign.team_id == find_team(session, team_name).id)
    if uuid:
        found = found.where(Campaign.id == _find(session, uuid).id)
    return session.scalars(found).all()


def _chosen(session: Session, ids: Sequence[int], uuid: UUID | None) -> list[Choice]:
    if uuid:
        return [Choice(_find(session, uuid).id)]
    rows: dict[int, list[int]] = defaultdict(list)
    for campaign_id, row in unknowns.places(session, ids):
        rows[campaign_id].append(row)
    return [Choice(campaign_id, tuple(theirs)) for campaign_id, theirs in sorted(rows.items())]


def _find(session: Session, uuid: UUID) -> Campaign:
    campaign = session.scalar(sa.select(Campaign).where(Campaign.uuid == uuid))
    if campaign is None:
        raise NotFound("campaign")
    return campaign


def _facts(row: Any, campaign: Campaign) -> dict[str, Any]:
    asked_at: datetime | None = row.looked_up_at
    return {
        "id": row.id,
        "campaign": str(campaign.uuid),
        "row": row.source_row,
        "number": mask(row.number),
        "gateway": row.gateway,
        "called_at": row.started_at,
        "asked": row.looked_up,
        "asked_at": asked_at,
        "reason": row.error,
    }
