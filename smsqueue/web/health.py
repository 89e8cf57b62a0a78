"""For load balancers: is this process able to show pages?"""

import sqlalchemy as sa
from flask import Blueprint, jsonify
from flask.typing import ResponseReturnValue
from sqlalchemy.exc import DBAPIError

from smsqueue.extensions import db
from smsqueue.web import access

bp = Blueprint("health", __name__)


@bp.get("/healthz")
@access.public
@access.poll
def healthz() -> ResponseReturnValue:
    """Answer 200 when the database answers, else 503."""
    try:
        db.session.execute(sa.text("SELECT 1"))
    except DBAPIError:
        return jsonify(status="unavailable"), 503
    return jsonify(status="ok")
