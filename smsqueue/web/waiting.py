"""Why nothing moves, in a few words for the person who waits; a few small queries, since a poll asks it."""

from dataclasses import dataclass

from flask import current_app
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain.surroundings import Place
from smsqueue.domain.why import of_campaign, of_queue
from smsqueue.models import Campaign, Status
from smsqueue.queue import explain
from smsqueue.web import maintenance


@dataclass(frozen=True, slots=True)
class Reason:
    """A sentence, and the command that helps, if one does."""

    said: str
    command: str | None


def why(session: Session, queue: str) -> Reason | None:
    """Say why no worker takes jobs of a queue; None when one does."""
    return _reason(of_queue(session, queue, maintenance.wishes()))


def why_campaign(session: Session, campaign: Campaign, place: Place | None = None) -> Reason | None:
    """Say why a campaign waits, by one query where its place in the line is known; None when it does not."""
    found = _reason(of_campaign(session, campaign, gateways(), now(), wishes=maintenance.wishes(), place=place))
    # Whoever sees the page of a paused one has the button.
    return Reason(found.said, None) if found and campaign.status == Status.PAUSED else found


def gateways() -> tuple[str, ...]:
    """Name the gateways in use."""
    return tuple(current_app.config["SETTINGS"].gateways_in_use)


def _reason(found: explain.Reason | None) -> Reason | None:
    return Reason(found.sentence, found.command) if found else None
