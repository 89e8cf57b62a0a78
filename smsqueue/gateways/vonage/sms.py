"""Vonage's SMS API: always HTTP 200, one entry per part, each with a status of its own."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from smsqueue.config import Settings
from smsqueue.gateways.adapter import HttpAdapter, is_reference, parts_of, price_of
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
from smsqueue.gateways.callbacks import from_iso, plus
from smsqueue.gateways.http import FORM, Answer, Request, by_status, tidy
from smsqueue.gateways.tables import Table
from smsqueue.gateways.vonage import codes, common, signing

STRANGE = Unknown("The gateway's answer does not tell whether it took the message.")


class VonageSmsGateway(HttpAdapter):
    """Our reference goes out as `client-ref` and comes back with every report, one per part."""

    name = "vonage"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.table = Table(self.name, codes.SMS)
        self._url = f"{settings.vonage_base_url or 'https://rest.nexmo.com'}/sms/json"
        self._headers = {"Authorization": common.authorization(settings), "Content-Type": FORM}
        self._sender = common.digits(settings.vonage_from)
        self._secret = (settings.vonage_signature_secret, settings.vonage_signature_method)
        self._search = common.Search(self.caller, settings)
        self.traits = Traits(
            look_up=self._search.trait,
            max_per_second=settings.vonage_max_per_second,
            has_reports=True,
            has_inbound=True,
        )

    def request(self, outgoing: Outgoing) -> Request | Rejected:
        """Write the one request of a text."""
        if refused := common.too_long(outgoing):
            return refused
        fields = {
            "to": common.digits(outgoing.to),
            "from": self._sender,
            "text": outgoing.text,
            "type": "unicode" if outgoing.encoding == "ucs-2" else "text",
            "client-ref": outgoing.reference,
            "status-report-req": "true",
        }
        if outgoing.validity_seconds:
            fields["ttl"] = str(common.life(outgoing) * 1000)
        return Request("POST", self._url, self._headers, urlencode(fields).encode())

    def read(self, answer: Answer) -> Outcome:
        """Say what an answer means."""
        if answer.status != 200:
            return by_status(answer)
        listed = answer.json().get("messages")
        parts = [each if isinstance(each, dict) else {} for each in listed] if isinstance(listed, list) else []
        if not parts:
            return STRANGE
        taken = [each for each in parts if _status(each) == "0"]
        if taken:
            return self._sent(taken, len(parts))
        # Where nobody can tell of one part, nobody can of the text.
        part = next((each for each in parts if not _is_clear(_status(each))), parts[0])
        status = _status(part)
        unlisted = Rejected(f"status_{status}", "The gateway refuses the message.") if _is_clear(status) else STRANGE
        return self.table.outcome(status, part.get("error-text"), unlisted)

    def look_up(self, outgoing: Outgoing, since: datetime, *, bound: Collection[str] = ()) -> Sent | NotFound | Unknown:
        """Search by our reference, where the account pays for that."""
        return self._search.find("SMS", "message_id", outgoing, since, bound)

    def verify(self, callback: Callback) -> Verdict:
        """Check `sig` by the method that is set in the account."""
        return signing.verify_sig(callback, *self._secret)

    def reports(self, callback: Callback) -> list[Report]:
        """Read the report of one part; the text is delivered when all parts are."""
        values = dict(signing.fields_of(callback))
        state = codes.SMS_STATES.get(values.get("status", ""))
        if state is None or not values.get("messageId"):
            return []
        code = "" if values.get("err-code", "0") == "0" else tidy(values["err-code"], 40)
        return [
            Report(
                state=state,
                reference=values.get("client-ref", ""),
                gateway_reference=values["messageId"],
                code=code,
                at=from_iso(values.get("message-timestamp")),
                price=price_of(values.get("price")),
                is_part=True,
                **common.told(codes.SMS_REPORTS.get(code)),
            )
        ]

    def inbound(self, callback: Callback) -> Inbound | None:
        """Read a text that came in; a long one comes in pieces."""
        values = dict(signing.fields_of(callback))
        if "status" in values or "text" not in values or not values.get("msisdn"):
            return None
        return Inbound(
            sender=plus(values["msisdn"]),
            to=plus(values.get("to")),
            text=values["text"],
            gateway_reference=values.get("messageId", ""),
            at=from_iso(values.get("message-timestamp")),
            piece=_piece(values),
        )

    def _sent(self, taken: list[dict[str, Any]], parts: int) -> Outcome:
        references = tuple(str(each["message-id"]) for each in taken if is_reference(each.get("message-id")))
        if not references:
            return STRANGE
        price = price_of(taken[0].get("message-price")) if parts == 1 else None
        is_partial = len(taken) < parts
        return self.table.accepted(Sent(references[0], parts_of(parts), price, references, is_partial))


def _status(part: dict[str, Any]) -> str:
    """A text of digits, as it is documented; a number would mean the same."""
    found = part.get("status")
    return str(found) if type(found) is int else found if isinstance(found, str) else ""


def _is_clear(status: str) -> bool:
    """Say whether a part's status, which is not 0, proves that it was not taken; by what is no number, nobody can."""
    known = codes.SMS.get(status)
    return known.outcome != "unknown" if known else status.isascii() and status.isdecimal()


def _piece(values: dict[str, str]) -> tuple[str, int, int] | None:
    part, total = parts_of(values.get("concat-part")), parts_of(values.get("concat-total"))
    if values.get("concat") != "true" or not part or not total or part > total:
        return None
    return values.get("concat-ref", ""), part, total
