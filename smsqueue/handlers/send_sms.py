"""Sending a single SMS or a slice of a campaign: the same work, on one row or on many."""

from typing import Protocol

from smsqueue.domain.jobs import SendingJob
from smsqueue.domain.senders import Senders
from smsqueue.domain.sending import Limits, SliceRun
from smsqueue.queue.runner import Run, Snooze


class Services(Protocol):
    """What sending needs."""

    @property
    def senders(self) -> Senders:
        """The threads that call the gateway."""
        ...

    @property
    def limits(self) -> Limits:
        """How much a slice has in flight and for how long."""
        ...


def run(job: SendingJob, run: Run, *, services: Services) -> Snooze | None:
    """Send to those of the job's recipients who have not been sent to yet."""
    return SliceRun(run, services.senders, services.limits, job.campaign_id, job.rows).work()
