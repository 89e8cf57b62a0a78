"""Maintenance: pages say that the service is being worked on, but for what keeps it alive and what operators need."""

from datetime import UTC, datetime

from flask import Flask, current_app, g, request
from flask.typing import ResponseReturnValue

from smsqueue.extensions import db
from smsqueue.queue import control, monitor
from smsqueue.queue.control import Controls
from smsqueue.queue.monitor import Wish
from smsqueue.web import access, errors

OPEN = {"static", "security.static", "security.login", "security.logout", "sessions.end_all", "theme.choose"}
"""Going in and out; who is in sees nothing but the queues, if an operator."""
OPEN_PARTS = {"health", "queue_status", "callbacks"}
"""Delivery reports are written down meanwhile: many a gateway tells of a text only once."""
RETRY_SECONDS = 60
ADVICE = "Campaigns that are confirmed wait meanwhile, and go on by themselves afterwards. Load the page again later."


def wishes() -> Controls:
    """Return what operators ask for, read once in a request."""
    if "wishes" not in g:
        g.wishes = control.read(db.session())
    found: Controls = g.wishes
    return found


def guard() -> ResponseReturnValue | None:
    """Answer 503 while the service is being worked on."""
    if request.endpoint is None or request.endpoint in OPEN or request.blueprint in OPEN_PARTS:
        return None
    found = wishes().maintenance
    if found is None:
        return None
    g.is_poll = getattr(current_app.view_functions[request.endpoint], "is_poll", False)
    return _closed(monitor.wish_of(found))


def _closed(wish: Wish) -> ResponseReturnValue:
    words = errors.Words("The service is being worked on", f"{_sentence(wish)}.", ADVICE)
    return errors.answer(503, words, retry_after=_seconds_left(wish), typed=access.typed_in())


def _sentence(wish: Wish) -> str:
    """Say since and until when, and why; who does it is nobody's business here."""
    return f"Since {wish.times()}" + (f": {wish.reason.rstrip('.')}" if wish.reason else "")


def _seconds_left(wish: Wish) -> int:
    if wish.until is None:
        return RETRY_SECONDS
    return max(1, round((wish.until - datetime.now(UTC)).total_seconds()))


def install(app: Flask) -> None:
    """Look before each request whether the service is being worked on."""
    app.before_request(guard)
