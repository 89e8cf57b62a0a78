"""Why nothing moves, in a few words for the person who waits; one small query, since a poll asks it."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from smsqueue.queue import monitor
from smsqueue.queue.control import EVERY
from smsqueue.web import maintenance

NOBODY = "No worker is running that could do this. It goes on by itself as soon as the operator has started one:"
PAUSED = "This is paused, {words}. It goes on by itself as soon as that ends; until then an operator can end it:"


@dataclass(frozen=True, slots=True)
class Reason:
    """A sentence, and the command that helps."""

    said: str
    command: str


def why(session: Session, queue: str) -> Reason | None:
    """Say why no worker takes jobs of a queue; None when one does."""
    found = monitor.hindrance(session, queue, maintenance.wishes())
    if found is None:
        return None
    if found.wish is None:
        return Reason(NOBODY, "flask sms work --daemon")
    # Maintenance is no reason that a page could give: there is no page then.
    name = "all" if found.wish.queue == EVERY else found.wish.queue
    return Reason(PAUSED.format(words=found.wish.words()), f"flask sms resume {name}")
