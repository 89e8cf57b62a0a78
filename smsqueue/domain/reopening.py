"""Sending again to some recipients of a campaign, ended or not: jobs for their rows, and the campaign runs."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain import completion, notices, options, overlaps
from smsqueue.domain.jobs import SendBulkSmsJob, SendingJob, SendSingleSmsJob, campaign_tag
from smsqueue.domain.settlement import Rows
from smsqueue.models import Campaign, Kind, Status
from smsqueue.queue import holding
from smsqueue.queue.dispatch import enqueue_many
from smsqueue.queue.events import emit_once_committed

STILL_OPEN = "This campaign was cancelled, and the last calls of it are not over: nothing is sent again before that."
GIVEN_UP = "A part of it was given up before it was cancelled."
ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class StillOpen(SmsQueueError):
    """A cancelled campaign has open calls: reopened now, what these bring back would be sent in spite of the cancel."""


def reopen(
    session: Session, campaign: Campaign, rows: Iterable[int], *, slice_rows: int, validity_seconds: int | None
) -> int:
    """Queue jobs for these rows, which the caller has set back to queued; return how many jobs.

    An ended campaign runs again; why it had failed, if it did, it keeps, that it was cancelled it does not. A person's
    wish has `validity_seconds`: where little of it is left, the campaign has its time again. With None a rule wants it,
    and nothing does. Raises StillOpen for one that was cancelled and has not ended.
    """
    mine = completion.locked(session, campaign.id)  # it may be cancelled at this moment
    if mine.status == Status.CANCELLED and mine.finished_at is None:
        raise StillOpen(STILL_OPEN)
    count = queue_again(session, mine, rows, slice_rows=slice_rows)
    mine.started_at = mine.started_at or now()
    mine.finished_at = None
    if validity_seconds is not None and _needs_time(mine, now(), validity_seconds):
        mine.valid_until = options.valid_until(mine, now(), validity_seconds)
    if mine.status == Status.CANCELLED:
        mine.error = GIVEN_UP if mine.gave_up else None
    if mine.status in ENDED:
        mine.reopened += 1
        # Somebody wants these sent to: the first ten are not asked once more.
        mine.released_at = mine.released_at or now()
        mine.status = Status.PROCESSING
    session.flush()  # the counters are written by an UPDATE of their own
    emit_once_committed(session, "campaign.reopened", campaign_id=campaign.id, jobs=count)
    return count


def tell_anew(session: Session, campaign_id: int) -> None:
    """Have a campaign's end told once more, since a person wanted some of it sent again: when it comes, or it came."""
    campaign = completion.locked(session, campaign_id)
    campaign.is_end_told = campaign.finished_at is not None
    if campaign.is_end_told:
        notices.tell_of_ending(session, campaign)
    session.flush()


def is_over(campaign: Campaign, now: datetime) -> bool:
    """Say whether a campaign's texts are not valid any more; while it is paused they are: it gets that time back."""
    return campaign.status != Status.PAUSED and campaign.valid_until is not None and now >= campaign.valid_until


def _needs_time(campaign: Campaign, now: datetime, validity_seconds: int) -> bool:
    """Say whether a campaign has too little time for what a person sends again; a paused one gets its time back."""
    if campaign.status == Status.PAUSED:
        return False
    return campaign.status in ENDED or options.is_short(campaign, now, validity_seconds)


def queue_again(session: Session, campaign: Campaign, rows: Iterable[int], *, slice_rows: int) -> int:
    """Queue jobs for these rows of a campaign that still runs, which the caller has set back to queued."""
    jobs = [_job(campaign, chunk) for chunk in ranges(sorted(rows), slice_rows)]
    return enqueue_many(session, jobs, group=str(campaign.team_id))


def look_again(session: Session, campaign: Campaign, rows: Sequence[int], *, slice_rows: int = 500) -> None:
    """Have these queued rows of a campaign that still runs looked at: by jobs that wait for them anyway, or new ones.

    While it is paused they wait for whoever resumes it, as all others do.
    """
    waiting = overlaps.looked_after(session, campaign, rows)
    if waiting and campaign.status != Status.PAUSED:
        holding.let_go(session, campaign_tag(campaign.id), ids=sorted(set(waiting.values())))
    queue_again(session, campaign, [row for row in rows if row not in waiting], slice_rows=slice_rows)


def ranges(rows: list[int], most: int) -> Iterator[Rows]:
    """Cut rows into stretches of at most `most` rows from first to last; rows in between that ended do no harm."""
    first: int | None = None
    last = 0
    for row in rows:
        if first is not None and row - first >= most:
            yield first, last
            first = None
        first = row if first is None else first
        last = row
    if first is not None:
        yield first, last


def _job(campaign: Campaign, rows: Rows) -> SendingJob:
    if campaign.kind == Kind.SINGLE:
        return SendSingleSmsJob(campaign_id=campaign.id)
    return SendBulkSmsJob(campaign_id=campaign.id, first_row=rows[0], last_row=rows[1])
