"""Clearing up unknown recipients, and asking for reports that did not come."""

from typing import Protocol

from smsqueue.config import Settings
from smsqueue.domain.fetching import Fetching
from smsqueue.domain.jobs import FetchReportsJob, LookUpJob
from smsqueue.domain.looking_up import Clearing
from smsqueue.domain.resolving import Terms
from smsqueue.domain.senders import Senders
from smsqueue.queue.runner import Run, Snooze


class Services(Protocol):
    """What asking gateways needs."""

    settings: Settings

    @property
    def senders(self) -> Senders:
        """What knows the gateways."""
        ...


def unknown(job: LookUpJob, run: Run, *, services: Services) -> Snooze | None:
    """Clear up the unknown recipients of a campaign."""
    senders, terms = services.senders, Terms.of(services.settings)
    return Clearing(run, senders.gateways, terms, job.campaign_id, senders.traffic).work(once=job.once)


def reports(job: FetchReportsJob, run: Run, *, services: Services) -> Snooze | None:
    """Ask for the reports of a campaign that did not come."""
    return Fetching(run, services.senders.gateways, job.campaign_id).work()
