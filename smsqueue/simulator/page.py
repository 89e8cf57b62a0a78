"""The page of phones and mails, and the same as JSON for tests."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from smsqueue.simulator.world import SHOWN, Mail, Text, World

HERE = Path(__file__).parent
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src data:; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
# A mail's own HTML runs no script, loads nothing and belongs to no origin.
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"


class Page:
    """What a person, or a test, sees of the outside world."""

    def __init__(self, world: World) -> None:
        self._world = world
        loader = FileSystemLoader(HERE)
        self._template = Environment(loader=loader, autoescape=True, undefined=StrictUndefined).get_template(
            "page.html"
        )
        self._style = (HERE / "style.css").read_text()

    async def show(self, request: web.Request) -> web.Response:
        """Phones and mails, newest first."""
        refresh = request.query.get("refresh") != "off"
        world = self._world
        html = self._template.render(texts=world.texts, mails=world.mails, refresh=refresh, shown=SHOWN)
        return web.Response(text=html, content_type="text/html", headers=HEADERS)

    async def style(self, request: web.Request) -> web.Response:
        """The only style sheet."""
        return web.Response(text=self._style, content_type="text/css", headers=HEADERS)

    async def phones(self, request: web.Request) -> web.Response:
        """`/phones.json?to=…`: the texts on the phones, or on one of them."""
        number = request.query.get("to")
        return _json([_text(text) for text in self._world.texts if number in {None, text.message.to}])

    async def mails(self, request: web.Request) -> web.Response:
        """`/mails.json?to=…`: the mails, or those to one address."""
        address = request.query.get("to")
        return _json([_mail(mail) for mail in self._world.mails if address is None or address in mail.to])

    async def mail_html(self, request: web.Request) -> web.Response:
        """The HTML part of one mail, in a sandbox."""
        number = int(request.match_info["number"])
        for mail in self._world.mails:
            if mail.number == number and mail.html:
                headers = HEADERS | {"Content-Security-Policy": SANDBOX}
                return web.Response(text=mail.html, content_type="text/html", headers=headers)
        raise web.HTTPNotFound(text="This mail is not kept any more.")


def _text(text: Text) -> dict[str, Any]:
    return asdict(text.message) | {"time": text.time.isoformat(), "fate": text.fate, "state": text.state}


def _mail(mail: Mail) -> dict[str, Any]:
    return asdict(mail) | {"time": mail.time.isoformat()}


def _json(values: Iterable[dict[str, Any]]) -> web.Response:
    return web.Response(text=json.dumps(list(values)), content_type="application/json", headers=HEADERS)
