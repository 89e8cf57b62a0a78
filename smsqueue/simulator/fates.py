"""What becomes of a message, by the last two digits of its number."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Answer(StrEnum):
    """What the caller gets to see."""

    ACCEPT = "accept"
    REFUSE = "refuse"
    THROTTLE = "throttle"
    UNREACHABLE = "unreachable"
    ERROR = "error"
    CUT = "cut"
    HANG = "hang"
    NONSENSE = "nonsense"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The gateway's own words for a number or an account that it will not serve."""

    status: int
    code: str
    reason: str
    scope: str = "recipient"
    opted_out: bool = False


@dataclass(frozen=True, slots=True)
class Fate:
    """One line of the table: is it taken, what is answered, what is reported later.

    `refused_first` is how many calls to the number are answered so before it is taken (`None` = all of them);
    `reports` are the states told later, in that order; `ends` is what the phone shows in the end.
    """

    name: str
    taken: bool = True
    answer: Answer = Answer.ACCEPT
    refusal: Refusal | None = None
    refused_first: int | None = None
    reports: tuple[str, ...] = ("sent", "delivered")
    ends: str = "delivered"
    replies: str | None = None


NORMAL: Final = Fate("normal")
DOWN: Final = Fate("down", taken=False, answer=Answer.UNREACHABLE)
THROTTLED: Final = Fate("throttled", taken=False, answer=Answer.THROTTLE)
ERROR: Final = Fate("error", taken=False, answer=Answer.ERROR)
CUT: Final = Fate("cut", taken=False, answer=Answer.CUT)
LOST_REPLY: Final = Fate("lost reply", answer=Answer.CUT)


def _refused(name: str, refusal: Refusal) -> Fate:
    return Fate(name, taken=False, answer=Answer.REFUSE, refusal=refusal)


TABLE: Final[dict[str, Fate]] = {
    "80": _refused("not a number", Refusal(400, "not_a_number", "This is not a phone number.")),
    "81": _refused("opted out", Refusal(400, "opted_out", "The recipient has opted out.", opted_out=True)),
    "82": _refused("landline", Refusal(400, "landline", "A landline cannot receive texts.")),
    "83": _refused("country off", Refusal(400, "country_off", "This country is switched off.")),
    "84": _refused("sender", Refusal(403, "sender_not_allowed", "This sender is not allowed.", scope="account")),
    "85": _refused("no credit", Refusal(402, "no_credit", "The account at the gateway is empty.", scope="account")),
    "86": Fate("429 always", taken=False, answer=Answer.THROTTLE),
    "87": Fate("429 twice", answer=Answer.THROTTLE, refused_first=2),
    "88": Fate("unreachable always", taken=False, answer=Answer.UNREACHABLE),
    "89": Fate("unreachable twice", answer=Answer.UNREACHABLE, refused_first=2),
    "90": Fate("taken and cut", answer=Answer.CUT),
    "91": Fate("taken and hanging", answer=Answer.HANG, reports=(), ends="sent"),
    "92": Fate("read and cut", taken=False, answer=Answer.CUT),
    "93": Fate("error 500", taken=False, answer=Answer.ERROR),
    "94": Fate("nonsense", answer=Answer.NONSENSE),
    "95": Fate("undelivered", reports=("sent", "undelivered"), ends="undelivered"),
    "96": Fate("expired", reports=("sent", "expired"), ends="expired"),
    "97": Fate("no report", reports=(), ends="sent"),
    "98": Fate("delivered before sent", reports=("delivered", "delivered", "sent", "sent")),
    "99": Fate("answers STOP", replies="STOP"),
}


def fate_of(number: str) -> Fate:
    """The fate of a number by its last two digits."""
    return TABLE.get(number[-2:], NORMAL)


def ends_of(name: str) -> str:
    """What becomes of a message in the end, by the name of its fate in the log."""
    return next((fate.ends for fate in TABLE.values() if fate.name == name), NORMAL.ends)


def is_taken(fate: Fate, attempt: int) -> bool:
    """Is this call, the attempt-th to its number, taken?"""
    return fate.taken and (fate.refused_first is None or attempt > fate.refused_first)


def answer_to(fate: Fate, attempt: int) -> Answer:
    """What this call is answered: "twice, then taken" answers normally from the third call on."""
    if fate.refused_first is not None and attempt > fate.refused_first:
        return Answer.ACCEPT
    return fate.answer
