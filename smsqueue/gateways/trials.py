"""What may be wrong with the way a gateway is set up, as sentences: pure, for the drill with one real text."""

from typing import assert_never

from smsqueue.gateways.base import Deferred, NotFound, Outcome, Rejected, Report, Sent, Traits, Unknown
from smsqueue.gateways.http import Answer

SETTINGS = {
    "simulated": "SIMULATED_URL",
    "twilio": "TWILIO_ACCOUNT_SID, TWILIO_AUTH_TOKEN, TWILIO_FROM",
    "vonage": "VONAGE_API_KEY, VONAGE_API_SECRET (or VONAGE_PRIVATE_KEY), VONAGE_FROM",
    "kannel": "KANNEL_URL, KANNEL_USERNAME, KANNEL_PASSWORD, KANNEL_FROM",
    "http": "HTTP_GATEWAY_FILE and the secrets that it names",
}
FORGED = {
    "simulated": "is the simulator's SIMULATED_CALLBACK_SECRET our SMS_CALLBACK_SECRET?",
    "twilio": "is TWILIO_AUTH_TOKEN the account's, and SMS_CALLBACK_BASE_URL exactly what Twilio calls?",
    "vonage": "are VONAGE_SIGNATURE_SECRET and VONAGE_SIGNATURE_METHOD those of the account?",
    "kannel": "has the web process the same SMS_CALLBACK_SECRET, and is smsbox among KANNEL_CALLBACK_ADDRESSES?",
    "http": "is the secret of [report] the gateway's, and are header, algorithm and prefix as it signs?",
}
UNSIGNED = {
    "simulated": "has the web process a SMS_CALLBACK_SECRET?",
    "twilio": "does a proxy drop the header X-Twilio-Signature?",
    "vonage": "switch the signing of webhooks on in the account",
    "kannel": "does a proxy cut the path of the address short?",
    "http": "does the gateway sign at all, and in the header that [report] names?",
}
SILENT = {
    "simulated": "start it with SIMULATED_CALLBACK_URL={url}/report and SIMULATED_CALLBACK_SECRET, as our own.",
    "twilio": "Twilio was told to call {url}/…: can that be reached from the internet?",
    "vonage": "set {url}/report as the address for delivery reports in the account.",
    "kannel": "smsbox was told to call {url}/…: can its machine reach that, and does the SMSC send reports?",
    "http": "was it told to call {url}/… by {{callback_url}}, or is {url}/report set in the account?",
}
UNDELIVERED = {"undelivered", "expired", "failed", "cancelled"}


def of_probe(answer: Answer | Deferred | Unknown, url: str, traits: Traits) -> str | None:
    """Say what is wrong with our own address, which was called without a signature; None: it refuses that."""
    if not isinstance(answer, Answer):
        why = answer.reason.rstrip(".")
        advice = "does its name point to this installation, is the web process running, is its certificate good?"
        return f"{url} cannot be reached from here ({why}): {advice}"
    status = answer.status
    if status in {401, 403, traits.unsigned_status}:
        return None
    if 200 <= status < 300:
        return f"{url} takes a report that nobody has signed (HTTP {status}): another program answers there."
    if 300 <= status < 400:
        return f"{url} redirects (HTTP {status}), which gateways do not follow: is SMS_CALLBACK_BASE_URL complete?"
    if status == 400:
        return f"{url} is refused (HTTP 400): is its host among TRUSTED_HOSTS?"
    if status == 404:
        return f"{url} is not there (HTTP 404): does the proxy hand /callbacks on to smsqueue?"
    return f"{url} answers HTTP {status}: is the web process running, and is there no maintenance?"


def of_outcome(outcome: Outcome, gateway: str) -> str | None:
    """Say what is wrong with the answer to the text; None: it was taken."""
    match outcome:
        case Sent():
            told = "took some parts of the text and refused others: try a shorter one."
            return f"{gateway} {told}" if outcome.is_partial else None
        case Rejected():
            return f"{gateway} refuses {_refused(outcome, gateway)}"
        case Deferred():
            return f"{gateway} {_deferred(outcome)}"
        case Unknown():
            return f"{gateway} may have taken the text or not: {outcome.reason} It is not sent again."
        case _:
            assert_never(outcome)


def _refused(outcome: Rejected, gateway: str) -> str:
    if outcome.scope == "account":
        return f"our account or sender ({outcome.code}): {outcome.reason} Look at {SETTINGS[gateway]}."
    if outcome.opted_out:
        return f"this number ({outcome.code}): it has opted out there. Write START from it to the sender."
    return f"this number or text ({outcome.code}): {outcome.reason}"


def _deferred(outcome: Deferred) -> str:
    if outcome.cause == "throttled":
        return f"wants fewer texts now: {outcome.reason} Try again in {max(1, outcome.after_seconds):g} s."
    return f"did not take the text: {outcome.reason} `flask sms gateway try` looks at name, port and certificate."


def of_report(state: str, code: str, reason: str, gateway: str) -> str | None:
    """Say what is wrong with what was reported; None: nothing."""
    if state not in UNDELIVERED:
        return None
    told = ", ".join(word for word in (code, reason) if word)
    return f"{gateway} reports that the text was not delivered: {state}{f' ({told})' if told else ''}."


def of_silence(refused: str, gateway: str, url: str, seconds: float) -> str:
    """Say why no report may have come; `refused` is what the web process has written of one that it did not believe."""
    if refused == "forged":
        return f"A report came to {url}, and its signature is wrong: {FORGED[gateway]}"
    if refused == "unsigned":
        return f"A report came to {url} without a signature: {UNSIGNED[gateway]}."
    return (
        f"No report came within {seconds:g} s: {SILENT[gateway].format(url=url)} "
        "If the web process writes its log elsewhere, look there for callback.refused."
    )


def of_look_up(found: Sent | NotFound | Unknown, sent: Outcome, gateway: str) -> str | None:
    """Say what is wrong with what the gateway knows of the attempt; None: it is as it was answered."""
    match found:
        case Sent() if isinstance(sent, Sent) and sent.reference and found.reference != sent.reference:
            return f"The look-up finds another text ({found.reference}) than the one that {gateway} took."
        case Sent():
            return None
        case NotFound():
            return None if not isinstance(sent, Sent) else f"The look-up does not find the text that {gateway} took."
        case Unknown():
            return f"The look-up gives no clear answer: {found.reason}"
        case _:
            assert_never(found)


def of_fetch(found: Report | Unknown) -> str | None:
    """Say what is wrong with asking by the gateway's reference; None: it answers."""
    return f"The state cannot be asked for: {found.reason}" if isinstance(found, Unknown) else None
