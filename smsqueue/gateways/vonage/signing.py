"""How Vonage signs what it tells us: `sig` of the SMS API, and the token of the Messages API."""

import hmac
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterable
from hashlib import md5, sha256
from typing import Any

from smsqueue.gateways.base import Callback, Verdict
from smsqueue.gateways.callbacks import form_of, query_of, same, verdict
from smsqueue.gateways.http import json_object

SCHEME = "bearer "


def fields_of(callback: Callback) -> list[tuple[str, str]]:
    """List a callback's fields; it comes by GET, as a form or as JSON, as the account is set."""
    if callback.method == "GET":
        return query_of(callback)
    if "json" not in callback.headers.get("content-type", ""):
        return form_of(callback)
    return [(name, _written(value)) for name, value in json_object(callback.body).items()]


def signature(fields: Iterable[tuple[str, str]], secret: str, method: str) -> str:
    """Sign fields; `md5hash` puts the secret behind them, the others are HMACs."""
    joined = "".join(
        f"&{name}={value.replace('&', '_').replace('=', '_')}" for name, value in sorted(fields) if name != "sig"
    )
    if method == "md5hash":
        return md5((joined + secret).encode("utf-8", "replace"), usedforsecurity=False).hexdigest()
    return hmac.new(secret.encode(), joined.encode("utf-8", "replace"), method).hexdigest()


def verify_sig(callback: Callback, secret: str, method: str) -> Verdict:
    """Check `sig`. Old stamps are accepted: a repeat may carry the first one, and a replay changes nothing."""
    fields = fields_of(callback)
    given = dict(fields).get("sig", "")
    if not given or not secret:
        return Verdict.UNSIGNED
    # Names are signed as they are: fields could be hidden in one.
    is_plain = not any("&" in name or "=" in name for name, _ in fields)
    return verdict(is_plain and same(given.lower(), signature(fields, secret, method)))


def verify_token(callback: Callback, secret: str, api_key: str) -> Verdict:
    """Check the JWT: HS256 and nothing else, for our account, over exactly this body."""
    header = callback.headers.get("authorization", "")
    if not header.lower().startswith(SCHEME) or not secret:
        return Verdict.UNSIGNED
    written, _, given = header[len(SCHEME) :].strip().rpartition(".")
    head, _, claims = written.partition(".")
    expected = hmac.new(secret.encode(), written.encode("utf-8", "replace"), sha256).digest()
    is_signed = hmac.compare_digest(_bytes(given), expected)
    said = json_object(_bytes(claims))
    is_whole = same(str(said.get("payload_hash", "")).lower(), sha256(callback.body).hexdigest())
    is_ours = said.get("api_key") == api_key and json_object(_bytes(head)).get("alg") == "HS256"
    return verdict(is_signed and is_whole and is_ours)


def _bytes(written: str) -> bytes:
    try:
        return urlsafe_b64decode(written + "=" * (-len(written) % 4))
    except ValueError:
        return b""


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
