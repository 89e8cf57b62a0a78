"""Where gateways call us: delivery reports, and texts that come in. Nobody signs in here; the gateway proves itself."""

from urllib.parse import quote, unquote

from flask import Blueprint, Flask, current_app, request
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from smsqueue.config import Settings
from smsqueue.domain.hearing import LARGEST_BODY, Callback, Hearing, NoSuchGateway
from smsqueue.web import access

bp = Blueprint("callbacks", __name__, url_prefix="/callbacks")
NAME = "hearing"


@bp.route("/<gateway>/<reference>", methods=["GET", "POST"])
@bp.route("/<gateway>/<reference>/<token>", methods=["GET", "POST"])
@access.public
@access.poll
def hear(gateway: str, reference: str, token: str = "") -> ResponseReturnValue:
    """Take what a gateway tells; it is answered when that is on disk."""
    request.max_content_length = LARGEST_BODY
    callback = Callback(
        method=request.method,
        url=_public_url(),
        headers={name.lower(): value for name, value in request.headers},
        body=request.get_data(cache=False, parse_form_data=False),
        reference=reference,
        token=token,
        remote=request.remote_addr or "",
    )
    hearing: Hearing = current_app.extensions[NAME]
    try:
        status, body = hearing.hear(gateway, callback)
    except NoSuchGateway as error:
        raise NotFound from error
    return body, status, {"Content-Type": "text/plain; charset=utf-8"}


def _public_url() -> str:
    """Return the address as it was called: the configured base, and path and query letter by letter.

    What is checked and what is acted on are the same path: one that was written in another way has no address.
    """
    settings: Settings = current_app.config["SETTINGS"]
    query = request.environ.get("QUERY_STRING", "")
    raw = request.environ.get("RAW_URI") or quote(request.path) + (f"?{query}" if query else "")
    path, mark, query = raw.partition("?")
    # A proxy may have put a path before ours, or taken one away: the base has it.
    ours = path[max(0, path.rfind("/callbacks/")) :]
    if unquote(ours) != request.path:
        raise NotFound
    return (settings.callback_base_url or settings.base_url) + ours + mark + query


def install(app: Flask, hearing: Hearing) -> None:
    """Have callbacks heard; they carry no CSRF token but a signature of their own."""
    app.extensions[NAME] = hearing
    app.extensions["csrf"].exempt(bp)
    app.register_blueprint(bp)
