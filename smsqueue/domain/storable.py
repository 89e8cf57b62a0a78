"""What gateways say, made such that every database keeps it: one odd answer must not cost those that came with it."""

from dataclasses import replace
from typing import assert_never

from smsqueue.gateways.base import Deferred, Outcome, Rejected, Sent, Unknown

MOST_PARTS = 255
LONGEST_WAIT_SECONDS = 86_400


def clean(word: str, longest: int) -> str:
    """Cut a foreign word, and take out what no database keeps: NUL, and halves of letters."""
    return word.replace("\0", "").encode("utf-8", "replace").decode()[:longest]


def storable(said: Outcome) -> Outcome:
    """Return an outcome with clean words; a count or a wait that cannot be is as if it had not been told.

    Costs a microsecond or two, for each text. Raises for what is no outcome at all.
    """
    match said:
        case Sent(reference, parts, price, references, is_partial):
            parts = parts if parts is not None and 0 < parts <= MOST_PARTS else None
            all_ = tuple(clean(each, 100) for each in references)
            return Sent(clean(reference, 100), parts, price and clean(price, 30), all_, is_partial)
        case Rejected(code, reason):
            return replace(said, code=clean(code, 40), reason=clean(reason, 300))
        case Deferred(seconds, cause, reason):
            # "Not a number" is in no order with any.
            return Deferred(seconds if 0 <= seconds <= LONGEST_WAIT_SECONDS else 0, cause, clean(reason, 300))
        case Unknown(reason):
            return replace(said, reason=clean(reason, 300))
        case _:
            assert_never(said)
