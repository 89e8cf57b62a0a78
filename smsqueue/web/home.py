"""The address without a path."""

from flask import Blueprint, redirect, url_for
from flask.typing import ResponseReturnValue

from smsqueue.web import access

bp = Blueprint("home", __name__)


@bp.get("/")
@access.member
def index() -> ResponseReturnValue:
    """Go where most people want to go."""
    return redirect(url_for("campaigns.index"))
