"""What else happens to a slice when its job is given up, retried or cleared: one transaction with the job."""

from datetime import datetime

from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain import completion, journal, options, settlement, stopping
from smsqueue.domain.jobs import SendingJob
from smsqueue.models import Campaign, State, Status

CLEARED = "Not sent: an operator cleared the queue."


class NotRetryable(SmsQueueError):
    """A failed sending job that has nothing to send again."""


def on_failed(session: Session, job: SendingJob, reason: str) -> None:
    """Fail and credit what the slice had still to send; close the campaign when it was the last."""
    campaign = session.get(Campaign, job.campaign_id)
    if campaign is not None:
        sentence = f"A part of the campaign was given up after its tries: {reason}"
        stopping.give_up(session, campaign, job.rows, sentence, now())
        completion.close(session, campaign.id)  # safe here: whoever changed a counter has locked the campaign's row


def on_cleared(session: Session, job: SendingJob) -> None:
    """Credit what the cleared job would have sent, leave nobody in the air, close the campaign when it was the last."""
    campaign = session.get(Campaign, job.campaign_id)
    if campaign is not None:
        journal.mark_crashed(session, campaign, job.rows, now())
        settlement.end_waiting(session, campaign, job.rows, State.CANCELLED, error=CLEARED)
        completion.close(session, campaign.id)


def on_retried(session: Session, job: SendingJob, validity_seconds: int) -> None:
    """Charge again exactly what was credited when the job failed, and reopen the campaign.

    Raises NotEnoughCredits (with the missing amount) or NotRetryable; then nothing is changed.
    """
    campaign = session.get(Campaign, job.campaign_id)
    if campaign is None or not settlement.charge_again(session, campaign, job.rows, user_id=campaign.user_id):
        raise NotRetryable(f"Nothing of campaign {job.campaign_id} is left to send again by this job.")
    campaign = completion.locked(session, campaign.id)
    if campaign.status == Status.CANCELLED:
        raise NotRetryable(f"Campaign {campaign.uuid} was cancelled: nothing of it is sent any more.")
    _run_again(campaign, now(), validity_seconds)


def _run_again(campaign: Campaign, at: datetime, validity_seconds: int) -> None:
    """Let a campaign go on; it has its time again if little is left, else what it has holds for this slice, too."""
    if campaign.status != Status.PAUSED:  # then it gets the time of its pause back
        if campaign.finished_at or options.is_short(campaign, at, validity_seconds):
            campaign.valid_until = options.valid_until(campaign, at, validity_seconds)
        campaign.status, campaign.started_at = Status.PROCESSING, campaign.started_at or at
    campaign.gave_up = max(campaign.gave_up - 1, 0)
    campaign.finished_at, campaign.is_end_told, campaign.error = None, False, None
