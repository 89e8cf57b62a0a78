"""What the frame of every page knows: who is signed in, what they can spend, what is new."""

from dataclasses import dataclass

from flask import Flask, has_request_context, request
from flask_login import current_user

from smsqueue import __version__
from smsqueue.domain import credits, notices
from smsqueue.extensions import db
from smsqueue.models import User
from smsqueue.web import access, theme


@dataclass(frozen=True, slots=True)
class Header:
    """The numbers at the top of a page."""

    balance: int
    unread: int


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of the main menu; `section` is what a page's `active` says."""

    section: str
    endpoint: str
    text: str
    rule: str = access.MEMBER


MENU = (
    Item("send", "compose.single", "Send SMS"),
    Item("campaigns", "campaigns.index", "Campaigns"),
    Item("inbox", "inbox.index", "Inbox"),
    Item("credits", "credits.index", "Credits"),
    Item("queue", "queue_status.show", "Queue status", access.OPERATOR),
)


def signed_in() -> User | None:
    """Return the person who is signed in, if any."""
    return access.user() if has_request_context() and current_user.is_authenticated else None


def header() -> Header:
    """Count what the header shows: two small queries."""
    person = access.user()
    return Header(credits.balance(db.session(), person.team_id), notices.unread(db.session(), person.id))


def menu() -> list[Item]:
    """Return the menu of the person who is signed in."""
    return [item for item in MENU if item.rule == access.MEMBER or access.user().operator]


def here() -> str:
    """Return the address of this page, to come back to."""
    return request.full_path.removesuffix("?") if request.method == "GET" else "/"


def install(app: Flask) -> None:
    """Give `base.html` what it asks for."""
    app.jinja_env.globals.update(
        header=header, here=here, menu=menu, signed_in=signed_in, theme=theme.chosen, version=__version__
    )
