"""Hand a text to Twilio, find it again, ask what became of it."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from smsqueue.config import Settings
from smsqueue.gateways.adapter import HttpAdapter, basic, parts_of, price_of
from smsqueue.gateways.base import (
    Callback,
    Inbound,
    NotFound,
    Outcome,
    Outgoing,
    Rejected,
    Report,
    Sent,
    Traits,
    Unknown,
    Verdict,
)
from smsqueue.gateways.callbacks import Address
from smsqueue.gateways.http import FORM, Answer, Request, by_status, retry_after
from smsqueue.gateways.tables import Table
from smsqueue.gateways.twilio import callbacks, codes

LONGEST_TEXT = 1600  # UTF-16 units
LONGEST_VALIDITY = 36_000
LOOKED_AT = 5  # messages of a look-up: as many of the longest, each letter as six, as fit in what we read
BEFORE, AFTER = timedelta(seconds=5), timedelta(seconds=120)
REPEAT_REPORTS = "#rc=5&rp=all"  # for Twilio, not part of the address: a report that we cannot take comes again
SID = re.compile(r"[SM]M[0-9a-f]{32}")


class TwilioGateway(HttpAdapter):
    """Nothing removes doubles there, so whatever is not clear is unknown, every 5xx included."""

    name = "twilio"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        sid = settings.twilio_account_sid
        self.table = Table(self.name, codes.ANSWERS)
        self._url = f"{settings.twilio_base_url}/2010-04-01/Accounts/{sid}/Messages"
        key, secret = settings.twilio_api_key_sid, settings.twilio_api_key_secret
        self._headers = {"Authorization": basic(key or sid, secret or settings.twilio_auth_token)}
        self._tokens = (settings.twilio_auth_token, settings.twilio_auth_token_old)
        self._sender = {
            name: value
            for name, value in (
                ("From", settings.twilio_from),
                ("MessagingServiceSid", settings.twilio_messaging_service_sid),
            )
            if value
        }
        self._address = Address.of(settings, self.name)
        self.traits = Traits(
            look_up="number, time and text (weak)",
            trusts_not_found=settings.twilio_trust_empty_lookup,
            fetch="the gateway's reference",
            tells_wait="Retry-After, not always",
            max_per_second=settings.twilio_max_per_second,
            has_reports=True,
            has_inbound=True,
        )

    def request(self, outgoing: Outgoing) -> Request | Rejected:
        """Write the one request of a text."""
        if len(outgoing.text.encode("utf-16-le", "surrogatepass")) // 2 > LONGEST_TEXT:
            return Rejected("too_long", f"Twilio takes at most {LONGEST_TEXT:,} characters.")
        fields = {"To": outgoing.to, **self._sender, "Body": outgoing.text, "SmartEncoded": "false"}
        if outgoing.validity_seconds:
            fields["ValidityPeriod"] = str(min(outgoing.validity_seconds, LONGEST_VALIDITY))
        if self._address:
            fields["StatusCallback"] = self._address.url(outgoing.reference) + REPEAT_REPORTS
        headers = self._headers | {"Content-Type": FORM}
        return Request("POST", f"{self._url}.json", headers, urlencode(fields).encode())

    def read(self, answer: Answer) -> Outcome:
        """Say what an answer means."""
        values = answer.json()
        if 200 <= answer.status < 300:
            found = _sent(values)
            return self.table.accepted(found) if found else by_status(answer)
        otherwise = by_status(answer)
        if isinstance(otherwise, Unknown):  # no code makes a 5xx safe
            return otherwise
        if answer.status == 404 and isinstance(otherwise, Rejected):
            otherwise = replace(otherwise, scope="account", may_retry=True)
        code = values.get("code")
        named = str(code) if type(code) is int else ""
        return self.table.outcome(named, values.get("message"), otherwise, wait=retry_after(answer.headers))

    def look_up(self, outgoing: Outgoing, since: datetime, *, bound: Collection[str] = ()) -> Sent | NotFound | Unknown:
        """Search the list of messages to this number for our text, at that time, from our sender."""
        query = urlencode({"To": outgoing.to, "PageSize": LOOKED_AT})
        answer = self.caller.call(Request("GET", f"{self._url}.json?{query}", self._headers))
        values = answer.json() if isinstance(answer, Answer) and answer.status == 200 else {}
        listed = values.get("messages")
        if not isinstance(listed, list):
            return Unknown("The list of messages could not be read.")
        messages = [each for each in listed if isinstance(each, dict)]
        mine = [each for each in messages if self._is_mine(each, outgoing, since) and each.get("sid") not in bound]
        if len(mine) > 1:
            return Unknown(f"{len(mine)} messages look like this attempt.")
        if values.get("next_page_uri") and not any(_created(each, before=since - BEFORE) for each in messages):
            return Unknown("The list of messages to this number is too long to be sure.")
        return (_sent(mine[0]) or Unknown("The message found has no reference.")) if mine else NotFound()

    def fetch(self, reference: str) -> Report | Unknown:
        """Ask what became of a message."""
        if not SID.fullmatch(reference):
            return Unknown("This is not a reference of Twilio.")
        answer = self.caller.call(Request("GET", f"{self._url}/{reference}.json", self._headers))
        values = answer.json() if isinstance(answer, Answer) and answer.status == 200 else {}
        code = values.get("error_code")
        found = callbacks.report(str(values.get("status")), str(code or ""), reference, price=_price(values))
        return found or Unknown("The message could not be read.")

    def verify(self, callback: Callback) -> Verdict:
        """Compare the signature, by the auth token even where an API key sends."""
        return callbacks.verify(callback, self._tokens)

    def reports(self, callback: Callback) -> list[Report]:
        """Read the one report of a callback; our reference is in its path."""
        return [replace(each, reference=callback.reference) for each in callbacks.reports(callback)]

    def inbound(self, callback: Callback) -> Inbound | None:
        """Read a text that came in."""
        return callbacks.inbound(callback)

    def _is_mine(self, message: Mapping[str, Any], outgoing: Outgoing, since: datetime) -> bool:
        names = {"From": "from", "MessagingServiceSid": "messaging_service_sid"}
        return (
            message.get("body") == outgoing.text
            and str(message.get("direction", "")).startswith("outbound")
            and all(message.get(names[name]) == value for name, value in self._sender.items())
            and _created(message, after=since - BEFORE, before=since + AFTER)
        )


def _sent(values: Mapping[str, Any]) -> Sent | None:
    sid = values.get("sid")
    if not isinstance(sid, str) or not SID.fullmatch(sid):
        return None
    # A Messaging Service counts later, and says 0 until then.
    return Sent(sid, parts_of(values.get("num_segments")), _price(values))


def _price(values: Mapping[str, Any]) -> str | None:
    return price_of(values.get("price"), values.get("price_unit"))


def _created(message: Mapping[str, Any], *, after: datetime | None = None, before: datetime) -> bool:
    try:
        at = parsedate_to_datetime(str(message.get("date_created")))
        return (after is None or after <= at) and at <= before
    except (ValueError, TypeError):
        return False
