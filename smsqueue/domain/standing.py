"""What a campaign itself waits for: its time, a person who resumes it, or the first ten; said to its jobs."""

from datetime import datetime

from smsqueue.core import zones
from smsqueue.domain import first_ten
from smsqueue.domain.settlement import Rows
from smsqueue.models import Campaign, Status
from smsqueue.queue.runner import Snooze

SNOOZE_SECONDS = 10.0
"""So long a job that may not go on waits before it looks again; within a minute it is put on hold altogether."""


def hindrance(campaign: Campaign, rows: Rows, now: datetime) -> Snooze | None:
    """Say for how long a slice that holds these rows should rest, and why; None when the campaign does not mind."""
    if campaign.status == Status.PAUSED:
        return Snooze(SNOOZE_SECONDS, "the campaign is paused")
    if is_early(campaign, now):
        wait = (campaign.scheduled_for - now).total_seconds() if campaign.scheduled_for else SNOOZE_SECONDS
        return Snooze(wait, "the campaign is scheduled")
    if first_ten.holds(campaign, rows):
        return Snooze(SNOOZE_SECONDS, "the first ten are waited for")
    return None


def is_early(campaign: Campaign, now: datetime) -> bool:
    """Say whether a scheduled campaign's time is still to come."""
    return campaign.status == Status.SCHEDULED and campaign.scheduled_for is not None and campaign.scheduled_for > now


def moment(at: datetime, time_zone: str) -> str:
    """Write a time with its day and its zone spelled out: "Thursday, 26 Nov 2026, 14:00 in Europe/Paris (UTC+1)"."""
    try:
        zone = zones.find(time_zone or "UTC")
    except zones.NoSuchZone:
        zone = zones.find("UTC")  # it has left this machine's list since
    return f"{at.astimezone(zone):%A}, {zones.said(at, zone)}"
