"""The addresses that gateways call us at, and how we know that it was they: pure functions on small values."""

import hmac
from base64 import urlsafe_b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import parse_qsl, urlsplit

from smsqueue.config import Settings
from smsqueue.gateways.base import Callback, Verdict

INBOUND = "inbound"
"""What stands in place of a reference where texts come in."""
TOKEN_LENGTH = 32
LARGEST_BODY = 64 * 1024
FIELDS = 200


@dataclass(frozen=True, slots=True)
class Address:
    """Where one gateway calls us: `{base}/callbacks/{gateway}/{reference}/{token}`, the token an HMAC of the two."""

    base: str
    gateway: str
    secret: str = field(repr=False)

    @classmethod
    def of(cls, settings: Settings, gateway: str) -> "Address | None":
        """Take it from the settings; None when nobody is to call."""
        if not settings.callback_base_url:
            return None
        return cls(settings.callback_base_url, gateway, settings.callback_secret)

    def url(self, reference: str) -> str:
        """Give the address for one attempt, where the gateway signs what it sends."""
        return f"{self.base}/callbacks/{self.gateway}/{reference}"

    def url_with_token(self, reference: str) -> str:
        """Give the address for one attempt, where it does not: who knows the token has it from us."""
        return f"{self.url(reference)}/{self.token(reference)}"

    def token(self, reference: str) -> str:
        """Prove that a reference was given out by us, to this gateway."""
        found = hmac.new(self.secret.encode(), f"{self.gateway}:{reference}".encode(), sha256).digest()
        return urlsafe_b64encode(found).decode("ascii")[:TOKEN_LENGTH]

    def verify(self, callback: Callback) -> Verdict:
        """Compare the token of a callback's path."""
        if not callback.token:
            return Verdict.UNSIGNED
        return verdict(same(callback.token, self.token(callback.reference)))


def same(given: str, expected: str) -> bool:
    """Compare in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))


def verdict(is_genuine: bool) -> Verdict:
    """Name the result of a comparison."""
    return Verdict.GENUINE if is_genuine else Verdict.FORGED


def query_of(callback: Callback) -> list[tuple[str, str]]:
    """List the names and values of the address."""
    return pairs(urlsplit(callback.url).query)


def form_of(callback: Callback) -> list[tuple[str, str]]:
    """List the names and values of a form in the body."""
    return pairs(callback.body[:LARGEST_BODY].decode("utf-8", "replace"))


def pairs(written: str) -> list[tuple[str, str]]:
    """Read `a=1&b=`; empty values count, and what cannot be read is nothing."""
    try:
        return parse_qsl(written, keep_blank_values=True, max_num_fields=FIELDS, errors="replace")
    except ValueError:
        return []


def from_unix(stamp: str) -> datetime | None:
    """Read seconds since 1970."""
    try:
        return datetime.fromtimestamp(int(stamp), UTC)
    except (ValueError, OverflowError, OSError):
        return None


def from_iso(stamp: object) -> datetime | None:
    """Read an ISO time; one without a zone is UTC."""
    if not isinstance(stamp, str):
        return None
    try:
        found = datetime.fromisoformat(stamp)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):  # the other side of the first or the last day there is
        return None


def plus(number: object) -> str:
    """Write a number as we keep it: `+` and digits; anything else stays as it is."""
    written = str(number or "").strip()
    return f"+{written}" if written.isdigit() and len(written) >= 7 else written
