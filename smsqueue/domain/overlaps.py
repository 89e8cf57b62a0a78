"""Several jobs of a campaign may have the same rows: whose an open call is, and who will look at a row again."""

import json
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
from smsqueue.domain.jobs import campaign_tag
from smsqueue.domain.settlement import Rows, in_rows, recipients
from smsqueue.models import Attempt, Campaign, State
from smsqueue.queue.dialects import locking
from smsqueue.queue.dispatch import jobs
from smsqueue.queue.runner import Snooze

attempts = table_of(Attempt)
CALLS_SECONDS = 2.0
"""So often a job looks whether the calls of another one have ended."""
_of_campaign = jobs.c.tag == sa.bindparam("of")
_held = sa.select(jobs.c.id, jobs.c.payload, jobs.c.claim_token).where(_of_campaign, jobs.c.worker_id.isnot(None))
_waiting = sa.select(jobs.c.id, jobs.c.payload).where(_of_campaign, jobs.c.reserved_at.is_(None)).order_by(jobs.c.id)


def on_their_way(session: Session, campaign: Campaign, rows: Mapping[int, int], but: int | None) -> set[int]:
    """Name those of these recipients (id: row), being sent to, whose call a job in some worker's hands answers for.

    It has begun the call itself, and the row is one of its own: jobs that were claimed together have the same token.
    `but` is the job that asks.
    """
    held = session.execute(_held, {"of": campaign_tag(campaign.id)}).all()
    theirs = [(job.claim_token, _rows(job.payload)) for job in held if job.id != but]
    if not theirs:
        return set()
    open_ones = (attempts.c.recipient_id.in_(list(rows)), attempts.c.outcome == "sending")
    calls = session.execute(sa.select(attempts.c.recipient_id, attempts.c.claim_token).where(*open_ones)).all()
    return {
        call.recipient_id
        for call in calls
        if any(call.claim_token == token and _has(mine, rows[call.recipient_id]) for token, mine in theirs)
    }


def wait_for_calls(session: Session, campaign: Campaign, rows: Rows) -> Snooze | None:
    """Say when to look again at rows of which nobody waits; None when no call of another job is open either."""
    open_one = sa.select(recipients.c.id).where(*in_rows(campaign.id, rows), recipients.c.state == State.SENDING)
    if session.execute(open_one.limit(1)).first() is None:
        return None
    return Snooze(CALLS_SECONDS, "another job of the campaign waits for answers about the same rows")


def looked_after(session: Session, campaign: Campaign, rows: Collection[int]) -> dict[int, int]:
    """Return those of these rows that a waiting job will look at, with its id; it is locked, so not before the commit.

    A job in some worker's hands may be past a row already.
    """
    statement = locking(_waiting, session.get_bind().dialect)
    found: Sequence[Any] = session.execute(statement, {"of": campaign_tag(campaign.id)}).all()
    ordered, waiting = sorted(rows), dict[int, int]()
    for job in found:
        first, last = _rows(job.payload)
        theirs = ordered[bisect_left(ordered, first) : bisect_right(ordered, last)]
        waiting |= dict.fromkeys(theirs, job.id)
    return waiting


def _has(rows: Rows, row: int) -> bool:
    return rows[0] <= row <= rows[1]


def _rows(payload: str) -> Rows:
    data: dict[str, Any] = json.loads(payload)["data"]
    return int(data.get("first_row", 1)), int(data.get("last_row", 1))
