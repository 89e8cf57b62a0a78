"""Why something waits: one sentence with since when and who can end it, the same on pages, in commands and in JSON."""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy.orm import Session

from smsqueue.domain import brake, holding_back, standing, surroundings
from smsqueue.domain.pace import NO_LIMIT
from smsqueue.domain.surroundings import Place, Surroundings
from smsqueue.models import Attempt, Campaign, Recipient, State, Status
from smsqueue.queue import control, monitor
from smsqueue.queue.control import EVERY, Controls
from smsqueue.queue.explain import START, Reason, span
from smsqueue.queue.monitor import Hindrance

OPEN = (Status.SCHEDULED, Status.PENDING, Status.PROCESSING, Status.PAUSED)
NOBODY = "No worker is running that could do this. It goes on by itself as soon as the operator has started one."
PAUSED = "This is paused, {words}. It goes on by itself as soon as that ends; until then an operator can end it."
IN_LINE = "Waits for its turn: the workers are busy with what came earlier or is more urgent."
SOON_SECONDS = 60
"""What ends sooner is not worth a sentence."""
MOMENT = "%-d %b, %H:%M:%S UTC"


def of_queue(session: Session, queue: str, wishes: Controls | None = None) -> Reason | None:
    """Say why no worker takes jobs of a queue; None when one does. Two small queries, since a poll asks it."""
    return _of_queue(monitor.hindrance(session, queue, wishes))


def _of_queue(found: Hindrance | None) -> Reason | None:
    if found is None:
        return None
    if found.wish is None:
        return Reason(NOBODY, command=START)
    # Maintenance is no reason that a page could give: there is no page then.
    name = "all" if found.wish.queue == EVERY else found.wish.queue
    command = "flask sms up" if found.kind == "maintenance" else f"flask sms resume {name}"
    return Reason(PAUSED.format(words=found.wish.words()), found.wish.since, found.wish.until, command)


def of_campaign(
    session: Session,
    campaign: Campaign,
    gateways: Collection[str],
    now: datetime,
    *,
    wishes: Controls | None = None,
    place: Place | None = None,
) -> Reason | None:
    """Say why a campaign waits, what weighs most first; None when it does not wait, or only for its own calls.

    `gateways` are those in use. A poll asks it: nothing is read that grows with the campaign, and it is one query for
    whoever knows already what operators ask for and the campaign's place in the line.
    """
    if campaign.status not in OPEN or not campaign.queued:
        return None
    if campaign.status == Status.PAUSED or standing.is_early(campaign, now):
        return _of_itself(campaign, now)
    if wish := monitor.by_wish(wishes or control.read(session), "sms"):
        return _of_queue(wish)
    place = place or surroundings.place_of(session, campaign.id)
    around = surroundings.look(session, campaign.id, gateways, place, now)
    return (
        _of_queue(monitor.by_absence(around.served, "sms"))
        or _of_gateways(campaign, gateways, around)
        or _of_itself(campaign, now)
        or _of_its_rows(campaign, place, around, now)
        or _of_the_rate(campaign, gateways, around)
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


def _of_gateways(campaign: Campaign, gateways: Collection[str], around: Surroundings) -> Reason | None:
    """Say which gateway keeps it from going: all of ours, or one while nothing of it is with any gateway."""
    shut = [each for each in around.standings if each.name in gateways and each.words]
    if not shut or (campaign.sending and len(shut) < len(gateways)):
        return None
    first = shut[0]
    if first.paused_at is not None:
        ends = "An operator can let it be used again"
        return Reason(f"{first.words}. {ends}.", first.paused_at, None, f"flask sms gateway resume {first.name}")
    return Reason(f"{first.words}, and sending goes on by itself.", first.opened_at)


def _of_its_rows(campaign: Campaign, place: Place, around: Surroundings, now: datetime) -> Reason | None:
    """Say what the recipients wait for of the slice that goes on next, when nothing of it is at work or due."""
    if place.is_held or place.due is None:
        return None
    if place.due <= now:
        return None if campaign.sending or campaign.started_at else Reason(IN_LINE, campaign.confirmed_at)
    first = around.put_off
    if first is None:
        return None
    return Reason(
        _put_off(first.code, first.error, first.until), until=None if first.until >= brake.FOR_EVER else first.until
    )


def _of_the_rate(campaign: Campaign, gateways: Collection[str], around: Surroundings) -> Reason | None:
    """Say how long it takes at the gateway's rate, when that is what it waits for."""
    mine = around.speeds
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
