"""What every answer's headers say: a strict content policy, nothing kept by caches, no cookie from a poll."""

from uuid import uuid4

from flask import Flask, g, request
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask.wrappers import Response
from flask_talisman import DENY, Talisman

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",  # Bootstrap's icons are data URIs
    "font-src": "'self'",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "object-src": "'none'",
    "frame-ancestors": "'none'",
}


class QuietSessions(SecureCookieSessionInterface):
    """Flask's sessions, but a poll never sets a cookie: a page left open must not keep a session alive."""

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        """Save the session unless a script asked."""
        if not g.get("is_poll", False):
            super().save_session(app, session, response)


def _name_request() -> None:
    g.request_id = uuid4().hex[:12]


def _finish(response: Response) -> Response:
    response.headers["X-Request-ID"] = g.get("request_id", "-")
    if request.endpoint != "static":
        response.headers["Cache-Control"] = "no-store"
    return response


def install(app: Flask) -> None:
    """Set the headers of all answers."""
    app.session_interface = QuietSessions()
    app.before_request(_name_request)
    app.after_request(_finish)
    secure = app.config["SESSION_COOKIE_SECURE"]
    Talisman(
        app,
        force_https=False,  # the proxy in front does that
        strict_transport_security=secure,
        session_cookie_secure=secure,
        content_security_policy=POLICY,
        frame_options=DENY,
        referrer_policy="same-origin",
        x_xss_protection=False,
    )
