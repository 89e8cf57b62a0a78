"""How far a campaign is: the numbers of the page's poll, the command and JSON."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from smsqueue.models import Campaign, Status

ENOUGH_SECONDS = 2
"""A rate measured for less says nothing."""
YOUNG_SECONDS = 120
"""Within so long nothing can have been at rest for long."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a campaign goes: recipients a minute, and seconds left; None while that cannot be told."""

    rate: float | None
    eta_seconds: int | None


def summary(campaign: Campaign) -> dict[str, Any]:
    """Return a campaign as `flask sms campaign show --json` gives it; times as ISO 8601 or None."""
    return {
        "id": str(campaign.uuid),
        "status": campaign.status,
        "error": campaign.error,
        "total": campaign.total,
        "counts": campaign.counts,
        "credits": {"charged": campaign.charged, "returned": campaign.returned, "held": campaign.held},
        "started_at": _iso(campaign.started_at),
        "finished_at": _iso(campaign.finished_at),
    }


def pace(campaign: Campaign, now: datetime, *, is_moving: bool = True, lately: float | None = None) -> Pace:
    """Measure the rate, and from it the time left; while nothing can be sent there is neither.

    It is that since the start, unless what was tried `lately` (recipients a second) tells that there was a time in
    which nothing could be sent, or the campaign runs again: then it is this. One that has ended again has none.
    """
    if campaign.started_at is None or not campaign.done:
        return Pace(None, None)
    if campaign.finished_at is None and not (is_moving and campaign.status == Status.PROCESSING):
        return Pace(None, None)
    seconds = ((campaign.finished_at or now) - campaign.started_at).total_seconds()
    if seconds < ENOUGH_SECONDS and not campaign.finished_at:
        return Pace(None, None)
    rate = campaign.done / max(seconds, 0.001)
    if campaign.finished_at:
        return Pace(None if campaign.reopened else 60 * rate, None)
    if campaign.reopened or (lately is not None and seconds > YOUNG_SECONDS and not 0.5 < lately / rate < 2):
        rate = lately or 0.0
    return Pace(60 * rate, round((campaign.total - campaign.done) / rate)) if rate else Pace(None, None)


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
