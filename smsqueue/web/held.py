"""Recipients that the brake of their number holds: how many there are, and the button that lets them go."""

from uuid import UUID

from flask import Blueprint, flash, redirect, url_for
from flask.blueprints import BlueprintSetupState
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from smsqueue.domain import brake, campaigns
from smsqueue.extensions import db, write
from smsqueue.models import Campaign
from smsqueue.web import access
from smsqueue.web.presenting import plural

bp = Blueprint("held", __name__, url_prefix="/sms/campaigns")


@bp.record
def install(state: BlueprintSetupState) -> None:
    """Let the template of a campaign's page ask how many are held."""
    state.app.jinja_env.globals["held_of"] = held_of


def held_of(campaign: Campaign) -> int:
    """Count the recipients of a campaign that wait for a person."""
    return brake.held(db.session(), campaign)


@bp.post("/<uuid:uuid>/let-go")
@access.member
def let_go(uuid: UUID) -> ResponseReturnValue:
    """Send what is held after all."""
    team_id, email = access.current_team_id(), access.user().email

    def free(session: Session) -> int:
        return brake.let_go(session, campaigns.find(session, team_id, uuid), by=email)

    count = write(free)
    if count:
        flash(f"{plural(count, 'recipient')} will get the same words once more.", "success")
    else:
        flash("Nobody is held any more.", "info")
    return redirect(url_for("campaigns.show", uuid=uuid), 303)
