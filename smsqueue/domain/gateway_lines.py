"""How each gateway is at this moment, for the queue's page and for the command line."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain import breaker, pace
from smsqueue.domain.breaker import Standing
from smsqueue.domain.traffic import rate_of
from smsqueue.queue.monitor import QueueStatus


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


def judge(session: Session, status: QueueStatus, names: Collection[str]) -> QueueStatus:
    """Say in the head line which of the gateways in use takes nothing, where the queues have nothing worse to say."""
    standings = breaker.read(session)
    shut = [each for name in names if (each := standings.get(name)) and each.words]
    if not shut or not status.healthy or status.maintenance:
        return status
    first = min(shut, key=lambda each: each.paused_at is not None)
    by_hand = first.paused_at is not None and not (first.paused_by or "").startswith(f"{breaker.US}: ")
    if by_hand and status.pauses:
        return status
    word, verb = ("Paused" if by_hand else "Stopped", "resume") if first.paused_at else ("Slow", "show")
    headline = f"{word}: {(first.words or '').replace('Gateway', 'gateway', 1)}"
    return replace(status, healthy=by_hand, headline=headline, advice=f"flask sms gateway {verb} {first.name}")


def _line(standing: Standing, lowered_to: float | None) -> GatewayLine:
    if standing.paused_at:
        return GatewayLine(standing.name, "paused", standing.paused_at, standing.paused_by, lowered_to)
    if standing.opened_at:
        return GatewayLine(standing.name, "unreachable", standing.opened_at, standing.reason, lowered_to)
    return GatewayLine(standing.name, "working", None, None, lowered_to)
