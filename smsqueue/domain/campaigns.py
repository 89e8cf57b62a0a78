"""Campaigns from confirm on: launching, stopping, finding and listing."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.db import changed, table_of
from smsqueue.domain import completion, credits, drafts, first_ten, limits, options, stopping
from smsqueue.domain.counting import Changes
from smsqueue.domain.errors import NotFound
from smsqueue.domain.jobs import SendBulkSmsJob, SendingJob, SendSingleSmsJob
from smsqueue.domain.stopping import NotRunning
from smsqueue.models import Attempt, Campaign, Kind, Recipient, Status, Team, User
from smsqueue.queue.dispatch import clock_us, enqueue_many, when
from smsqueue.queue.events import emit_once_committed

__all__ = ["NotRunning", "Terms", "cancel", "discard", "find", "launch", "listing"]

campaigns = table_of(Campaign)


class WrongToken(SmsQueueError):
    """The confirm token is not this draft's: another page changed it, or nobody made it."""

    def __init__(self) -> None:
        super().__init__("This confirmation does not belong to the campaign as it is now. Nothing was sent or charged.")


class PriceChanged(SmsQueueError):
    """The draft costs another amount than was shown."""


class NothingToSend(SmsQueueError):
    """The draft has no recipient that can be sent to."""


class NotChecked(SmsQueueError):
    """The draft's rows are still being checked."""


class NotWaiting(SmsQueueError):
    """No part of the campaign waits for its first recipients."""


class OwnerDisabled(SmsQueueError):
    """The person who would send this may not sign in any more."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What the installation's settings say of every campaign."""

    validity_seconds: int
    slice_rows: int
    credits_per_segment: int


def find(session: Session, team_id: int, uuid: UUID) -> Campaign:
    """Return a team's campaign; raise NotFound, also for another team's."""
    mine = sa.select(Campaign).where(Campaign.uuid == uuid, Campaign.team_id == team_id)
    campaign = session.scalars(mine.execution_options(populate_existing=True)).first()
    if campaign is None:
        raise NotFound("campaign")
    return campaign


def launch(session: Session, team_id: int, uuid: UUID, token: str, terms: Terms) -> Campaign:
    """Charge a checked draft and queue its slices; posted again with the same token, return the same campaign.

    Raises WrongToken, NotChecked, NothingToSend, OwnerDisabled, PriceChanged, limits.Refused or NotEnoughCredits; then
    nothing is changed.
    """
    campaign = find(session, team_id, uuid)
    if not campaign.token or not compare_digest(campaign.token, token):
        raise WrongToken
    limits.take_turn(session, team_id)
    mine = sa.update(campaigns).where(
        campaigns.c.id == campaign.id, campaigns.c.status == Status.DRAFT, campaigns.c.token == token
    )
    values = {"status": Status.PENDING, "confirmed_at": now(), "upload_id": None}
    is_first = changed(session, mine.values(values)) == 1
    campaign = find(session, team_id, uuid)
    if campaign.token != token or campaign.status == Status.DRAFT:
        raise WrongToken  # written over since we looked
    if is_first:
        _refuse_unfit(session, campaign, terms)
        limits.check(session, session.get_one(Team, team_id), campaign, now())
        _queue(session, campaign, terms)
        _charge(session, campaign)
        session.refresh(campaign)
        facts = {"campaign_id": campaign.id, "total": campaign.total, "price": campaign.price}
        emit_once_committed(session, "campaign.launched", **facts)
    return campaign


def _queue(session: Session, campaign: Campaign, terms: Terms) -> None:
    """Queue a campaign's slices, for now or for its time; beyond the first ten on hold, if these go alone."""
    delay = delay_until(session, campaign.scheduled_for)
    began = campaign.scheduled_for if delay else campaign.confirmed_at
    campaign.status = Status.SCHEDULED if delay else Status.PENDING
    campaign.valid_until = options.valid_until(campaign, began or now(), terms.validity_seconds)
    campaign.first_ten = campaign.first_ten and campaign.total > first_ten.FIRST
    session.flush()  # the counters are written by an UPDATE of their own
    alone = first_ten.FIRST if campaign.first_ten else 0
    first, rest = _slices(campaign, terms.slice_rows, alone)
    enqueue_many(session, first, delay=delay, group=str(campaign.team_id))
    enqueue_many(session, rest, group=str(campaign.team_id), held=True)


def _charge(session: Session, campaign: Campaign) -> None:
    Changes(queued=campaign.total, charged=campaign.price).write(session, campaign.id)
    credits.open_account(session, credits.escrow(campaign.id), cached=True)
    user_id = campaign.user_id
    credits.charge(session, campaign, campaign.price, key=f"launch:{campaign.uuid}", user_id=user_id)


def cancel(session: Session, team_id: int, uuid: UUID, by: str | None = None) -> Campaign:
    """Stop a running campaign: what has not left is credited back at once. Raises NotRunning."""
    campaign = find(session, team_id, uuid)
    stopping.stop(session, campaign, f"Cancelled by {by}." if by else stopping.CANCELLED)
    completion.close(session, campaign.id)  # safe here: `stop` has locked the campaign's row
    session.refresh(campaign)
    return campaign


def send_rest(session: Session, team_id: int, uuid: UUID) -> Campaign:
    """Send the rest of a campaign, whatever its first ten have told or not; raise NotWaiting."""
    campaign = find(session, team_id, uuid)
    if not first_ten.let_rest_go(session, campaign):
        raise NotWaiting("No part of this campaign waits for its first recipients.")
    return campaign


def delay_until(session: Session, moment: datetime | None) -> float:
    """Return the seconds until a moment, by the database's clock; 0 when it is over, or none is meant."""
    if moment is None:
        return 0.0
    return max(0.0, (moment - when(clock_us(session))).total_seconds())


def discard(session: Session, team_id: int, uuid: UUID) -> None:
    """Throw a draft away; does nothing to a campaign that was launched."""
    drafts.discard(session, find(session, team_id, uuid).id)


def set_active(session: Session, user_id: int, active: bool) -> None:
    """Let a person sign in or not; when not, their running campaigns stop and are credited back."""
    session.execute(sa.update(User).where(User.id == user_id).values(active=active))
    if not active:
        for campaign_id in stopping.stop_campaigns_of(session, user_id):
            completion.close(session, campaign_id)


def listing(session: Session, team_id: int, before: int | None, limit: int = 50) -> list[Campaign]:
    """Return a team's campaigns, newest first, from below id `before`."""
    statement = sa.select(Campaign).where(Campaign.team_id == team_id).order_by(Campaign.id.desc()).limit(limit)
    return list(session.scalars(statement if before is None else statement.where(Campaign.id < before)))


def recipients(
    session: Session, campaign: Campaign, *, state: str | None, after: int = 0, limit: int = 50
) -> list[Recipient]:
    """Return recipients by row, from beyond row `after`, all or those in one state."""
    statement = sa.select(Recipient).where(Recipient.campaign_id == campaign.id, Recipient.row > after)
    if state is not None:
        statement = statement.where(Recipient.state == state)
    return list(session.scalars(statement.order_by(Recipient.row).limit(limit)))


def attempts(session: Session, recipient_ids: Sequence[int]) -> dict[int, list[Attempt]]:
    """Return every attempt of these recipients, in order."""
    found: dict[int, list[Attempt]] = defaultdict(list)
    statement = sa.select(Attempt).where(Attempt.recipient_id.in_(recipient_ids))
    for attempt in session.scalars(statement.order_by(Attempt.recipient_id, Attempt.number)):
        found[attempt.recipient_id].append(attempt)
    return found


def _slices(campaign: Campaign, rows: int, alone: int) -> tuple[list[SendingJob], list[SendingJob]]:
    """Cut a campaign into the jobs that go first and those that wait: none, or all but the first `alone` rows."""
    if campaign.kind == Kind.SINGLE:
        return [SendSingleSmsJob(campaign_id=campaign.id)], []
    total = campaign.total
    after: list[SendingJob] = [
        SendBulkSmsJob(campaign_id=campaign.id, first_row=first, last_row=min(first + rows - 1, total))
        for first in range(1 + alone, total + 1, rows)
    ]
    return ([SendBulkSmsJob(campaign_id=campaign.id, first_row=1, last_row=alone)], after) if alone else (after, [])


def _refuse_unfit(session: Session, campaign: Campaign, terms: Terms) -> None:
    if campaign.checked_at is None:
        raise NotChecked("The recipients are still being checked: wait until that is done, then confirm.")
    if not session.get_one(User, campaign.user_id).active:
        raise OwnerDisabled("The account of the person who wrote this campaign is disabled.")
    columns = (sa.func.count(), sa.func.coalesce(sa.func.sum(Recipient.segments), 0))
    total, segments = session.execute(sa.select(*columns).where(Recipient.campaign_id == campaign.id)).one()
    if not total:
        raise NothingToSend("None of the recipients can be sent to: mend the list first.")
    price = int(segments) * terms.credits_per_segment
    if (total, price) != (campaign.total, campaign.price):
        raise PriceChanged(
            f"The price was {campaign.price:,} when you looked and is {price:,} now, in credits. "
            "Nothing was sent or charged: go back and look at the campaign again."
        )
