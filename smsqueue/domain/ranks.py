"""Where an attempt and its recipient stand, and where each may go from there: the one table of it.

The rank belongs to an attempt: whatever is told of it, and in whatever order, may only raise it. A recipient shows the
best of its attempts. Credits follow "taken or not": what leaves `HELD` or comes back to it is paid for or credited.
"""

from collections.abc import Iterable

from smsqueue.core.errors import SmsQueueError
from smsqueue.gateways.base import Ending
from smsqueue.models import State
from smsqueue.models.recipients import ACCEPTED, CREDITED, HELD

RANKS: dict[str, int] = {
    "rejected": 0,
    "deferred": 0,
    "sending": 1,
    "unknown": 2,
    "sent": 3,
    "undelivered": 4,
    "expired": 4,
    "cancelled": 4,
    "failed": 4,
    "delivered": 5,
}
"""Of an attempt, by what its call said (the first five) or a delivery report (from `sent` on)."""

MOVES: dict[str, frozenset[State]] = {
    # Accepted: a report of an earlier attempt. Unknown: nobody can tell of that one, and no other is made.
    State.QUEUED: frozenset((State.SENDING, State.UNKNOWN, *ACCEPTED, *CREDITED)),
    State.SENDING: frozenset((State.QUEUED, State.UNKNOWN, *ACCEPTED, *CREDITED)),
    State.UNKNOWN: frozenset((State.QUEUED, *ACCEPTED, *CREDITED)),
    State.SENT: frozenset((State.DELIVERED, State.UNDELIVERED, State.FAILED)),  # failed: the gateway did not bill
    State.UNDELIVERED: frozenset((State.DELIVERED,)),
    State.DELIVERED: frozenset(),
    # Sent to again, or taken after all, as a late report says.
    State.FAILED: frozenset((State.QUEUED, *ACCEPTED)),
    State.CANCELLED: frozenset((State.QUEUED, *ACCEPTED)),
    State.EXPIRED: frozenset((State.QUEUED, *ACCEPTED)),
    State.SUPPRESSED: frozenset(ACCEPTED),
}
"""Of a recipient: from each state, the states that may follow."""

_TOLD: dict[str, State] = {
    "sent": State.SENT,
    "delivered": State.DELIVERED,
    "undelivered": State.UNDELIVERED,
    "expired": State.UNDELIVERED,
    "cancelled": State.UNDELIVERED,
    "failed": State.FAILED,
}
_BEST = (State.FAILED, State.UNKNOWN, State.SENT, State.UNDELIVERED, State.DELIVERED)


class ImpossibleMove(SmsQueueError):
    """A recipient cannot go from the one state to the other: a bug, and nothing was changed."""


def check_move(source: str, target: str) -> None:
    """Raise ImpossibleMove unless a recipient may go from the one state to the other, or stays."""
    if source != target and target not in MOVES[source]:
        raise ImpossibleMove(f"a recipient cannot go from {source} to {target}")


def is_raised(outcome: str, reported: str | None, told: Ending) -> bool:
    """Say whether a report tells more of an attempt than is known already."""
    return RANKS[told] > max(RANKS[outcome], RANKS[reported] if reported else 0)


def outcome_after(outcome: str, told: Ending) -> str:
    """Name what an attempt's call came to, now that the gateway tells what became of the text."""
    if told != "failed":
        return "sent"
    return outcome if outcome == "sent" else "rejected"


def of_parts(states: Iterable[Ending], count: int) -> Ending:
    """Sum up the reports of a text's parts, each at its best: delivered when all are, else the worst.

    A part that was not billed does not give the whole text's credits back.
    """
    told = list(states)
    if count <= 1 and told:
        return told[0]
    if len(told) >= count and all(state == "delivered" for state in told):
        return "delivered"
    bad = {state for state in told if RANKS[state] == RANKS["undelivered"]}
    if not bad:
        return "sent"
    return "expired" if bad == {"expired"} else "undelivered"


def best(attempts: Iterable[tuple[str, str | None]]) -> State:
    """Say what the best of a recipient's attempts (outcome, highest report) makes of it.

    Failed: none was taken, or the gateway did not bill it. Unknown: nobody can tell yet.
    """
    return max((_standing(outcome, reported) for outcome, reported in attempts), key=_BEST.index)


def next_state(state: str, found: State) -> State | None:
    """Say where a recipient goes that is in this state, when its best attempt is `found`; None: it stays."""
    if found is State.UNKNOWN:
        return None
    if found is State.FAILED:
        return found if state in (State.SENDING, State.UNKNOWN, State.SENT) else None
    if state in HELD or state in CREDITED:
        return found
    return found if _BEST.index(found) > _BEST.index(State(state)) else None


def _standing(outcome: str, reported: str | None) -> State:
    if reported:
        return _TOLD[reported]
    if outcome == "sent":
        return State.SENT
    return State.UNKNOWN if outcome in ("sending", "unknown") else State.FAILED
