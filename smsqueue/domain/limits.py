"""What a team may launch: how many recipients a day, where to, when. Asked in the launch's own transaction."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core import phones, zones
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain import hours, options, paying
from smsqueue.domain.errors import BadDraft
from smsqueue.models import Campaign, LedgerEntry, LedgerTransaction, Recipient, State, Status, Team

SAME_LIST_ROWS = 50
"""So many first recipients are compared to tell whether a list is the same."""


class Refused(SmsQueueError):
    """A campaign that the team may not launch like this; nothing was sent or charged."""


class OverCap(Refused):
    """More recipients than the team may text today."""

    def __init__(self, *, cap: int, used: int, wanted: int, team: str, again: str) -> None:
        self.cap, self.used, self.left, self.wanted = cap, used, max(0, cap - used), wanted
        super().__init__(
            f"Your team may text {cap:,} recipients a day. {used:,} are confirmed today, {self.left:,} are left, and "
            f"this has {wanted:,}. Wait until {again}, send to fewer, or ask an operator to raise the limit "
            f'(flask sms team set "{team}" --daily-cap {max(cap, used + wanted)}).'
        )


class ForbiddenCountries(Refused):
    """Recipients in countries that the team may not text (any more)."""

    def __init__(self, countries: Mapping[str, int]) -> None:
        self.countries = countries
        named = ", ".join(f"{phones.country_name(code)} ({count:,})" for code, count in countries.items())
        super().__init__(
            f"Your team may not text {named}: that was changed since the list was checked. Check the list again to "
            "leave these rows out, or ask an operator to open the country."
        )


class NeverOpen(Refused):
    """Countries whose zones are too far apart for the sending hours."""


class TooLate(Refused):
    """The time that was chosen is over."""


def take_turn(session: Session, team_id: int) -> None:
    """Let the launches of a team with a cap go one after the other: the first thing that a launch does.

    Not later: on MariaDB a changed campaign holds its team's row together with others, which could not be locked then.
    """
    if session.scalar(sa.select(Team.daily_cap).where(Team.id == team_id)):
        session.execute(sa.select(Team.id).where(Team.id == team_id).with_for_update(key_share=True))


def check(session: Session, team: Team, campaign: Campaign, now: datetime) -> None:
    """Refuse a campaign that is about to be launched, with a Refused; `take_turn` has been called."""
    session.refresh(team)
    _check_countries(team, campaign)
    _check_hours(campaign, now)
    if campaign.scheduled_for is not None and campaign.scheduled_for <= now:
        when = zones.said(campaign.scheduled_for, options.zone_of(campaign, team))
        raise TooLate(f"{when} is over: choose a later time, or send now. Nothing was sent or charged.")
    _check_cap(session, team, campaign.total, now, but=campaign.id)


def _check_countries(team: Team, campaign: Campaign) -> None:
    allowed = team.allowed_countries
    if allowed is None:
        return
    forbidden = {code: count for code, count in (campaign.countries or {}).items() if code not in allowed}
    if forbidden:
        raise ForbiddenCountries(forbidden)


def _check_hours(campaign: Campaign, now: datetime) -> None:
    limits = options.hours_of(campaign)
    never = hours.never_open(limits, campaign.countries or {}, campaign.scheduled_for or now) if limits else []
    if never:
        named = ", ".join(map(phones.country_name, never))
        raise NeverOpen(
            f"{named} has clocks so far apart that it is never {limits} for all of them at once: choose longer hours."
        )


def check_again(session: Session, campaign: Campaign, rows: Sequence[Any], now: datetime) -> None:
    """Refuse, with OverCap, to send again to recipients (their `state` and `updated_at`); `take_turn` has been called.

    Who failed on the day of the confirmation counts in that day already, who failed again on another day in that one.
    """
    team = session.get_one(Team, campaign.team_id)
    if not team.daily_cap:
        return
    today, tomorrow = day_of(team, now)
    if campaign.confirmed_at is not None and campaign.confirmed_at >= today:
        counted = sum(row.state != State.CANCELLED for row in rows)
    else:
        ended_today = sum(row.updated_at is not None and row.updated_at >= today for row in rows)
        counted = min(ended_today, _sent_again(session, team, today, tomorrow).get(campaign.id, 0))
    _check_cap(session, team, len(rows) - counted, now)


def _check_cap(session: Session, team: Team, wanted: int, now: datetime, but: int = 0) -> None:
    if not team.daily_cap:
        return
    session.refresh(team, with_for_update={"key_share": True})
    today, tomorrow = day_of(team, now)
    used = used_between(session, team, today, tomorrow, but=but)
    if wanted and used + wanted > team.daily_cap:
        again = zones.said(tomorrow, zones.find(team.time_zone))
        raise OverCap(cap=team.daily_cap, used=used, wanted=wanted, team=team.name, again=again)


def day_of(team: Team, now: datetime) -> tuple[datetime, datetime]:
    """Return the first moments of today and of tomorrow by the team's clocks."""
    zone = zones.find(team.time_zone)
    today = now.astimezone(zone).date()
    first, next_ = (datetime.combine(day, time(), zone) for day in (today, today + timedelta(days=1)))
    return first, next_


def used_between(session: Session, team: Team, start: datetime, end: datetime, but: int = 0) -> int:
    """Count the recipients of a team's campaigns that were confirmed from `start` to `end`, without the cancelled.

    And those of older ones that were charged again then, to be sent to again.
    """
    mine = (Campaign.team_id == team.id, Campaign.confirmed_at >= start, Campaign.confirmed_at < end)
    total = sa.select(sa.func.sum(Campaign.total - Campaign.cancelled)).where(*mine, Campaign.id != but)
    return int(session.scalar(total) or 0) + sum(_sent_again(session, team, start, end).values())


def _sent_again(session: Session, team: Team, start: datetime, end: datetime) -> dict[int, int]:
    """Estimate, by campaign, how many were sent to again: what was charged by the campaign's usual price.

    Never more than had something happen to them, and are not cancelled: so nobody counts twice.
    """
    moment, note = LedgerTransaction.created_at, LedgerTransaction.note
    others = sa.or_(LedgerTransaction.key.startswith("launch:"), note.startswith(paying.AFTER_ALL))
    charged = (LedgerTransaction.kind == "charge", ~others, moment >= start, moment < end)
    # What was charged since `start` has not ended before it: so only few campaigns' movements are looked at.
    runs = sa.or_(Campaign.finished_at.is_(None), Campaign.finished_at >= start)
    of_older = (Campaign.team_id == team.id, Campaign.confirmed_at < start, runs, Campaign.price > 0)
    columns = (Campaign.id, Campaign.total, Campaign.price)
    sums = sa.select(*columns, sa.func.sum(LedgerEntry.amount)).where(*of_older, *charged)
    found = sums.join(LedgerTransaction, LedgerTransaction.campaign_id == Campaign.id).join(
        LedgerEntry, sa.and_(LedgerEntry.transaction_id == LedgerTransaction.id, LedgerEntry.amount > 0)
    )
    by_price = {
        id_: -(-int(amount) * total // price) for id_, total, price, amount in session.execute(found.group_by(*columns))
    }
    most = _touched(session, list(by_price), start)
    return {id_: min(count, most.get(id_, 0)) for id_, count in by_price.items()}


def _touched(session: Session, ids: Sequence[int], start: datetime) -> dict[int, int]:
    """Count, by campaign, the recipients that something happened to since `start`, without the cancelled."""
    theirs = (Recipient.campaign_id.in_(ids), Recipient.updated_at >= start, Recipient.state != State.CANCELLED)
    found = sa.select(Recipient.campaign_id, sa.func.count()).where(*theirs).group_by(Recipient.campaign_id)
    return {row[0]: row[1] for row in session.execute(found)} if ids else {}


def must_type_count(team: Team, count: int) -> bool:
    """Say whether so many would be sent to that their number has to be typed."""
    return 0 < team.type_count_above < count


def check_typed_count(team: Team, count: int, typed: str) -> None:
    """Refuse, with BadDraft, to send to many whose number was not typed."""
    if not must_type_count(team, count):
        return
    digits = "".join(character for character in typed if character not in " ,.'’\u00a0\u202f")
    if digits == str(count):
        return
    told = f"You typed {typed.strip()[:20]}" if typed.strip() else "The number of recipients is missing"
    raise BadDraft("count", f"{told}: type {count:,} to send to so many. Nothing was sent or charged.")


def same_as_today(session: Session, campaign: Campaign, now: datetime) -> Campaign | None:
    """Return a campaign of the last 24 hours with the same text to the same list, if there is one."""
    recent = (Campaign.team_id == campaign.team_id, Campaign.confirmed_at >= now - timedelta(days=1))
    alike = (Campaign.kind == campaign.kind, Campaign.total == campaign.total, Campaign.text == campaign.text)
    alive = (Campaign.id != campaign.id, Campaign.status != Status.CANCELLED)
    latest = sa.select(Campaign).where(*recent, *alike, *alive).order_by(Campaign.confirmed_at.desc()).limit(5)
    mine = _first_numbers(session, campaign)
    return next((each for each in session.scalars(latest) if _first_numbers(session, each) == mine), None)


def _first_numbers(session: Session, campaign: Campaign) -> list[str]:
    numbers = sa.select(Recipient.number).where(Recipient.campaign_id == campaign.id).order_by(Recipient.row)
    return list(session.scalars(numbers.limit(SAME_LIST_ROWS)))
