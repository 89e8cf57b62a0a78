"""The bell: what has happened while nobody was looking."""

from uuid import UUID

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from smsqueue.domain import notices
from smsqueue.extensions import db, write
from smsqueue.web import access

bp = Blueprint("notices", __name__, url_prefix="/notifications")
PAGE = 50


@bp.get("")
@access.member
def index() -> ResponseReturnValue:
    """List a person's notices, unread ones first."""
    found = notices.listing(db.session(), access.user().id, limit=PAGE)
    new = [notice for notice in found if notice.read_at is None]
    return render_template("notices/index.html", new=new, old=[each for each in found if each.read_at is not None])


@bp.post("/<uuid:notice_id>/read")
@access.member
def read(notice_id: UUID) -> ResponseReturnValue:
    """Mark one notice as read, and go to its campaign when that was asked for."""
    user_id = access.user().id
    write(lambda session: notices.mark_read(session, user_id, notice_id))
    campaign = request.form.get("campaign", type=UUID)
    if campaign:
        return redirect(url_for("campaigns.show", uuid=campaign), 303)
    return redirect(url_for("notices.index"), 303)


@bp.post("/read")
@access.member
def read_all() -> ResponseReturnValue:
    """Mark all notices as read."""
    user_id = access.user().id
    write(lambda session: notices.mark_all_read(session, user_id))
    return redirect(url_for("notices.index"), 303)
