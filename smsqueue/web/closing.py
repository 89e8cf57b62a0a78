"""The closing sheet of a campaign: its page, and every recipient as CSV."""

from collections.abc import Iterator
from uuid import UUID

from flask import Blueprint, Response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from smsqueue.db import Database
from smsqueue.domain import campaigns, closing, closing_list
from smsqueue.extensions import db
from smsqueue.models import Campaign, Status
from smsqueue.web import access, presenting

bp = Blueprint("closing", __name__, url_prefix="/sms/campaigns")
bp.record(presenting.install)


@bp.get("/<uuid:uuid>/sheet")
@access.member
def show(uuid: UUID) -> ResponseReturnValue:
    """Show how the campaign adds up at this moment, or what does not."""
    team_id = access.current_team_id()
    with Database(db.engine).snapshot() as session:
        campaign = campaigns.find(session, team_id, uuid)
        if campaign.status == Status.DRAFT:
            return redirect(url_for("bulk.review", uuid=uuid))
        sheet = closing.sheet(session, campaign)
        return render_template("campaigns/sheet.html", campaign=campaign, sheet=sheet)


@bp.get("/<uuid:uuid>/sheet.csv")
@access.member
def download(uuid: UUID) -> ResponseReturnValue:
    """Download every recipient with what became of it, and below them what does not add up."""
    campaign = campaigns.find(db.session(), access.current_team_id(), uuid)
    if campaign.status == Status.DRAFT:
        return redirect(url_for("bulk.review", uuid=uuid))
    answer = Response(_lines(Database(db.engine), campaign.id), mimetype="text/csv")
    answer.headers["Content-Disposition"] = f"attachment; filename=campaign-{campaign.uuid}.csv"
    return answer


def _lines(database: Database, campaign_id: int) -> Iterator[str]:
    # A session of its own: the page's is over before the answer begins to flow.
    with database.snapshot() as session:
        campaign = session.get_one(Campaign, campaign_id)
        yield from closing_list.as_csv(session, campaign, closing.sheet(session, campaign))
