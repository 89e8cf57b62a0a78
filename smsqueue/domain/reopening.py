"""Sending again to some recipients of a campaign, ended or not: jobs for their rows, and the campaign runs."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.db import table_of
from smsqueue.domain import options, overlaps
from smsqueue.domain.jobs import SendBulkSmsJob, SendingJob, SendSingleSmsJob, campaign_tag
from smsqueue.domain.settlement import Rows
from smsqueue.models import Campaign, Kind, Status
from smsqueue.queue import holding
from smsqueue.queue.dispatch import enqueue_many
from smsqueue.queue.events import emit_once_committed

campaigns = table_of(Campaign)
STILL_OPEN = "This campaign was cancelled, and the last calls of it are not over: nothing is sent again before that."
ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


class StillOpen(SmsQueueError):
    """A cancelled campaign has open calls: reopened now, what these bring back would be sent in spite of the cancel."""


def reopen(
    session: Session, campaign: Campaign, rows: Iterable[int], *, slice_rows: int, validity_seconds: int | None
) -> int:
    """Queue jobs for these rows, which the caller has set back to queued; return how many jobs.

    An ended campaign runs again. A person's wish has `validity_seconds`: what waited too long has its time again, and
    the end is told anew when it comes. With None a rule wants it, which may be for each recipient at another time, and
    neither happens. Raises StillOpen for one that was cancelled and has not ended.
    """
    _refuse_half_cancelled(session, campaign)
    count = queue_again(session, campaign, rows, slice_rows=slice_rows)
    ended = campaigns.c.status.in_(ENDED)
    released = sa.func.coalesce(campaigns.c.released_at, now())
    # MariaDB sets one after the other, and asks the status as it is by then: so that one comes last.
    values: dict[str, Any] = {
        "reopened": campaigns.c.reopened + sa.case((ended, 1), else_=0),
        "gave_up": sa.case((ended, 0), else_=campaigns.c.gave_up),
        # Somebody wants these sent to: the first ten are not asked once more.
        "released_at": sa.case((ended, released), else_=campaigns.c.released_at),
        "error": sa.case((ended, sa.null()), else_=campaigns.c.error),
        "finished_at": None,
        "status": sa.case((ended, Status.PROCESSING), else_=campaigns.c.status),
    }
    if validity_seconds is not None:
        again = {"valid_until": options.valid_until(campaign, now(), validity_seconds), "is_end_told": False}
        values = {**again, **values}
    ordered = [(campaigns.c[name], value) for name, value in values.items()]
    session.execute(sa.update(campaigns).where(campaigns.c.id == campaign.id).ordered_values(*ordered))
    session.refresh(campaign)
    emit_once_committed(session, "campaign.reopened", campaign_id=campaign.id, jobs=count)
    return count


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


def _refuse_half_cancelled(session: Session, campaign: Campaign) -> None:
    # Asked with its row locked: it may be cancelled at this moment.
    mine = sa.select(Campaign).where(Campaign.id == campaign.id).with_for_update(key_share=True)
    campaign = session.scalars(mine.execution_options(populate_existing=True)).one()
    if campaign.status == Status.CANCELLED and campaign.finished_at is None:
        raise StillOpen(STILL_OPEN)


def _job(campaign: Campaign, rows: Rows) -> SendingJob:
    if campaign.kind == Kind.SINGLE:
        return SendSingleSmsJob(campaign_id=campaign.id)
    return SendBulkSmsJob(campaign_id=campaign.id, first_row=rows[0], last_row=rows[1])
