"""What a person may choose for a campaign: when it goes, for how long it is valid, at what hours, and what then."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from smsqueue.core import zones
from smsqueue.core.zones import NoSuchTime, NoSuchZone, TwoTimes
from smsqueue.domain import hours
from smsqueue.domain.errors import BadDraft
from smsqueue.domain.hours import BadHours, Hours
from smsqueue.models import Campaign, Kind, Team, UnknownPolicy

LATEST = timedelta(days=366)
SHORTEST_VALIDITY, LONGEST_VALIDITY = 60, 7 * 86_400
VALIDITIES = {
    300: "5 minutes",
    900: "15 minutes",
    3600: "1 hour",
    14_400: "4 hours",
    43_200: "12 hours",
    86_400: "1 day",
    172_800: "2 days",
    LONGEST_VALIDITY: "7 days",
}
"""What the forms offer."""


class AskWhich(BadDraft):
    """A time that is there twice: `earlier` and `later` are the two moments."""

    def __init__(self, error: TwoTimes) -> None:
        super().__init__("which", str(error))
        self.earlier, self.later = error.earlier, error.later


@dataclass(frozen=True, slots=True)
class Options:
    """What was chosen, checked."""

    scheduled_for: datetime | None = None
    time_zone: str = ""
    validity_seconds: int | None = None
    sending_hours: str = ""
    unknown_policy: UnknownPolicy = UnknownPolicy.HOLD
    first_ten: bool | None = None
    """None: as the team's rule says for so many recipients."""

    def put_on(self, campaign: Campaign, team: Team) -> None:
        """Write the choice down on a draft."""
        campaign.scheduled_for, campaign.time_zone = self.scheduled_for, self.time_zone
        campaign.validity_seconds, campaign.sending_hours = self.validity_seconds, self.sending_hours
        campaign.unknown_policy, campaign.first_ten_chosen = self.unknown_policy, self.first_ten
        campaign.first_ten = has_first_ten(campaign, team)


def of(campaign: Campaign) -> Options:
    """Return what was chosen for a campaign."""
    return Options(
        campaign.scheduled_for,
        campaign.time_zone,
        campaign.validity_seconds,
        campaign.sending_hours,
        UnknownPolicy(campaign.unknown_policy),
        campaign.first_ten_chosen,
    )


def usual(team: Team, kind: Kind) -> Options:
    """Return what holds when nobody chooses: campaigns keep the team's hours, a single SMS goes at any time."""
    return Options(sending_hours=team.sending_hours if kind == Kind.BULK else "")


def has_first_ten(campaign: Campaign, team: Team) -> bool:
    """Say whether a campaign begins with ten whose answers are waited for."""
    if campaign.kind == Kind.SINGLE:
        return False
    return campaign.total > team.first_ten_above if campaign.first_ten_chosen is None else campaign.first_ten_chosen


def read_moment(day: str, time: str, which: str, zone_name: str, now: datetime) -> datetime:
    """Read a day and a time of a zone's clocks, as `2026-11-26` and `09:00`.

    Raises BadDraft for what is no time, is skipped, over or too far ahead, and AskWhich for one that is there twice.
    """
    try:
        zone = zones.find(zone_name)
        moment = zones.moment_of(_local(day, time), zone, which)
    except (NoSuchTime, NoSuchZone) as error:
        raise BadDraft("time", str(error)) from error
    except TwoTimes as error:
        raise AskWhich(error) from error
    if moment <= now:
        raise BadDraft("time", f"{zones.said(moment, zone)} is over: choose a later time, or send now.")
    if moment - now > LATEST:
        raise BadDraft("day", "Choose a day within a year.")
    return moment


def _local(day: str, time: str) -> datetime:
    try:
        date = datetime.strptime(day.strip(), "%Y-%m-%d")  # noqa: DTZ007 - the zone comes next
    except ValueError as error:
        raise BadDraft("day", "Choose the day, as in 2026-11-26.") from error
    try:
        clock = datetime.strptime(time.strip()[:5], "%H:%M")  # noqa: DTZ007
    except ValueError as error:
        raise BadDraft("time", "Choose the time, as in 09:00.") from error
    return date.replace(hour=clock.hour, minute=clock.minute)


def read_validity(typed: str) -> int | None:
    """Read for how many seconds a campaign is valid; None where nothing is chosen. Raises BadDraft."""
    if not typed:
        return None
    if not typed.isdecimal() or not SHORTEST_VALIDITY <= int(typed) <= LONGEST_VALIDITY:
        raise BadDraft("validity", f"Choose a validity of {SHORTEST_VALIDITY:,} to {LONGEST_VALIDITY:,} seconds.")
    return int(typed)


def read_hours(typed: str) -> str:
    """Read sending hours in their stored form; empty: any time. Raises BadDraft."""
    try:
        found = hours.read(typed)
    except BadHours as error:
        raise BadDraft("hours", str(error)) from error
    return str(found) if found else ""


def read_policy(typed: str) -> UnknownPolicy:
    """Read what happens to recipients of whom nobody can tell; hold where nothing is chosen. Raises BadDraft."""
    try:
        return UnknownPolicy(typed or UnknownPolicy.HOLD)
    except ValueError as error:
        raise BadDraft("policy", "Choose what happens when nobody can tell whether a text was sent.") from error


def hours_of(campaign: Campaign) -> Hours | None:
    """Return a campaign's sending hours; None: any time."""
    return hours.read(campaign.sending_hours)


def zone_of(campaign: Campaign, team: Team) -> ZoneInfo:
    """Return the zone in which a campaign's time was chosen, else its team's."""
    try:
        return zones.find(campaign.time_zone or team.time_zone)
    except NoSuchZone:  # renamed since
        return ZoneInfo("UTC")


def valid_until(campaign: Campaign, start: datetime, usual_seconds: int, *, share: float = 1) -> datetime:
    """Return until when a campaign that starts at `start` may be sent, or when so much of that time is over.

    A validity that somebody chose runs by the clock. The usual one counts only the time in which the recipients'
    countries are open, so that nothing is dropped because it was night.
    """
    seconds = share * (campaign.validity_seconds or usual_seconds)
    limits = hours_of(campaign)
    if campaign.validity_seconds or limits is None:
        return start + timedelta(seconds=seconds)
    ends = [hours.after_open(limits, country, start, seconds) for country in campaign.countries or {}]
    return max(ends, default=start + timedelta(seconds=seconds))


def is_short(campaign: Campaign, at: datetime, usual_seconds: int) -> bool:
    """Say whether too little of a campaign's time is left for what a person sends again: less than a quarter."""
    fair = valid_until(campaign, at, usual_seconds, share=0.25)
    return campaign.valid_until is None or campaign.valid_until < fair


def valid_after_pause(campaign: Campaign, paused: datetime, resumed: datetime) -> datetime | None:
    """Return until when a campaign may be sent that was paused: it has left what it had, of the clock or open."""
    until, limits = campaign.valid_until, hours_of(campaign)
    if until is None or resumed <= paused:
        return until
    by_the_clock = until + (resumed - paused)
    if campaign.validity_seconds or limits is None or until <= paused:
        return by_the_clock
    left = {country: hours.open_seconds(limits, country, paused, until) for country in campaign.countries or {}}
    ends = [hours.after_open(limits, country, resumed, seconds) for country, seconds in left.items()]
    return max(ends, default=by_the_clock)


def waiting_countries(campaign: Campaign, at: datetime) -> list[hours.Closed]:
    """Return the countries whose recipients wait when a campaign starts at `at`; none without sending hours."""
    limits = hours_of(campaign)
    return hours.closed(limits, campaign.countries or {}, at) if limits else []


def woken_countries(campaign: Campaign, at: datetime) -> Mapping[str, int]:
    """Return the countries in which it is night when a campaign without sending hours starts at `at`."""
    if campaign.sending_hours:
        return {}
    return {each.country: each.recipients for each in hours.closed(hours.DAYTIME, campaign.countries or {}, at)}
