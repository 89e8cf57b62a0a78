"""Who may be asked about by the same text again: it is a text like any other, as far as gateway and pace know."""

from collections import defaultdict
from collections.abc import Sequence

from sqlalchemy.orm import Session

from smsqueue.domain import pace
from smsqueue.domain.questions import Question
from smsqueue.domain.resolving import today
from smsqueue.domain.traffic import Traffic, Wish
from smsqueue.domain.turns import THREADS


def let_through(session: Session, traffic: Traffic, wanted: Sequence[Question]) -> list[Question]:
    """Return those that may go out now, and take what the gateway's and the sender's pace has for them.

    Nothing goes to a gateway that is paused, or that cannot be reached.
    """
    traffic.look(session)
    by_line: dict[tuple[str, str], list[Question]] = defaultdict(list)
    for question in wanted:
        if traffic.standing(question.gateway).words is None:
            by_line[question.gateway, question.outgoing.sender].append(question)
    found: list[Question] = []
    for (gateway, sender), theirs in sorted(by_line.items()):
        wish = Wish(len(theirs), THREADS, sender, pace.BULK_AHEAD_SECONDS)
        granted = traffic.let_in(session, gateway, wish, today(session))
        passing = _within(theirs[: granted.room], granted.segments)
        pace.take(session, granted.buckets, sum(question.outgoing.segments for question in passing))
        found += passing
    return found


def _within(wanted: Sequence[Question], segments: int | None) -> list[Question]:
    """Take as many, in their order, as there are segments for; the first may take more than there are."""
    found: list[Question] = []
    left = segments
    for question in wanted:
        if left is not None and left <= 0:
            break
        found.append(question)
        left = None if left is None else left - question.outgoing.segments
    return found
