"""The rules by which the team sends, for everybody in it to see."""

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from smsqueue.core.clock import now
from smsqueue.domain import limits, teams
from smsqueue.extensions import db
from smsqueue.web import access

bp = Blueprint("team", __name__, url_prefix="/team")


@bp.get("")
@access.member
def show() -> ResponseReturnValue:
    """Show the rules, and how much of the day's cap is used."""
    team = access.team()
    used = limits.used_between(db.session(), team, *limits.day_of(team, now())) if team.daily_cap else 0
    return render_template("team/show.html", team=team, rules=teams.told(team), used=used)
