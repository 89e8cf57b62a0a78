"""What people texted back to the team."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from smsqueue.domain import inbound, optouts
from smsqueue.extensions import db, write
from smsqueue.web import access, presenting, typed

bp = Blueprint("inbox", __name__, url_prefix="/inbox")
bp.record(presenting.install)
PAGE = 50


@bp.get("")
@access.member
def index() -> ResponseReturnValue:
    """Show a page of what came in, newest first."""
    session, team_id = db.session(), access.current_team_id()
    before, search = request.args.get("before", type=typed.whole), request.args.get("search", "").strip()
    found = inbound.listing(session, team_id, before=before, search=search, limit=PAGE + 1)
    texts = found[:PAGE]
    return render_template(
        "inbox/index.html",
        texts=texts,
        out=optouts.out_of(session, team_id, sorted({each.sender for each in texts})),
        unread=inbound.unread(session, team_id),
        newest=max((each.id for each in texts), default=0),
        before=before,
        search=search,
        older=texts[-1].id if len(found) > PAGE else None,
    )


@bp.post("/read")
@access.member
def mark_read() -> ResponseReturnValue:
    """Mark as read what was on the page, and all before; what came in since stays new."""
    team_id, up_to = access.current_team_id(), request.form.get("up_to", 0, type=typed.whole)
    write(lambda session: inbound.mark_read(session, team_id, up_to))
    return redirect(url_for("inbox.index"), 303)


@bp.post("/stop")
@access.member
def stop() -> ResponseReturnValue:
    """Send no more texts to whoever wrote a text."""
    team_id, user_id = access.current_team_id(), access.user().id
    text_id = request.form.get("text", 0, type=typed.whole)
    number = write(lambda session: inbound.opt_out_by_hand(session, team_id, text_id, user_id))
    flash(f"{number} gets no more texts of your team.", "success")
    return redirect(url_for("inbox.index"), 303)
