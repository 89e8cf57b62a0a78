"""The pages, with one more that does nothing: `gunicorn tests.bench.send.empty_view:app`."""

from flask import Blueprint

from smsqueue.app import create_app
from smsqueue.web import access

bp = Blueprint("empty", __name__)


@bp.get("/empty")
@access.public
@access.poll
def empty() -> str:
    """Answer with nothing."""
    return ""


app = create_app()
app.register_blueprint(bp)
