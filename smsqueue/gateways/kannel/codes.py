"""What smsbox answers, which are words and no codes, and the types of its reports."""

from smsqueue.gateways.base import Ending
from smsqueue.gateways.tables import Meaning, account, not_sent, our_bug, refused, unknown

TAKEN = {"0: Accepted for delivery", "3: Queued for later delivery"}
ANSWERS: dict[str, Meaning] = {
    "sent_at_once": unknown("The gateway has immediate-sendsms-reply set, so its answer tells nothing: unset it"),
    "queue_full": not_sent("The gateway's queue is full", after_seconds=10),
    "not_authorised": account("The gateway does not accept our name and password"),
    "not_found": account("There is no sendsms at KANNEL_URL"),
    "not_routable": refused("There is no route to this number, or the text was too old"),
    "denied": refused("The gateway's lists deny this number"),
    "no_receiver": refused("The gateway does not take this for a number"),
    "malformed": our_bug("The gateway does not understand the request"),
}
WORDS: tuple[tuple[int, str, str], ...] = (
    (202, "Sent.", "sent_at_once"),
    (403, "Authorization failed for sendsms", "not_authorised"),
    (403, "Not routable. Do not try again.", "not_routable"),
    (404, "", "not_found"),
    (400, "denied by white- and/or black-lists.", "denied"),
    (400, "Missing receiver", "no_receiver"),
    (400, "Empty receiver", "no_receiver"),
    (400, "misformed, rejected", "malformed"),
    (400, "Sender missing", "malformed"),
    (400, "Charset", "malformed"),
)
"""Status, a piece of the answer, and our name for it; the first that fits."""

QUEUE_FULL = "Temporal failure, try again later."

STATES: dict[str, Ending] = {
    "1": "delivered",
    "2": "undelivered",
    "4": "sent",
    "8": "sent",
    "16": "failed",
    "32": "sent",
    "34": "expired",
}


def name_of(status: int, words: str) -> str:
    """Name an answer; empty for one that is in no row."""
    if status == 503 and words == QUEUE_FULL:  # removed from its store; any other 5xx may be sent later
        return "queue_full"
    return next((name for code, piece, name in WORDS if code == status and piece in words), "")
