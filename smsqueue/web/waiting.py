"""Why nothing moves, for the person who waits; a few small queries, since a poll asks it."""

from collections.abc import Sequence

from flask import current_app
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain import why
from smsqueue.domain.surroundings import Place
from smsqueue.models import Campaign
from smsqueue.queue.explain import Reason
from smsqueue.web import maintenance


def why_check(session: Session, campaign: Campaign) -> Reason | None:
    """Say why nobody checks the rows of a draft; None when somebody does."""
    return why.of_queue(session, "default", campaign.created_at, maintenance.wishes())


def why_campaign(session: Session, campaign: Campaign, place: Place) -> Reason | None:
    """Say why a campaign waits, by one query; None when it does not."""
    return why.of_campaign(session, campaign, gateways(), now(), wishes=maintenance.wishes(), place=place)


def why_campaigns(session: Session, campaigns: Sequence[Campaign]) -> dict[int, Reason]:
    """Say by id why campaigns wait, by two queries."""
    return why.of_campaigns(session, campaigns, gateways(), now(), wishes=maintenance.wishes())


def gateways() -> tuple[str, ...]:
    """Name the gateways in use."""
    return tuple(current_app.config["SETTINGS"].gateways_in_use)
