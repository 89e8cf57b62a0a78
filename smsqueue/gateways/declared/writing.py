"""Fill a declared request in: one pass, nothing is evaluated, every value is encoded for the place that it goes to."""

import json
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import quote, urlencode

from smsqueue.declaration.parts import Call
from smsqueue.declaration.sections import PLACEHOLDER
from smsqueue.gateways.adapter import basic
from smsqueue.gateways.base import Outgoing, Rejected
from smsqueue.gateways.http import FORM, Request

TYPES = {
    "form": FORM,
    "json": "application/json",
    "text": "text/plain; charset=UTF-8",
}
BROKEN = Rejected("bad_header", "A value with a line break cannot be sent in a header.")


def values_of(outgoing: Outgoing, callback_url: str, encodings: Mapping[str, str]) -> dict[str, str]:
    """Give every placeholder its value."""
    return {
        "to": outgoing.to,
        "to_digits": outgoing.to.removeprefix("+"),
        "from": outgoing.sender,
        "text": outgoing.text,
        "reference": outgoing.reference,
        "callback_url": callback_url,
        "encoding": encodings.get(outgoing.encoding, outgoing.encoding),
        "segments": str(outgoing.segments),
        "validity": str(outgoing.validity_seconds),
    }


def write(call: Call, values: Mapping[str, str]) -> Request | Rejected:
    """Write the request."""
    headers = {name: fill(value, values) for name, value in call.headers.items()}
    if call.idempotency_header:
        headers[call.idempotency_header] = values["reference"]
    if call.auth != "none":
        secret = fill(call.secret, values)
        headers["Authorization"] = (
            basic(fill(call.user, values), secret) if call.auth == "basic" else f"Bearer {secret}"
        )
    if call.place != "none":
        headers.setdefault("Content-Type", TYPES[call.place])
    if not all(value.isprintable() for value in headers.values()):
        return BROKEN
    url = fill(call.url, values, lambda value: quote(value, safe=""))
    if call.query:
        query = urlencode({name: fill(value, values) for name, value in call.query.items()})
        url += ("&" if "?" in url else "?") + query
    return Request(call.method, url, headers, _body(call, values))


def fill(template: str, values: Mapping[str, str], encode: Callable[[str], str] = str) -> str:
    """Replace placeholders, once: what a value brings with it is not looked at again."""
    return PLACEHOLDER.sub(lambda found: encode(values.get(found[1], "")), template)


def _body(call: Call, values: Mapping[str, str]) -> bytes | None:
    match call.place:
        case "form":
            return urlencode({name: fill(value, values) for name, value in call.body.items()}).encode()
        case "json":
            return json.dumps(_tree(call.body, values)).encode()
        case "text":
            return fill(call.body, values).encode()
        case "none":
            return None


def _tree(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return fill(value, values)
    if isinstance(value, dict):
        return {name: _tree(each, values) for name, each in value.items()}
    return [_tree(each, values) for each in value] if isinstance(value, list) else value
