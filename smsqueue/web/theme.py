"""Light, dark, or as the system has it: a choice that is kept in a cookie, so that pages come in the right colours."""

from flask import Blueprint, current_app, redirect, request
from flask.typing import ResponseReturnValue

from smsqueue.web import access

bp = Blueprint("theme", __name__)
THEMES = ("auto", "light", "dark")
YEAR = 31_536_000


def chosen() -> str:
    """Return the theme that this browser wants."""
    cookie = request.cookies.get("theme", "auto") if request else "auto"
    return cookie if cookie in THEMES else "auto"


def local_path(address: str) -> str:
    """Return `address` when it is a path of this site, else the start page."""
    strange = any(ord(character) < 33 or character == "\\" for character in address)
    return address if address.startswith("/") and not address.startswith("//") and not strange else "/"


@bp.post("/theme")
@access.public
def choose() -> ResponseReturnValue:
    """Keep the choice and go back."""
    theme = request.form.get("theme", "")
    response = redirect(local_path(request.form.get("next", "/")), 303)
    if theme in THEMES:
        secure = current_app.config["SESSION_COOKIE_SECURE"]
        response.set_cookie("theme", theme, max_age=YEAR, secure=secure, httponly=True, samesite="Lax")
    return response
