"""Why something waits: one sentence with why, since when, and who can end it; the same on pages, in commands, in JSON.

Every cause is put into words here and nowhere else.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session

from smsqueue.domain import brake, first_ten, holding_back, standing, surroundings
from smsqueue.domain.pace import NO_LIMIT
from smsqueue.domain.surroundings import Place, PutOff, Server, Surroundings
from smsqueue.models import Attempt, Campaign, Recipient, State, Status
from smsqueue.queue import control, monitor
from smsqueue.queue.control import EVERY, Controls
from smsqueue.queue.explain import START, Reason, span
from smsqueue.queue.monitor import Wish

OPEN = (Status.SCHEDULED, Status.PENDING, Status.PROCESSING, Status.PAUSED)
QUEUE = "sms"
SOON_SECONDS = 60
"""What ends sooner is not worth a sentence."""
PATIENCE = timedelta(seconds=60)
"""After so long the first ten should have been answered."""
BETWEEN = timedelta(seconds=10)
"""A campaign on its way that no worker holds for so long is between two of its turns."""


def at(moment: datetime) -> str:
    """Write a time as every sentence does."""
    return f"{moment:%-d %b, %H:%M:%S} UTC"


def as_json(reason: Reason | None) -> dict[str, Any] | None:
    """Return a reason for JSON; times as ISO 8601."""
    if reason is None:
        return None
    times = {name: moment and moment.isoformat() for name, moment in (("since", reason.since), ("until", reason.until))}
    return {"text": reason.sentence, **times, "who": reason.who, "command": reason.command}


def of_queue(session: Session, queue: str, since: datetime, wishes: Controls | None = None) -> Reason | None:
    """Say why no worker takes what waits in a queue since then; None when one does. Two small queries."""
    found = monitor.hindrance(session, queue, wishes)
    if found is None:
        return None
    return _nobody(since) if found.wish is None else _of_a_wish(found.wish)


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
    places = None if place is None else {campaign.id: place}
    return of_campaigns(session, [campaign], gateways, now, wishes=wishes, places=places).get(campaign.id)


def of_campaigns(
    session: Session,
    campaigns: Sequence[Campaign],
    gateways: Collection[str],
    now: datetime,
    *,
    wishes: Controls | None = None,
    places: Mapping[int, Place] | None = None,
) -> dict[int, Reason]:
    """Say by id why campaigns wait, of those that do; as many queries for many as for one."""
    found = {campaign.id: reason for campaign in campaigns if (reason := of_itself(campaign, now))}
    others = [each for each in campaigns if each.status in OPEN and each.queued and each.id not in found]
    if not others:
        return found
    asked = monitor.by_wish(wishes or control.read(session), QUEUE)
    if asked and asked.wish:
        return found | {each.id: _of_a_wish(asked.wish) for each in others}
    places = places or surroundings.places_of(session, [each.id for each in others])
    mine = {each.id: places[each.id] for each in others}
    around = surroundings.look(session, mine, gateways, now)
    for each in others:
        if reason := _of_its_surroundings(each, gateways, mine[each.id], around, now=now):
            found[each.id] = reason
    return found


def of_recipient(recipient: Recipient, campaign: Campaign, waits: Reason | None, now: datetime) -> Reason | None:
    """Say why a recipient waits; None when it does not. `waits` is why its campaign does."""
    if recipient.state != State.QUEUED:
        return None
    until = recipient.not_before
    if until is not None and until > now and campaign.status != Status.PAUSED:
        return _put_off(campaign, PutOff(recipient.code, recipient.error or "", until, recipient.updated_at))
    if recipient.row <= first_ten.FIRST and waits is not None and waits == of_first_ten(campaign, now):
        waits = None  # it is one of those who are waited for
    return waits or _turn(campaign)


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


def of_itself(campaign: Campaign, now: datetime) -> Reason | None:
    """Say that it is paused, or that its time is still to come."""
    since = campaign.paused_at or _began(campaign)
    if campaign.status == Status.PAUSED:
        who = "Nothing is sent until somebody resumes it. What it had left of its validity stays."
        command = f"flask sms campaign resume {campaign.uuid}"
        return Reason(f"Paused since {at(since)}. {who}", since, None, command, who)
    if standing.is_early(campaign, now) and campaign.scheduled_for:
        who = f"It starts by itself on {standing.moment(campaign.scheduled_for, campaign.time_zone)}."
        return Reason(f"Scheduled since {at(since)}. {who}", since, campaign.scheduled_for, who=who)
    return None


def _of_a_wish(wish: Wish) -> Reason:
    """Say what an operator has asked for; no page is shown during maintenance, but commands answer."""
    until, is_down = wish.until, not wish.queue
    name = "all" if wish.queue == EVERY else wish.queue
    because = f": {wish.reason.rstrip('. ')}" if wish.reason else ""
    what = "The service is being worked on" if is_down else "This is paused"
    who = f"It goes on by itself on {at(until)}, or earlier" if until else "It goes on"
    who = f"{who} when an operator ends that."
    sentence = f"{what} since {at(wish.since)}, by {wish.author or 'an operator'}{because}. {who}"
    return Reason(sentence, wish.since, until, "flask sms up" if is_down else f"flask sms resume {name}", who)


def _of_its_surroundings(
    campaign: Campaign, gateways: Collection[str], place: Place, around: Surroundings, *, now: datetime
) -> Reason | None:
    """Say what keeps it from going that is not its own."""
    is_due = place.due is not None and place.due <= now
    serving = [each for each in around.servers if QUEUE in each.queues]
    return (
        _of_the_workers(serving, place.due if is_due and place.due else _began(campaign))
        or _of_gateways(campaign, gateways, around)
        or _of_its_rows(campaign, place, around.put_off.get(campaign.id), serving, now=now)
        or of_first_ten(campaign, now)
        or _of_the_rate(campaign, gateways, around)
    )


def _of_the_workers(serving: Sequence[Server], since: datetime) -> Reason | None:
    """Say that nobody works, or that nobody may."""
    if not serving:
        return _nobody(since)
    if any(each.state != "paused" for each in serving):
        return None
    who = "It goes on when an operator lets a worker go on."
    sentence = f"A signal has paused every worker that could do this, and it waits since {at(since)}. {who}"
    return Reason(sentence, since, None, f"kill -CONT {' '.join(str(each.pid) for each in serving)}", who)


def _nobody(since: datetime) -> Reason:
    who = "It goes on by itself as soon as an operator has started one."
    return Reason(
        f"No worker is running that could do this, and it waits since {at(since)}. {who}", since, None, START, who
    )


def _of_gateways(campaign: Campaign, gateways: Collection[str], around: Surroundings) -> Reason | None:
    """Say which gateway keeps it from going: all of ours, or one while nothing of it is with any gateway."""
    shut = [each for each in around.standings if each.name in gateways and each.words]
    if not shut or (campaign.sending and len(shut) < len(gateways)):
        return None
    first = shut[0]
    if first.paused_at is not None:
        who = "It goes on when an operator lets the gateway be used again."
        return Reason(f"{first.words}. {who}", first.paused_at, None, f"flask sms gateway resume {first.name}", who)
    who = "It is tried again every few seconds, and sending goes on by itself."
    return Reason(f"{first.words}. {who}", first.opened_at, who=who)


def of_first_ten(campaign: Campaign, now: datetime) -> Reason | None:
    """Say that the rest waits for what becomes of the first."""
    if not first_ten.is_waiting(campaign):
        return None
    first, rest, since = first_ten.FIRST, f"{campaign.total - first_ten.FIRST:,}", _began(campaign)
    if campaign.started_at is None or now - since < PATIENCE:
        who = "They go by themselves when enough of these are taken; somebody can send the rest before, or cancel."
        what = f"The first {first} go alone since {at(since)}; the other {rest} wait for the answers to them."
    else:
        who = "They are not sent by themselves: somebody can send the rest, or cancel."
        answers = f"the gateway's answers to the first {first} since {at(since)}"
        what = f"The other {rest} wait: {answers} are not enough to go on."
    return Reason(f"{what} {who}", since, None, f"flask sms campaign release {campaign.uuid}", who)


def _of_its_rows(
    campaign: Campaign, place: Place, first: PutOff | None, serving: Sequence[Server], *, now: datetime
) -> Reason | None:
    """Say what the recipients wait for of the slice that goes on next, when nothing of it is at work or due."""
    if place.is_held or place.due is None:
        return None
    if place.due > now:
        return None if first is None else _put_off(campaign, first)
    if campaign.sending or (campaign.started_at and now - place.due < BETWEEN):
        return None
    if any(each.state == "busy" for each in serving):
        what = f"Waits for its turn since {at(place.due)}: workers are busy with what came earlier or is more urgent."
        who = "It goes on by itself when they come to it."
    else:
        what, who = f"Next in line since {at(place.due)}.", "It goes on by itself: a worker begins at its next look."
    return Reason(f"{what} {who}", place.due, who=who, is_usual=True)


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
    since = max(slowed, default=_began(campaign))
    why = ", for it asked for less" if slowed else ""
    who = f"It goes on by itself, with at least {span(seconds)} to go."
    what = f"Goes since {at(since)} as fast as its gateway takes it, {per_second:,.3g} segments a second{why}."
    return Reason(f"{what} {who}", since, who=who, is_moving=True)


def _put_off(campaign: Campaign, row: PutOff) -> Reason:
    """Say why a recipient is not to be sent to before its time."""
    since = row.since or _began(campaign)
    reason = row.error.rstrip(". ") or "not now"
    if row.code == brake.HELD:
        what = f"Held since {at(since)}: {reason.removeprefix('Held: ')}."
        who = f"It waits until somebody of the team lets it go, or cancels{_in_time(campaign)}."
    elif row.code in holding_back.NIGHTS:
        what = f"{reason} (since {at(since)})."
        is_never = row.until >= brake.FOR_EVER
        who = "Only somebody who cancels ends that" if is_never else f"It goes on by itself on {at(row.until)}"
        who += f"{_in_time(campaign)}." if is_never else "."
    else:
        what = f"The gateway did not take it for now ({reason}), {at(since)}."
        who = f"It is tried again by itself on {at(row.until)}."
    return Reason(f"{what} {who}", since, None if row.until >= brake.FOR_EVER else row.until, who=who)


def _in_time(campaign: Campaign) -> str:
    """Say what becomes of those for whom nobody does anything."""
    return f"; else it is credited back on {at(campaign.valid_until)}" if campaign.valid_until else ""


def _turn(campaign: Campaign) -> Reason:
    """Say that a recipient's campaign is at work, and comes to it."""
    since, who = _began(campaign), "It goes by itself when those in front of it have gone."
    return Reason(f"Waits for its turn since {at(since)}. {who}", since, who=who)


def _began(campaign: Campaign) -> datetime:
    """Return since when a campaign could be on its way."""
    return campaign.started_at or campaign.confirmed_at or campaign.created_at
