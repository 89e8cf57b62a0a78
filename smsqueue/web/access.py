"""Who may see what: every view carries a rule, and one that carries none is closed to everybody.

Put the decorator beneath the route: `@bp.get("/credits")`, then `@access.member`. The rules are enforced by
`guard`, before any view runs. Objects of another team are no matter of rules: every query starts from
`current_team_id()`, so they are not found (404).
"""

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

from flask import Flask, abort, current_app, g, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from flask_security import logout_user

from smsqueue.models import Team, User

View = TypeVar("View", bound=Callable[..., Any])
PUBLIC, MEMBER, OPERATOR = "public", "member", "operator"
LIBRARY_RULES = {
    "static": PUBLIC,
    "security.static": PUBLIC,
    "security.login": PUBLIC,
    "security.logout": PUBLIC,
    "security.forgot_password": PUBLIC,
    "security.reset_password": PUBLIC,
    "security.change_password": MEMBER,
}
"""The rules of views that are not ours."""
SESSION_SECONDS = 12 * 3600
"""After so long everybody signs in again, however busy the session was."""


def public(view: View) -> View:
    """Let everybody in, signed in or not."""
    return _mark(view, PUBLIC)


def member(view: View) -> View:
    """Let signed-in people in; others are sent to the sign-in page and come back."""
    return _mark(view, MEMBER)


def operator(view: View) -> View:
    """Let only operators in; members get 403."""
    return _mark(view, OPERATOR)


def poll(view: View) -> View:
    """Mark a view that a script calls again and again: it never sets a cookie, and answers 401 to strangers."""
    view.is_poll = True  # type: ignore[attr-defined]
    return view


def _mark(view: View, rule: str) -> View:
    view.access_rule = rule  # type: ignore[attr-defined]
    return view


def user() -> User:
    """Return the person who is signed in."""
    return cast(User, current_user._get_current_object())


def team() -> Team:
    """Return the team of the person who is signed in."""
    return user().team


def current_team_id() -> int:
    """Return the id that every query of a page starts from."""
    return user().team_id


def rule_of(endpoint: str) -> str | None:
    """Return an endpoint's rule; None when it has none."""
    rule = getattr(current_app.view_functions.get(endpoint), "access_rule", None)
    return rule or LIBRARY_RULES.get(endpoint)


def guard() -> ResponseReturnValue | None:
    """Let a request through to its view, or answer it here."""
    if request.endpoint is None:
        return None  # no such page: 404
    view = current_app.view_functions[request.endpoint]
    g.is_poll = getattr(view, "is_poll", False)
    rule = rule_of(request.endpoint)
    if rule == PUBLIC:
        return None
    if not current_user.is_authenticated or _is_over():
        return _ask_to_sign_in()
    if rule == MEMBER or (rule == OPERATOR and user().operator):
        return None
    return abort(403)


def _is_over() -> bool:
    if time.time() - session.get("fs_paa", 0) < SESSION_SECONDS:
        return False
    logout_user()
    return True


def _ask_to_sign_in() -> ResponseReturnValue:
    typed = typed_in()
    if typed:
        # It comes along: after signing in elsewhere it can be sent again from this page.
        return render_template("errors/signed_out.html", typed=typed), 401
    if g.is_poll or wants_json() or request.method not in ("GET", "HEAD"):
        abort(401)
    where = request.full_path.removesuffix("?")
    return redirect(url_for("security.login", next=where if where != "/" else None))


def typed_in() -> list[tuple[str, str]]:
    """Return what somebody typed into the form that came, so that it can be given back; passwords are left out."""
    return [
        (name, value)
        for name, value in request.form.items(multi=True)
        if name != "csrf_token" and "password" not in name
    ]


def wants_json() -> bool:
    """Say whether the answer should be JSON: asked for by `Accept`, and not merely allowed by it."""
    accepted = request.accept_mimetypes
    return accepted.best_match(["text/html", "application/json"]) == "application/json"


def install(app: Flask) -> None:
    """Enforce the rules on all of the app's routes."""
    app.before_request(guard)
