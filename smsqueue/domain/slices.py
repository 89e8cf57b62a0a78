"""What else happens to a slice when its job is given up, retried or cleared: one transaction with the job."""

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.db import table_of
from smsqueue.domain import completion, settlement, stopping
from smsqueue.domain.jobs import SendingJob
from smsqueue.models import Campaign, State, Status

campaigns = table_of(Campaign)
CLEARED = "Not sent: an operator cleared the queue."


class NotRetryable(SmsQueueError):
    """A failed sending job that has nothing to send again."""


def on_failed(session: Session, job: SendingJob, reason: str) -> None:
    """Fail and credit what the slice had still to send; close the campaign when it was the last."""
    campaign = session.get_one(Campaign, job.campaign_id)
    sentence = f"A part of the campaign was given up after its tries: {reason}"
    stopping.give_up(session, campaign, job.rows, sentence, now())
    completion.close(session, campaign.id)


def on_cleared(session: Session, job: SendingJob) -> None:
    """Credit what the cleared job would have sent; close the campaign when it was the last."""
    campaign = session.get_one(Campaign, job.campaign_id)
    if settlement.end_waiting(session, campaign, job.rows, State.CANCELLED, error=CLEARED):
        completion.close(session, campaign.id)  # safe here: the counters' UPDATE has locked the campaign's row


def on_retried(session: Session, job: SendingJob, validity_seconds: int) -> None:
    """Charge again exactly what was credited when the job failed, and reopen the campaign.

    Raises NotEnoughCredits (with the missing amount) or NotRetryable; then nothing is changed.
    """
    campaign = session.get_one(Campaign, job.campaign_id)
    count = settlement.charge_again(session, campaign, job.rows, user_id=campaign.user_id)
    if not count:
        raise NotRetryable(f"Nothing of campaign {campaign.uuid} is left to send again by this job: forget it.")
    values = {
        "status": Status.PROCESSING,
        "finished_at": None,
        "error": None,
        "gave_up": sa.case((campaigns.c.gave_up > 0, campaigns.c.gave_up - 1), else_=0),
        "valid_until": now() + timedelta(seconds=validity_seconds),
    }
    session.execute(sa.update(campaigns).where(campaigns.c.id == campaign.id).values(values))
