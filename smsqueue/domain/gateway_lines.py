"""How each gateway is at this moment, for the queue's page and for the command line."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain import breaker, pace
from smsqueue.domain.breaker import Standing
from smsqueue.domain.traffic import rate_of


@dataclass(frozen=True, slots=True)
class GatewayLine:
    """One gateway's state, since when and why; what throttling has lowered its rate to."""

    name: str
    state: str
    """working, unreachable or paused."""
    since: datetime | None
    why: str | None
    lowered_to: float | None
    """Segments a second; None: as the settings say."""


def lines(session: Session, names: Iterable[str]) -> list[GatewayLine]:
    """Return how these gateways are, and any other of which there is something to say."""
    standings = breaker.read(session)
    columns = (pace.rates.c.name, pace.rates.c.per_second, pace.rates.c.throttled_at)
    lowered = {row.name: row for row in session.execute(sa.select(*columns).where(columns[2].isnot(None)))}
    found = []
    for name in dict.fromkeys((*names, *(each.name for each in standings.values() if each.words))):
        row = lowered.get(rate_of(name))
        seconds = (now() - row.throttled_at).total_seconds() if row else 0.0
        rate = pace.now_at(row.per_second, max(0.0, seconds), None) if row else None
        found.append(_line(standings.get(name) or Standing(name), rate))
    return found


def _line(standing: Standing, lowered_to: float | None) -> GatewayLine:
    if standing.paused_at:
        return GatewayLine(standing.name, "paused", standing.paused_at, standing.paused_by, lowered_to)
    if standing.opened_at:
        return GatewayLine(standing.name, "unreachable", standing.opened_at, standing.reason, lowered_to)
    return GatewayLine(standing.name, "working", None, None, lowered_to)
