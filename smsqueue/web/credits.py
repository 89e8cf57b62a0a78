"""What a team can spend, and where its credits came from and went."""

from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from smsqueue.domain import credits
from smsqueue.extensions import db
from smsqueue.web import access, typed

bp = Blueprint("credits", __name__, url_prefix="/credits")
PAGE = 50


@bp.get("")
@access.member
def index() -> ResponseReturnValue:
    """Show balance, held credits and a page of the ledger."""
    session, team_id = db.session(), access.current_team_id()
    before = request.args.get("before", type=typed.whole)
    lines = credits.history(session, team_id, before, PAGE + 1)
    return render_template(
        "credits/index.html",
        balance=credits.balance(session, team_id),
        held=credits.held(session, team_id),
        lines=lines[:PAGE],
        before=before,
        older=lines[PAGE - 1].id if len(lines) > PAGE else None,
    )
