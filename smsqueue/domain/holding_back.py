"""Who of a slice may not go now: it is night where they are, or the brake of their number holds them."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.phones import country_name
from smsqueue.db import changed
from smsqueue.domain import brake, hours, options
from smsqueue.domain.hours import Hours
from smsqueue.domain.settlement import LET_GO_NIGHT, Rows, in_rows, recipients, was_let_go
from smsqueue.models import Campaign, State

NIGHT = "hours"
"""The code of a recipient that waits for the sending hours of its country."""
NIGHTS = (NIGHT, LET_GO_NIGHT)


def hold_back(session: Session, campaign: Campaign, rows: Rows, now: datetime) -> datetime | None:
    """Put off the waiting recipients of these rows that may not go now; return when the next country closes.

    A slice has to end its stretch at that moment and ask again. Costs nothing without sending hours, and one look
    into an index where nothing else of the team went lately.
    """
    brake.hold(session, campaign, rows, now)
    limits = options.hours_of(campaign)
    if limits is None:
        return None
    closings = [
        _put_off(session, campaign, rows, limits, country=country, now=now) for country in campaign.countries or {}
    ]
    return min((moment for moment in closings if moment is not None), default=None)


def _put_off(
    session: Session, campaign: Campaign, rows: Rows, limits: Hours, *, country: str, now: datetime
) -> datetime | None:
    """Put off a country that is closed; of one that is open, return when it closes."""
    if hours.is_open(limits, country, now):
        return hours.closing(limits, country, now)
    opens = hours.opening(limits, country, now)
    until = brake.FOR_EVER if opens is None else opens
    early = sa.or_(recipients.c.not_before.is_(None), recipients.c.not_before < until)
    mine = (*in_rows(campaign.id, rows), recipients.c.state == State.QUEUED, recipients.c.country == country, early)
    error = f"It is night in {country_name(country)}: waits for {limits} there."
    code = sa.case((was_let_go, LET_GO_NIGHT), else_=NIGHT)
    late = sa.update(recipients).where(*mine).values(not_before=until, code=code, error=error, updated_at=now)
    changed(session, late)
    return None
