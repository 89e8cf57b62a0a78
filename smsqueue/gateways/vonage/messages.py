"""Vonage's Messages API."""

import json
import re
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

from smsqueue.config import Settings
from smsqueue.gateways.adapter import HttpAdapter, is_reference, price_of
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
from smsqueue.gateways.http import Answer, Request, by_status, json_object, retry_after, tidy
from smsqueue.gateways.tables import Table
from smsqueue.gateways.vonage import codes, common, signing

CODE = re.compile(r"[0-9]{4}")


class VonageMessagesGateway(HttpAdapter):
    """Our reference goes out as `client_ref` and comes back with every report."""

    name = "vonage"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.table = Table(self.name, codes.MESSAGES)
        self._url = f"{settings.vonage_base_url or common.API}/v1/messages"
        basic = common.authorization(settings)
        self._authorization = common.token(settings) if settings.vonage_private_key else lambda: basic
        self._sender = common.digits(settings.vonage_from)
        self._secret, self._key = settings.vonage_signature_secret, settings.vonage_api_key
        self._search = common.Search(self.caller, settings)
        self.traits = Traits(
            look_up=self._search.trait,
            tells_wait="Retry-After",
            max_per_second=settings.vonage_max_per_second,
            has_reports=True,
            has_inbound=True,
            unsigned_status=503,  # some come unsigned and are repeated, signed, after a 503 only
        )

    def request(self, outgoing: Outgoing) -> Request | Rejected:
        """Write the one request of a text."""
        if refused := common.too_long(outgoing):
            return refused
        values: dict[str, Any] = {
            "channel": "sms",
            "message_type": "text",
            "to": common.digits(outgoing.to),
            "from": self._sender,
            "text": outgoing.text,
            "client_ref": outgoing.reference,
            "sms": {"encoding_type": "unicode" if outgoing.encoding == "ucs-2" else "text"},
        }
        if outgoing.validity_seconds:
            values["ttl"] = common.life(outgoing)
        headers = {"Authorization": self._authorization(), "Content-Type": "application/json"}
        return Request("POST", self._url, headers, json.dumps(values).encode())

    def read(self, answer: Answer) -> Outcome:
        """Say what an answer means."""
        values, otherwise = answer.json(), by_status(answer)
        if answer.status == 202:
            reference = values.get("message_uuid")
            return self.table.accepted(Sent(str(reference))) if is_reference(reference) else otherwise
        if isinstance(otherwise, Unknown):
            return otherwise
        if answer.status == 404 and isinstance(otherwise, Rejected):
            otherwise = replace(otherwise, scope="account", may_retry=True)
        if answer.status != 422:
            words = f"{values.get('title', '')}: {values.get('detail', '')}"
            return self.table.outcome("", words if values else "", otherwise, wait=retry_after(answer.headers))
        return self.table.outcome(_code(values), values.get("detail"), otherwise)

    def look_up(self, outgoing: Outgoing, since: datetime, *, bound: Collection[str] = ()) -> Sent | NotFound | Unknown:
        """Search by our reference, where the account pays for that."""
        return self._search.find("MESSAGES", "message_id", outgoing, since, bound)

    def verify(self, callback: Callback) -> Verdict:
        """Check the signed token and the hash of the body in it."""
        return signing.verify_token(callback, self._secret, self._key)

    def reports(self, callback: Callback) -> list[Report]:
        """Read the one report of a callback."""
        values = json_object(callback.body)
        state = codes.MESSAGES_STATES.get(str(values.get("status")))
        if state is None or not is_reference(values.get("message_uuid")):
            return []
        error, usage = _object(values, "error"), _object(values, "usage")
        code = _code(error) if error else ""
        if state == "undelivered":
            state = _ending(code)
        known = codes.NOT_BILLED | codes.OPTED_OUT
        more = common.told(known.get(code))
        more.setdefault("reason", tidy(error.get("detail")))
        return [
            Report(
                state=state,
                reference=str(values.get("client_ref") or ""),
                gateway_reference=str(values["message_uuid"]),
                code=code,
                at=from_iso(values.get("timestamp")),
                price=price_of(usage.get("price"), usage.get("currency")),
                **more,
            )
        ]

    def inbound(self, callback: Callback) -> Inbound | None:
        """Read a text that came in; long ones come whole."""
        values = json_object(callback.body)
        sender, text = values.get("from"), values.get("text")
        if "status" in values or not isinstance(sender, str) or not isinstance(text, str):
            return None
        return Inbound(
            sender=plus(sender),
            to=plus(values.get("to")),
            text=text,
            gateway_reference=str(values.get("message_uuid") or ""),
            at=from_iso(values.get("timestamp")),
        )


def _ending(code: str) -> Any:
    if code in codes.NOT_BILLED:
        return "failed"
    if code == codes.EXPIRED:
        return "expired"
    return "sent" if code == codes.PARTS_MISSING else "undelivered"


def _code(values: dict[str, Any]) -> str:
    """The code stands in the title, or at the end of the type's address."""
    for name in ("title", "type"):
        if found := CODE.search(str(values.get(name, ""))):
            return found.group()
    return ""


def _object(values: dict[str, Any], name: str) -> dict[str, Any]:
    found = values.get(name)
    return found if isinstance(found, dict) else {}
