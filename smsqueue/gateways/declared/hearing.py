"""Callbacks of a declared gateway: how it proves itself, and what it says."""

import hmac
from base64 import b64encode
from typing import Any

from smsqueue.declaration.parts import Listener
from smsqueue.gateways.adapter import basic
from smsqueue.gateways.base import Callback, Verdict
from smsqueue.gateways.callbacks import Address, form_of, query_of, same, verdict
from smsqueue.gateways.http import json_object


def verify(listener: Listener, callback: Callback, address: Address) -> Verdict:
    """Check a callback, in constant time."""
    if callback.method != listener.method:
        return Verdict.FORGED
    if listener.signature == "token":
        return address.verify(callback)
    name = "authorization" if listener.signature == "basic" else listener.header
    given = callback.headers.get(name, "")
    if not given or not listener.secret:
        return Verdict.UNSIGNED
    if listener.signature == "basic":
        return verdict(same(given, basic(listener.user, listener.secret)))
    digest = hmac.new(listener.secret.encode(), callback.body, listener.algorithm).digest()
    if listener.encoding == "base64":
        return verdict(same(given, listener.prefix + b64encode(digest).decode("ascii")))
    return verdict(same(given.lower(), listener.prefix.lower() + digest.hex()))


def values_of(callback: Callback) -> dict[str, Any]:
    """Read what a callback says: JSON, a form, or the query of its address."""
    if callback.method == "GET":
        return dict(query_of(callback))
    if "form" in callback.headers.get("content-type", ""):
        return dict(form_of(callback))
    return json_object(callback.body)
