"""Pages for what goes wrong: what happened, what to do, and a number to tell the operator."""

from collections.abc import Sequence
from dataclasses import dataclass

from flask import Flask, current_app, g, jsonify, render_template, request
from flask.typing import ResponseReturnValue
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnectionFree
from werkzeug.exceptions import HTTPException, InternalServerError, RequestEntityTooLarge, SecurityError

from smsqueue.db import is_away
from smsqueue.domain.errors import NotFound
from smsqueue.extensions import OpenTooLong
from smsqueue.web import access
from smsqueue.web.forms import OPEN_TOO_LONG

RETRY_SECONDS = 10
DRAIN = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Words:
    """What a page says about one kind of error."""

    title: str
    happened: str
    advice: str


WORDS = {
    400: Words(
        "That did not arrive as it should",
        "Your browser sent something this page cannot read.",
        "Go back, load the page again and repeat what you did.",
    ),
    401: Words("You are signed out", "Your session has ended.", "Sign in and try again."),
    403: Words(
        "This page is for operators",
        "Your account may not open it.",
        "If you need it, ask the person who runs this installation.",
    ),
    404: Words(
        "There is no such page",
        "The address is wrong, or what it showed belongs to another team or was removed.",
        "Check the address, or start from the list of campaigns.",
    ),
    405: Words("That is not possible here", "This address does not take such a request.", "Start from the menu above."),
    413: Words("That is too big", "More was sent than this page takes.", "Send less at once."),
    429: Words("Too many requests", "This came too often in a short time.", "Wait a minute and try again."),
    500: Words(
        "Something broke on our side",
        "This is a fault of the program, not yours. What you did may not have been saved.",
        "Go back and look before you repeat it. If it happens again, tell the operator the request number.",
    ),
    503: Words(
        "The database does not answer",
        "Nothing is lost: campaigns that are being sent go on by themselves when it is back.",
        "Wait a moment and load the page again.",
    ),
}


def answer(
    code: int, words: Words | None = None, *, retry_after: int = RETRY_SECONDS, typed: Sequence[tuple[str, str]] = ()
) -> ResponseReturnValue:
    """Answer with an error page, or JSON for who asked for that; from 500 up the page needs no database.

    Of those, the page can hold what somebody has `typed` and give it back to its form.
    """
    words = words or WORDS.get(code, WORDS[500 if code >= 500 else 400])
    headers = {"Retry-After": str(retry_after)} if code in (429, 503) else {}
    if g.get("is_poll", False) or access.wants_json():
        error = {"code": code, "title": words.title, "advice": words.advice, "request_id": g.get("request_id")}
        return jsonify(error=error), code, headers
    facts = {"code": code, "words": words, "request_id": g.get("request_id")}
    if code < 500:
        return render_template("errors/page.html", **facts), code, headers
    # Not by render_template, which asks the database who is signed in.
    page = current_app.jinja_env.get_template("errors/plain.html")
    return page.render(facts, typed=typed, path=request.path), code, headers


def _http(error: HTTPException) -> ResponseReturnValue:
    if error.code is None or error.code < 400:
        return error  # a redirect that came as an exception
    return answer(error.code)


def _csrf(_error: CSRFError | OpenTooLong) -> ResponseReturnValue:
    advice = "Go back, load the page again and press the button once more. Nothing has happened yet."
    return answer(400, Words("The page was open for too long", OPEN_TOO_LONG.partition(".")[0] + ".", advice))


def _too_large(_error: RequestEntityTooLarge) -> ResponseReturnValue:
    _drain()
    limit = (request.max_content_length or 0) / 1024 / 1024
    happened = f"This page takes up to {limit:,.0f} MiB at once, and more was sent."
    advice = "Go back and send less: cut a long list into several files and make a campaign of each."
    return answer(413, Words("That is too big", happened, advice))


def _drain() -> None:
    # A browser shows no answer when the connection is closed while it is still sending.
    stream, left = request.environ["wsgi.input"], min(request.content_length or 0, DRAIN)
    while left > 0 and (chunk := stream.read(min(left, 65_536))):
        left -= len(chunk)


def _not_found(_error: NotFound) -> ResponseReturnValue:
    return answer(404)


def _strange_host(_error: SecurityError) -> ResponseReturnValue:
    # There is no page to show: none of ours can be addressed under this name.
    return "This server does not answer to that name.\n", 400, {"Content-Type": "text/plain; charset=utf-8"}


def _database(error: DBAPIError) -> ResponseReturnValue:
    if not is_away(error):
        raise error
    current_app.logger.warning("request %s: the database does not answer: %s", g.get("request_id"), error.orig)
    return answer(503)


def _busy(_error: NoConnectionFree) -> ResponseReturnValue:
    return answer(503)


def _broken(error: InternalServerError) -> ResponseReturnValue:
    original = getattr(error, "original_exception", None)
    if original is not None and is_away(original):
        return answer(503)
    current_app.logger.error("the answer to request %s was an error page", g.get("request_id"))
    return answer(500)


def install(app: Flask) -> None:
    """Answer every error with one of these pages."""
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(OpenTooLong, _csrf)
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.register_error_handler(SecurityError, _strange_host)
    app.register_error_handler(NotFound, _not_found)
    app.register_error_handler(DBAPIError, _database)
    app.register_error_handler(NoConnectionFree, _busy)
    app.register_error_handler(InternalServerError, _broken)
