"""The gateway of the simulator: demo, tests and drills."""

import hmac
import json
from collections.abc import Collection
from datetime import datetime
from hashlib import sha256
from typing import Any, get_args
from urllib.parse import quote

from smsqueue.config import Settings
from smsqueue.gateways.adapter import HttpAdapter, is_reference, parts_of
from smsqueue.gateways.base import (
    Callback,
    Deferred,
    Ending,
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
from smsqueue.gateways.callbacks import from_iso, same, verdict
from smsqueue.gateways.http import Answer, Request, by_status, json_object, tidy

SIGNATURE = "x-simulator-signature"
JSON = {"Content-Type": "application/json"}


class SimulatedGateway(HttpAdapter):
    """Talks to `flask sms simulator`. One of its 5xx is surely not taken: 503 that says so."""

    name = "simulated"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._url, self._states = f"{settings.simulated_url}/messages", f"{settings.simulated_url}/states"
        self._secret = settings.callback_secret
        self.traits = Traits(
            is_idempotent=settings.simulated_idempotent,
            look_up="our reference" if settings.simulated_lookup else "none",
            trusts_not_found=settings.simulated_lookup,
            not_found_after_seconds=0,
            fetch="the gateway's reference",
            safe_5xx='503 with {"taken": false}',
            tells_wait="Retry-After",
            max_per_second=settings.simulated_max_per_second or None,
            has_reports=True,
            has_inbound=True,
            is_fake=True,
        )

    def request(self, outgoing: Outgoing) -> Request:
        """Write the one request of a text."""
        values = {
            "reference": outgoing.reference,
            "to": outgoing.to,
            "text": outgoing.text,
            "sender": outgoing.sender,
            "encoding": outgoing.encoding,
            "segments": outgoing.segments,
            "validity_seconds": outgoing.validity_seconds,
        }
        return Request("POST", self._url, JSON, json.dumps(values).encode())

    def read(self, answer: Answer) -> Outcome:
        """Say what an answer means."""
        if answer.status in {200, 201}:
            return _accepted(answer)
        if answer.status == 503 and answer.json().get("taken") is False:
            return Deferred(0, "unreachable", "The gateway says that it cannot be reached.")
        outcome = by_status(answer)
        return _refused(outcome, answer) if isinstance(outcome, Rejected) else outcome

    def look_up(self, outgoing: Outgoing, since: datetime, *, bound: Collection[str] = ()) -> Sent | NotFound | Unknown:
        """Ask by our reference."""
        answer = self.caller.call(Request("GET", f"{self._url}/{quote(outgoing.reference, safe='')}", {}))
        if not isinstance(answer, Answer) or answer.status != 200:
            return Unknown("The look-up gave no answer.")
        if answer.json().get("taken") is False:
            return NotFound()
        return _accepted(answer)

    def fetch(self, reference: str) -> Report | Unknown:
        """Ask by the gateway's reference."""
        answer = self.caller.call(Request("GET", f"{self._states}/{quote(reference, safe='')}", {}))
        state: Any = answer.json().get("state") if isinstance(answer, Answer) and answer.status == 200 else None
        if state not in get_args(Ending):
            return Unknown("The gateway did not tell the state.")
        return Report(state=state, gateway_reference=reference)

    def verify(self, callback: Callback) -> Verdict:
        """Compare the HMAC of the body."""
        given = callback.headers.get(SIGNATURE, "")
        if not given or not self._secret:
            return Verdict.UNSIGNED
        expected = hmac.new(self._secret.encode(), callback.body, sha256).hexdigest()
        return verdict(same(given, f"sha256={expected}"))

    def reports(self, callback: Callback) -> list[Report]:
        """Read the one report of a callback."""
        values = json_object(callback.body)
        state: Any = values.get("state")
        reference = values.get("reference")
        if state not in get_args(Ending) or not isinstance(reference, str):
            return []
        gateway_reference = str(values.get("id") or "")
        return [
            Report(
                state=state,
                reference=reference,
                gateway_reference=gateway_reference,
                code=tidy(values.get("code"), 40),
                at=from_iso(values.get("time")),
            )
        ]

    def inbound(self, callback: Callback) -> Inbound | None:
        """Read the text that came in."""
        values = json_object(callback.body)
        sender, text = values.get("from"), values.get("text")
        if not isinstance(sender, str) or not isinstance(text, str):
            return None
        return Inbound(sender=sender, to=str(values.get("to") or ""), text=text, at=from_iso(values.get("time")))


def _accepted(answer: Answer) -> Sent | Unknown:
    values = answer.json()
    reference = values.get("reference")
    if not is_reference(reference):
        return Unknown(f"The gateway's answer has no reference (HTTP {answer.status}).")
    return Sent(str(reference), parts_of(values.get("segments")))


def _refused(outcome: Rejected, answer: Answer) -> Rejected:
    """The gateway's own code, reason and scope, where it gives them."""
    values = answer.json()
    scope = values.get("scope")
    if scope not in {"recipient", "account"}:
        scope = outcome.scope
    return Rejected(
        code=tidy(values.get("code"), 40) or outcome.code,
        reason=tidy(values.get("reason")) or outcome.reason,
        scope=scope,
        may_retry=scope == "account",
        opted_out=values.get("opted_out") is True,
    )
