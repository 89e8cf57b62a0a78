"""The gateway of the simulator: demo, tests and drills."""

import re

from smsqueue.gateways.base import Deferred, GatewayOptions, Outcome, Outgoing, Rejected, Sent, Unknown
from smsqueue.gateways.http import Answer, HttpCaller, by_status, tidy

REFERENCE = re.compile(r"[!-~]{1,100}")


class SimulatedGateway:
    """Talks to `flask sms simulator`. One of its 5xx is surely not taken: 503 that says so."""

    name = "simulated"

    def __init__(self, options: GatewayOptions) -> None:
        self.connect_seconds = options.connect_seconds
        self.read_seconds = options.read_seconds
        self._caller = HttpCaller(
            f"{options.simulated_url.rstrip('/')}/messages",
            concurrency=options.concurrency,
            connect_seconds=options.connect_seconds,
            read_seconds=options.read_seconds,
        )

    def send(self, outgoing: Outgoing) -> Outcome:
        """Hand over one text."""
        answer = self._caller.post(
            {
                "reference": outgoing.reference,
                "to": outgoing.to,
                "text": outgoing.text,
                "sender": outgoing.sender,
                "encoding": outgoing.encoding,
                "segments": outgoing.segments,
                "validity_seconds": outgoing.validity_seconds,
            }
        )
        return _outcome(answer) if isinstance(answer, Answer) else answer

    def close(self) -> None:
        """Close all connections."""
        self._caller.close()


def _outcome(answer: Answer) -> Outcome:
    if answer.status in {200, 201}:
        return _accepted(answer)
    if answer.status == 503 and answer.json().get("taken") is False:
        return Deferred(0, "unreachable", "The gateway says that it cannot be reached.")
    outcome = by_status(answer)
    return _refused(outcome, answer) if isinstance(outcome, Rejected) else outcome


def _accepted(answer: Answer) -> Sent | Unknown:
    values = answer.json()
    reference, segments = values.get("reference"), values.get("segments")
    if not isinstance(reference, str) or not REFERENCE.fullmatch(reference):
        return Unknown(f"The gateway's answer has no reference (HTTP {answer.status}).")
    return Sent(reference, segments if type(segments) is int and 0 < segments < 256 else None)


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
