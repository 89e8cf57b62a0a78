"""What a campaign itself waits for: its time, a person who resumes it, or the first ten. In words, and for its jobs."""

from datetime import datetime, timedelta

from smsqueue.core import zones
from smsqueue.domain import first_ten
from smsqueue.domain.settlement import Rows
from smsqueue.models import Campaign, Status
from smsqueue.queue.runner import Snooze

SNOOZE_SECONDS = 10.0
"""So long a job that may not go on waits before it looks again; within a minute it is put on hold altogether."""
PATIENCE = timedelta(seconds=60)
"""After so long the first ten should have been answered."""


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


def sentence(campaign: Campaign, now: datetime) -> str | None:
    """Say what a campaign itself waits for, since when, and who can end that; None when it does not wait."""
    if campaign.status == Status.PAUSED:
        return _paused(campaign)
    if campaign.status == Status.SCHEDULED and campaign.scheduled_for:
        return f"It starts by itself on {moment(campaign.scheduled_for, campaign.time_zone)}."
    if first_ten.is_waiting(campaign):
        return _first_ten(campaign, now)
    return None


def moment(at: datetime, time_zone: str) -> str:
    """Write a time with its day and its zone spelled out: "Thursday, 26 Nov 2026, 14:00 in Europe/Paris (UTC+1)"."""
    try:
        zone = zones.find(time_zone or "UTC")
    except zones.NoSuchZone:
        zone = zones.find("UTC")  # it has left this machine's list since
    return f"{at.astimezone(zone):%A}, {zones.said(at, zone)}"


def _paused(campaign: Campaign) -> str:
    since = f" since {campaign.paused_at:%-d %b, %H:%M} UTC" if campaign.paused_at else ""
    return f"Paused{since}: nothing is sent until somebody resumes it. What it had left of its validity stays."


def _first_ten(campaign: Campaign, now: datetime) -> str:
    rest = f"{campaign.total - first_ten.FIRST:,}"
    began = campaign.started_at
    if began is None or now - began < PATIENCE:
        return f"The first {first_ten.FIRST} go alone; the other {rest} wait for the answers to them."
    minutes = round((now - began).total_seconds() / 60)
    return (
        f"After {minutes:,} min the gateway's answers to the first {first_ten.FIRST} are not enough to go on, so the "
        f"other {rest} wait and are not sent by themselves: somebody can send the rest, or cancel."
    )
