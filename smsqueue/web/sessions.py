"""Ending sessions on other devices."""

from uuid import uuid4

import sqlalchemy as sa
from flask import Blueprint, flash, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_security import logout_user
from sqlalchemy.orm import Session

from smsqueue.extensions import write
from smsqueue.models import User
from smsqueue.web import access

bp = Blueprint("sessions", __name__)


@bp.post("/logout/everywhere")
@access.member
def end_all() -> ResponseReturnValue:
    """End all of a person's sessions, this one too."""
    user_id = access.user().id

    def renew(session: Session) -> None:
        session.execute(sa.update(User).where(User.id == user_id).values(fs_uniquifier=uuid4().hex))

    write(renew)
    logout_user()
    flash("You are signed out on every device.", "success")
    return redirect(url_for("security.login"), 303)
