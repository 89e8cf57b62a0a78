"""Do what the declaration says. What fits none of its conditions is unknown."""

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any, get_args

from smsqueue.config import Settings
from smsqueue.declaration import BadDeclaration, read
from smsqueue.declaration.parts import Call, Declaration, Listener, Question
from smsqueue.gateways.adapter import HttpAdapter, is_reference
from smsqueue.gateways.base import (
    BadGateway,
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
from smsqueue.gateways.callbacks import INBOUND, Address, from_iso, from_unix, plus
from smsqueue.gateways.declared import hearing
from smsqueue.gateways.declared.reading import Seen, word_at
from smsqueue.gateways.declared.writing import fill, values_of, write
from smsqueue.gateways.http import Answer, Request, by_status, tidy

STRANGE = "The gateway's answer fits no condition of its declaration"


class DeclaredGateway(HttpAdapter):
    """Follows HTTP_GATEWAY_FILE."""

    name = "http"

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.declaration = _read(settings)
        self._secrets = {f"secret.{name}": value for name, value in settings.http_gateway_secrets.items()}
        self._address = Address.of(settings, self.name)
        declared = self.declaration
        self.traits = Traits(
            is_idempotent=bool(declared.request.idempotency_header),
            look_up="our reference" if declared.look_up else "none",
            trusts_not_found=bool(declared.look_up and declared.look_up.not_found),
            fetch="the gateway's reference" if declared.fetch else "none",
            safe_5xx="those declared as throttled, not_sent or refused",
            tells_wait="as declared" if declared.retry_after.path or declared.retry_after.header else "no",
            max_per_second=declared.max_per_second,
            has_reports=declared.report is not None,
            reports_name_ours=declared.report is None or _names_ours(declared.report, declared.request),
            has_inbound=declared.inbound is not None,
            answer_status=declared.report.answer_status if declared.report else 204,
        )

    def request(self, outgoing: Outgoing) -> Request | Rejected:
        """Write the one request of a text."""
        return self._written(self.declaration.request, outgoing)

    def read(self, answer: Answer) -> Outcome:
        """Say what an answer means: the first condition that fits."""
        declared, seen = self.declaration, Seen(answer)
        if seen.fits(declared.throttled):
            return Deferred(seen.wait(declared.retry_after), "throttled", "The gateway asks for fewer messages.")
        if seen.fits(declared.not_sent):
            return Deferred(seen.wait(declared.retry_after), "unreachable", "The gateway did not take the message.")
        code = seen.word(declared.code)[:40] or f"http_{answer.status}"
        reason = seen.word(declared.reason) or f"The gateway refuses the message (HTTP {answer.status})."
        if seen.fits(declared.opted_out):
            return Rejected(code, reason, opted_out=True)
        if seen.fits(declared.refused_account):
            return Rejected(code, reason, "account", may_retry=True)
        if seen.fits(declared.refused):
            return Rejected(code, reason)
        reference = seen.reference(declared.reference)
        if seen.fits(declared.accepted) and is_reference(reference):
            return Sent(reference)
        if 300 <= answer.status < 400:  # the address must be wrong
            return by_status(answer)
        return Unknown(f"{STRANGE} (HTTP {answer.status}).")

    def look_up(self, outgoing: Outgoing, since: datetime, *, bound: Collection[str] = ()) -> Sent | NotFound | Unknown:
        """Ask by our reference, where that is declared."""
        question = self.declaration.look_up
        seen = self._asked(question, outgoing)
        if question is None or seen is None:
            return Unknown("The look-up gave no answer.")
        if seen.fits(question.not_found):
            return NotFound()
        reference = seen.reference(question.reference)
        return Sent(reference if is_reference(reference) else "") if seen.fits(question.found) else Unknown(STRANGE)

    def fetch(self, reference: str) -> Report | Unknown:
        """Ask by the gateway's reference, where that is declared."""
        question = self.declaration.fetch
        seen = self._asked(question, Outgoing(reference, "", "", "gsm-7", 1, "", 0))
        if question is None or seen is None or not seen.fits(question.found):
            return Unknown("The gateway did not tell the state.")
        states = self.declaration.report.states if self.declaration.report else {}
        word = seen.word(question.status)
        state: Any = states.get(word, word)
        return Report(state=state, gateway_reference=reference) if state in get_args(Ending) else Unknown(STRANGE)

    def verify(self, callback: Callback) -> Verdict:
        """Check a callback as declared."""
        listener = self._listener(callback)
        if listener is None or self._address is None:
            return Verdict.UNSIGNED
        filled = replace(listener, user=fill(listener.user, self._secrets), secret=fill(listener.secret, self._secrets))
        return hearing.verify(filled, callback, self._address)

    def reports(self, callback: Callback) -> list[Report]:
        """Read the one report of a callback."""
        listener = self.declaration.report
        if listener is None or callback.reference == INBOUND:
            return []
        values = hearing.values_of(callback)
        word = word_at(values, listener.paths, "status")
        state: Any = listener.states.get(word)
        if state is None or self._address is None:
            return []
        # Whoever signs the body only may have been overheard, and called again at another text's address.
        is_proven = self._address.verify(callback) is Verdict.GENUINE
        return [_report(listener, values, callback.reference if is_proven else "", state)]

    def inbound(self, callback: Callback) -> Inbound | None:
        """Read the text that came in."""
        listener = self.declaration.inbound
        if listener is None or callback.reference != INBOUND:
            return None
        values = hearing.values_of(callback)
        words = {name: word_at(values, listener.paths, name) for name in listener.paths}
        if not words["from"]:
            return None
        return Inbound(
            sender=plus(words["from"]),
            to=plus(words["to"]),
            text=words["text"],
            gateway_reference=words["gateway_reference"],
            at=from_iso(words["time"]) or from_unix(words["time"]),
        )

    def answer(self, callback: Callback) -> tuple[int, str]:
        """Give the declared answer to a report, or to a text that came in."""
        listener = self._listener(callback) or Listener()
        return listener.answer_status, listener.answer_body

    def _listener(self, callback: Callback) -> Listener | None:
        return self.declaration.inbound if callback.reference == INBOUND else self.declaration.report

    def _written(self, call: Call, outgoing: Outgoing) -> Request | Rejected:
        url = self._address.url_with_token(outgoing.reference) if self._address else ""
        return write(call, values_of(outgoing, url, self.declaration.encodings) | self._secrets)

    def _asked(self, question: Question | None, outgoing: Outgoing) -> Seen | None:
        request = self._written(question.call, outgoing) if question else None
        answer = self.caller.call(request) if isinstance(request, Request) else None
        return Seen(answer) if isinstance(answer, Answer) else None


def _names_ours(listener: Listener, request: Call) -> bool:
    """Say whether our reference comes back, in a report or in the address that it is told to."""
    is_told = listener.signature != "token" and bool(listener.paths.get("reference"))
    return is_told or "{callback_url}" in repr(request)


def _report(listener: Listener, values: Any, reference: str, state: Any) -> Report:
    words = {name: word_at(values, listener.paths, name) for name in listener.paths}
    # A token vouches for the reference in the path, and for no other.
    theirs = "" if listener.signature == "token" else words["reference"]
    return Report(
        state=state,
        reference=theirs or reference,
        gateway_reference=words["gateway_reference"],
        code=tidy(words["code"], 40),
        at=from_iso(words["time"]) or from_unix(words["time"]),
    )


def _read(settings: Settings) -> Declaration:
    path = settings.http_gateway_file
    if path is None:
        raise BadGateway("HTTP_GATEWAY_FILE (not set) is needed by SMS_GATEWAY=http")
    try:
        return read(path, settings.http_gateway_secrets, settings.http_gateway_plain_hosts)
    except BadDeclaration as error:
        raise BadGateway("\n".join(f"HTTP_GATEWAY_FILE ({path}) {each}" for each in error.problems)) from error
