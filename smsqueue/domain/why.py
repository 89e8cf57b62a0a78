"""Why something waits: one sentence with since when and who can end it, the same on pages, in commands and in JSON."""

import json
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
from smsqueue.domain import brake, breaker, holding_back, standing
from smsqueue.domain.jobs import campaign_tag
from smsqueue.domain.pace import NO_LIMIT, rates
from smsqueue.domain.traffic import rate_of
from smsqueue.models import Attempt, Campaign, Recipient, State, Status
from smsqueue.queue import monitor
from smsqueue.queue.control import EVERY, Controls
from smsqueue.queue.dispatch import jobs, when
from smsqueue.queue.explain import START, Reason, span

recipients = table_of(Recipient)
OPEN = (Status.SCHEDULED, Status.PENDING, Status.PROCESSING, Status.PAUSED)
NOBODY = "No worker is running that could do this. It goes on by itself as soon as the operator has started one."
PAUSED = "This is paused, {words}. It goes on by itself as soon as that ends; until then an operator can end it."
IN_LINE = "Waits for its turn: the workers are busy with what came earlier or is more urgent."
SOON_SECONDS = 60
"""What ends sooner is not worth a sentence."""
MOMENT = "%-d %b, %H:%M:%S UTC"


def of_queue(session: Session, queue: str, wishes: Controls | None = None) -> Reason | None:
    """Say why no worker takes jobs of a queue; None when one does. Two small queries, since a poll asks it."""
    found = monitor.hindrance(session, queue, wishes)
    if found is None:
        return None
    if found.wish is None:
        return Reason(NOBODY, command=START)
    # Maintenance is no reason that a page could give: there is no page then.
    name = "all" if found.wish.queue == EVERY else found.wish.queue
    command = "flask sms up" if found.kind == "maintenance" else f"flask sms resume {name}"
    return Reason(PAUSED.format(words=found.wish.words()), found.wish.since, found.wish.until, command)


def of_campaign(
    session: Session, campaign: Campaign, gateways: Collection[str], now: datetime, wishes: Controls | None = None
) -> Reason | None:
    """Say why a campaign waits, what weighs most first; None when it does not wait, or only for its own calls.

    `gateways` are those in use. Reads nothing that grows with the campaign: a poll asks it.
    """
    if campaign.status not in OPEN or not campaign.queued:
        return None
    if campaign.status == Status.PAUSED or standing.is_early(campaign, now):
        return _of_itself(campaign, now)
    return (
        of_queue(session, "sms", wishes)
        or _of_gateways(session, campaign, gateways)
        or _of_itself(campaign, now)
        or _of_its_rows(session, campaign, now)
        or _of_the_rate(session, campaign, gateways)
    )


def of_recipient(recipient: Recipient, campaign: str | None, now: datetime) -> str | None:
    """Say why a recipient waits, in a sentence; None when it does not. `campaign` is why its campaign does."""
    if recipient.state != State.QUEUED:
        return None
    if recipient.not_before is None or recipient.not_before <= now:
        return campaign or "Waits for its turn."
    return _put_off(recipient.code, recipient.error or "", recipient.not_before)


def who_said(recipient: Recipient, attempts: Sequence[Attempt]) -> tuple[str, datetime | None]:
    """Say who told what is known of a recipient (smsqueue, a gateway, or the network by its report), and when."""
    told = [attempt for attempt in attempts if attempt.reported]
    if recipient.state in (State.DELIVERED, State.UNDELIVERED) and told:
        return f"the network, by a report of gateway {told[-1].gateway}", told[-1].reported_at
    outcome = {State.SENT: "sent", State.FAILED: "rejected"}.get(State(recipient.state))
    if recipient.state == State.FAILED and told and told[-1].reported == "failed":
        return f"gateway {told[-1].gateway}, by a report", told[-1].reported_at
    decided = [attempt for attempt in attempts if attempt.outcome == outcome]
    if decided:
        return f"gateway {decided[-1].gateway}", decided[-1].ended_at
    return "smsqueue", recipient.updated_at


def _of_itself(campaign: Campaign, now: datetime) -> Reason | None:
    """Say that it is paused, scheduled, or waits for its first ten."""
    sentence = standing.sentence(campaign, now)
    if sentence is None:
        return None
    command = f"flask sms campaign resume {campaign.uuid}" if campaign.status == Status.PAUSED else None
    return Reason(
        sentence, campaign.paused_at, campaign.scheduled_for if standing.is_early(campaign, now) else None, command
    )


def _of_gateways(session: Session, campaign: Campaign, gateways: Collection[str]) -> Reason | None:
    """Say which gateway keeps it from going: all of ours, or one while nothing of it is with any gateway."""
    standings = breaker.read(session)
    shut = [each for name, each in standings.items() if name in gateways and each.words]
    if not shut or (campaign.sending and len(shut) < len(gateways)):
        return None
    first = shut[0]
    if first.paused_at is not None:
        ends = "An operator can let it be used again"
        return Reason(f"{first.words}. {ends}.", first.paused_at, None, f"flask sms gateway resume {first.name}")
    return Reason(f"{first.words}, and sending goes on by itself.", first.opened_at)


def _of_its_rows(session: Session, campaign: Campaign, now: datetime) -> Reason | None:
    """Say what the recipients wait for of the slice that goes on next, when nothing of it is at work or due."""
    mine = jobs.c.tag == campaign_tag(campaign.id)
    busy = sa.func.sum(sa.case((jobs.c.reserved_at.isnot(None), 1), else_=0))
    first = sa.func.min(sa.case((jobs.c.reserved_at.is_(None), jobs.c.available_at)))
    reserved, due = session.execute(sa.select(busy, first).where(mine)).one()
    if reserved or due is None:
        return None
    if when(due) <= now:
        return None if campaign.sending or campaign.started_at else Reason(IN_LINE, campaign.confirmed_at)
    payload = session.scalars(sa.select(jobs.c.payload).where(mine, jobs.c.available_at == due).limit(1)).one()
    return _of_rows(session, campaign, _rows(payload), now)


def _of_rows(session: Session, campaign: Campaign, rows: tuple[int, int], now: datetime) -> Reason | None:
    columns = (recipients.c.code, recipients.c.error, recipients.c.not_before)
    mine = (
        recipients.c.campaign_id == campaign.id,
        recipients.c.row.between(*rows),
        recipients.c.state == State.QUEUED,
    )
    later = sa.select(*columns).where(*mine, recipients.c.not_before > now).order_by(recipients.c.not_before).limit(1)
    row = session.execute(later).first()
    if row is None:
        return None
    until = None if row.not_before >= brake.FOR_EVER else row.not_before
    return Reason(_put_off(row.code, row.error or "", row.not_before), until=until)


def _of_the_rate(session: Session, campaign: Campaign, gateways: Collection[str]) -> Reason | None:
    """Say how long it takes at the gateway's rate, when that is what it waits for."""
    found = {
        row.name: row for row in session.execute(sa.select(rates.c.name, rates.c.per_second, rates.c.throttled_at))
    }
    mine = [found[rate_of(name)] for name in gateways if rate_of(name) in found]
    if not mine or len(mine) < len(gateways):
        return None
    per_second = sum(row.per_second for row in mine)
    seconds = campaign.queued * campaign.segments / max(campaign.total, 1) / max(per_second, 0.001)
    if per_second >= NO_LIMIT or seconds < SOON_SECONDS:
        return None
    slowed = [row.throttled_at for row in mine if row.throttled_at]
    why = ", since it asked for less" if slowed else ""
    rate = f"The gateway takes {per_second:,.3g} segments a second{why}"
    return Reason(f"{rate}: at least {span(seconds)} to go.", max(slowed, default=None))


def _put_off(code: str | None, error: str, until: datetime) -> str:
    reason = error.rstrip(". ") or "Not now"
    if code == brake.HELD or until >= brake.FOR_EVER:
        return f"{reason}. It waits until somebody of the team lets it go, or cancels."
    if code == holding_back.NIGHT:
        return f"{reason}. It goes on by itself on {until:{MOMENT}}."
    return f"The gateway did not take it for now ({reason}). It is tried again by itself on {until:{MOMENT}}."


def _rows(payload: str) -> tuple[int, int]:
    data: dict[str, Any] = json.loads(payload)["data"]
    return int(data.get("first_row", 1)), int(data.get("last_row", 1))
