"""What both of Vonage's APIs have in common: numbers, limits, the paid search."""

from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

from smsqueue.config import Settings
from smsqueue.core import clock, tokens
from smsqueue.gateways.adapter import basic
from smsqueue.gateways.base import NotFound, Outgoing, Rejected, Sent, Unknown
from smsqueue.gateways.http import Answer, HttpCaller, Request
from smsqueue.gateways.tables import Meaning

API = "https://api.nexmo.com"
LONGEST_TEXT = 3200
TOKEN_SECONDS = 900
SHORTEST_LIFE, LONGEST_LIFE = 20, 604_800
BEFORE, AFTER = timedelta(seconds=5), timedelta(seconds=120)


def authorization(settings: Settings) -> str:
    """Sign in with key and secret."""
    return basic(settings.vonage_api_key, settings.vonage_api_secret)


def token(settings: Settings) -> Callable[[], str]:
    """Make what signs in with a new token for each request: the application's, signed by its key."""
    key = tokens.read_key(settings.vonage_private_key)

    def make() -> str:
        now = int(clock.now().timestamp())
        claims = {"application_id": settings.vonage_application_id, "iat": now, "exp": now + TOKEN_SECONDS}
        return f"Bearer {tokens.sign({**claims, 'jti': str(uuid4())}, key)}"

    return make


def digits(number: str) -> str:
    """Write a number or a name as Vonage wants them: no plus, no spaces."""
    return number.removeprefix("+").replace(" ", "")


def life(outgoing: Outgoing) -> int:
    """Say how many seconds a text may live there."""
    return min(max(outgoing.validity_seconds, SHORTEST_LIFE), LONGEST_LIFE)


def too_long(outgoing: Outgoing) -> Rejected | None:
    """Refuse what the gateway would."""
    if len(outgoing.text) <= LONGEST_TEXT:
        return None
    return Rejected("too_long", f"Vonage takes at most {LONGEST_TEXT:,} characters.")


def told(meaning: Meaning | None) -> dict[str, Any]:
    """Give what a code adds to a report."""
    if meaning is None:
        return {}
    scope = "account" if meaning.outcome == "account" else "recipient"
    flags = {"may_retry": meaning.may_retry, "opted_out": meaning.opted_out}
    return {"reason": f"{meaning.reason}.", "scope": scope, **flags}


class Search:
    """Finds an attempt by our reference in the paid Reports API."""

    def __init__(self, caller: HttpCaller, settings: Settings) -> None:
        self._caller = caller
        self._url = f"{settings.vonage_base_url or API}/v2/reports/records"
        self._key = settings.vonage_api_key
        self._headers = {"Authorization": authorization(settings)}
        self._is_paid = settings.vonage_reports_lookup

    @property
    def trait(self) -> str:
        """Say by what an attempt is found again."""
        return "our reference (paid Reports API)" if self._is_paid else "none"

    def find(
        self, product: str, id_name: str, outgoing: Outgoing, since: datetime, bound: Collection[str]
    ) -> Sent | NotFound | Unknown:
        """Take what was sent to this number at that time, and of it the one with our reference; Unknown if unpaid."""
        if not self._is_paid:
            return Unknown("VONAGE_REPORTS_LOOKUP is off.")
        query = {
            "account_id": self._key,
            "product": product,
            "direction": "outbound",
            "to": digits(outgoing.to),
            "date_start": _stamp(since - BEFORE),
            "date_end": _stamp(since + AFTER),
        }
        answer = self._caller.call(Request("GET", f"{self._url}?{urlencode(query)}", self._headers))
        values = answer.json() if isinstance(answer, Answer) and answer.status == 200 else {}
        listed = values.get("records")
        if not isinstance(listed, list):
            return Unknown("The gateway's records could not be read.")
        mine = [each for each in listed if isinstance(each, dict) and each.get("client_ref") == outgoing.reference]
        found = tuple(str(each[id_name]) for each in mine if each.get(id_name) and each[id_name] not in bound)
        if found:
            return Sent(found[0], len(found), references=found)
        # A record without any reference may be ours.
        nameless = any(isinstance(each, dict) and not each.get("client_ref") for each in listed)
        return Unknown("The gateway's records carry no reference.") if nameless else NotFound()


def _stamp(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
