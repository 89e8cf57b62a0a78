"""What Twilio tells us: signature, delivery reports, texts that come in."""

import hmac
from base64 import b64encode
from collections.abc import Iterator, Sequence
from hashlib import sha1, sha256
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from smsqueue.gateways.base import Callback, Inbound, Report, Verdict
from smsqueue.gateways.callbacks import form_of, query_of, same, verdict
from smsqueue.gateways.http import tidy
from smsqueue.gateways.twilio import codes

HEADER = "x-twilio-signature"
PORTS = {"https": 443, "http": 80}


def signature(url: str, fields: Sequence[tuple[str, str]], token: str) -> str:
    """Sign a public URL and the fields of a form as Twilio does."""
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    return b64encode(hmac.new(token.encode(), signed.encode("utf-8", "replace"), sha1).digest()).decode("ascii")


def verify(callback: Callback, tokens: Sequence[str]) -> Verdict:
    """Compare with the signature of each token, with and without the default port: Twilio is not of one mind there."""
    given = callback.headers.get(HEADER, "")
    if not given:
        return Verdict.UNSIGNED
    is_json = "json" in callback.headers.get("content-type", "")
    fields = [] if is_json else form_of(callback)
    found = [
        same(given, signature(url, fields, token)) for url in _spellings(callback.url) for token in tokens if token
    ]
    return verdict(any(found) and (not is_json or _body_is_whole(callback)))


def reports(callback: Callback) -> list[Report]:
    """Read the one report of a callback."""
    values = dict(form_of(callback))
    found = report(values.get("MessageStatus", ""), values.get("ErrorCode", ""), values.get("MessageSid", ""))
    return [found] if found else []


def report(status: str, code: str, sid: str, reference: str = "", price: str | None = None) -> Report | None:
    """Say what a status and its error code mean; None for a status that is none."""
    state = codes.STATES.get(status)
    if state is None:
        return None
    code = "" if code in {"", "0", "None"} else tidy(code, 40)
    meaning = codes.REPORTS.get(code)
    more: dict[str, Any] = {}
    if meaning:
        more = {"may_retry": meaning.may_retry, "opted_out": meaning.opted_out, "reason": f"{meaning.reason}."}
        more["scope"] = "account" if meaning.outcome == "account" else "recipient"
    if code == codes.EXPIRED and state != "delivered":
        state = "expired"
    return Report(state=state, reference=reference, gateway_reference=sid, code=code, price=price, **more)


def inbound(callback: Callback) -> Inbound | None:
    """Read a text that came in."""
    values = dict(form_of(callback))
    if "MessageStatus" in values or "Body" not in values or not values.get("From"):
        return None
    return Inbound(
        sender=values["From"],
        to=values.get("To", ""),
        text=values["Body"],
        gateway_reference=values.get("MessageSid", ""),
    )


def _body_is_whole(callback: Callback) -> bool:
    expected = dict(query_of(callback)).get("bodySHA256", "")
    return same(expected.lower(), sha256(callback.body).hexdigest())


def _spellings(url: str) -> Iterator[str]:
    yield url
    parts = urlsplit(url)
    default = f":{PORTS.get(parts.scheme, 443)}"
    if parts.netloc.endswith(default):
        yield urlunsplit(parts._replace(netloc=parts.netloc.removesuffix(default)))
    elif parts.port is None:
        yield urlunsplit(parts._replace(netloc=parts.netloc + default))
