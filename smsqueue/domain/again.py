"""Sending again after the end: to those who were surely not accepted, or the whole campaign as a new draft."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.db import table_of
from smsqueue.domain import campaigns, completion, credits, first_ten, limits, optouts, reopening, resolving
from smsqueue.domain.campaigns import OwnerDisabled, Terms
from smsqueue.domain.counting import Changes
from smsqueue.domain.jobs import campaign_tag
from smsqueue.domain.paying import TAKEN_LATE
from smsqueue.models import Attempt, Campaign, Recipient, State, Status, Team, User
from smsqueue.queue.events import emit_once_committed
from smsqueue.queue.models import FailedJob

recipients, attempts = table_of(Recipient), table_of(Attempt)
RETRYABLE = (Status.PROCESSING, Status.COMPLETED, Status.FAILED)
FOR_GOOD = (TAKEN_LATE, resolving.COUNTED_NOT_SENT, optouts.CODE)
"""Codes of recipients who may have got the text, or want none."""
CHUNK = 1000
FEW = 5000
"""So many are looked at one by one for a page; more only when somebody asks."""


class NothingToRetry(SmsQueueError):
    """No recipient of the campaign was surely not accepted for a cause that may pass."""


class OfferChanged(SmsQueueError):
    """The retry would send to others, or cost another amount, than was shown."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a retry would send, and for how much."""

    count: int
    price: int


def offer(session: Session, campaign: Campaign) -> Offer | None:
    """Say what a retry of the campaign's failed recipients would send; None when there is nothing to retry."""
    if campaign.status not in RETRYABLE or not campaign.failed + campaign.expired + campaign.cancelled:
        return None
    columns = (sa.func.count(), sa.func.coalesce(sa.func.sum(recipients.c.price), 0))
    count, price = session.execute(sa.select(*columns).where(*_may_go_again(session, campaign))).one()
    return Offer(count, int(price)) if count else None


def glance(session: Session, campaign: Campaign) -> Offer | None:
    """Say the same for a page that is looked at often: where many failed, only that there may be something to retry."""
    if campaign.status in RETRYABLE and campaign.failed + campaign.expired + campaign.cancelled > FEW:
        return Offer(0, 0)
    return offer(session, campaign)


def retry(
    session: Session, team_id: int, uuid: UUID, terms: Terms, *, user_id: int | None, shown: Offer | None = None
) -> Offer:
    """Send again to those who were surely not accepted, for a cause that may pass; return to how many, for how much.

    It charges exactly what was credited for them, and the campaign ends anew. Raises NothingToRetry, OwnerDisabled,
    NotEnoughCredits, limits.OverCap, or, when it is not what was `shown`, OfferChanged; then nothing is changed.
    """
    campaign = campaigns.find(session, team_id, uuid)
    _refuse(session, campaign)
    limits.take_turn(session, team_id)
    given_up = _lock_failed_jobs(session, campaign)
    locked = _lock(session, campaign)
    found = Offer(len(locked), sum(row.price for row in locked))
    if not locked:
        raise NothingToRetry("Nobody of this campaign was surely not accepted for a cause that may pass.")
    if shown is not None and found != shown:
        raise OfferChanged(
            f"It would be {found.count:,} recipients for {found.price:,} credits by now. Nothing was sent or charged."
        )
    limits.check_again(session, campaign, locked, now())
    _requeue(session, campaign, [row.id for row in locked])
    _charge(session, campaign, locked, user_id)
    rows = [row.row for row in locked]
    _forget_what_stopped_it(session, campaign, given_up, rows)
    seconds = terms.validity_seconds
    reopening.reopen(session, campaign, rows, slice_rows=terms.slice_rows, validity_seconds=seconds)
    reopening.tell_anew(session, campaign.id)
    facts = {"campaign_id": campaign.id, "count": found.count, "price": found.price}
    emit_once_committed(session, "campaign.retried", **facts, user_id=user_id)
    return found


def _refuse(session: Session, campaign: Campaign) -> None:
    if campaign.status == Status.CANCELLED:
        raise NothingToRetry("This campaign was cancelled: clone it to send its text again.")
    if campaign.status == Status.DRAFT:
        raise NothingToRetry("This campaign was not confirmed yet: nothing of it was sent.")
    if campaign.status not in RETRYABLE:
        raise NothingToRetry(f"This campaign is {campaign.status}: nothing of it can have failed for good.")
    if not session.get_one(User, campaign.user_id).active:
        raise OwnerDisabled("The account of the person who wrote this campaign is disabled: clone it to send it again.")


def _may_go_again(session: Session, campaign: Campaign) -> tuple[sa.ColumnElement[bool], ...]:
    """Build the conditions: not taken by any attempt, not refused for good, not opted out, in an allowed country."""
    allowed = session.get_one(Team, campaign.team_id, populate_existing=True).allowed_countries
    theirs = attempts.c.recipient_id == recipients.c.id
    in_doubt = sa.or_(attempts.c.outcome.in_(("sending", "unknown", "sent")), attempts.c.reported.isnot(None))
    is_last = attempts.c.number == recipients.c.attempts
    for_good = sa.and_(is_last, attempts.c.outcome == "rejected", attempts.c.may_retry.is_(False))
    spoilt = sa.select(sa.literal(1)).where(theirs, sa.or_(in_doubt, for_good)).correlate(recipients).exists()
    left_alone = sa.and_(recipients.c.state == State.CANCELLED, recipients.c.code == first_ten.CODE)
    return (
        recipients.c.campaign_id == campaign.id,
        sa.or_(recipients.c.state.in_((State.FAILED, State.EXPIRED)), left_alone),
        sa.func.coalesce(recipients.c.code, "").notin_(FOR_GOOD),
        ~spoilt,
        ~optouts.has_opted_out(campaign.team_id),
        sa.true() if allowed is None else recipients.c.country.in_(sorted(allowed)),
    )


def _lock_failed_jobs(session: Session, campaign: Campaign) -> list[int]:
    """Lock the campaign's jobs that were given up, so that nobody retries one of them meanwhile."""
    mine = sa.select(FailedJob.id).where(FailedJob.tag == campaign_tag(campaign.id)).order_by(FailedJob.id)
    return list(session.scalars(mine.with_for_update()))


def _lock(session: Session, campaign: Campaign) -> list[Any]:
    columns = [recipients.c[name] for name in ("id", "row", "price", "state", "updated_at")]
    mine = sa.select(*columns).where(*_may_go_again(session, campaign)).order_by(recipients.c.id)
    return list(session.execute(mine.with_for_update(of=recipients)).all())


def _requeue(session: Session, campaign: Campaign, ids: list[int]) -> None:
    values = {"state": State.QUEUED, "error": None, "code": None, "settlement_id": None, "not_before": None}
    for first in range(0, len(ids), CHUNK):
        mine = sa.update(recipients).where(recipients.c.id.in_(ids[first : first + CHUNK]))
        session.execute(mine.values(**values, updated_at=now()))


def _charge(session: Session, campaign: Campaign, locked: list[Any], user_id: int | None) -> None:
    price = sum(row.price for row in locked)
    note = f"retry: {campaign.name}"
    transaction = credits.record(
        session, "charge", campaign.team_id, campaign_id=campaign.id, user_id=user_id, note=note
    )
    credits.move(session, transaction, credits.wallet(campaign.team_id), credits.escrow(campaign.id), price)
    changes = Changes(charged=price)
    for row in locked:
        changes.moved(row.state, State.QUEUED)
    changes.write(session, campaign.id)


def _forget_what_stopped_it(session: Session, campaign: Campaign, given_up: list[int], rows: list[int]) -> None:
    """Forget why it failed, and delete the jobs that were given up, whose rows go in new ones.

    It asks again, with the campaign's row locked, whether it was cancelled or paused at this moment.
    """
    if given_up:
        session.execute(sa.delete(FailedJob).where(FailedJob.id.in_(given_up)))
    campaign = completion.locked(session, campaign.id)
    _refuse(session, campaign)
    campaign.gave_up, campaign.error = 0, None
    session.flush()  # what follows changes the same row
    if rows[-1] > first_ten.FIRST:  # where only some of the first ten go again, the rest waits for them
        first_ten.let_rest_go(session, campaign)
