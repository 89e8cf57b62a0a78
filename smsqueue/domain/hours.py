"""Sending hours by the clocks of the recipient's country, across every change of those clocks.

A country with several zones is open only while the hours hold in all of them: where in a country a mobile number
is, its digits do not tell.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from smsqueue.core import zones
from smsqueue.core.errors import SmsQueueError

Stretch = tuple[datetime, datetime]
_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)\s*[-–]\s*([01]\d|2[0-4]):([0-5]\d)")
_DAY = timedelta(days=1)
LOOK_AHEAD_DAYS = 4
"""A country that is closed for so long never opens."""
NIGHT_FROM, NIGHT_TO = 21 * 60, 8 * 60
"""When a text wakes people up, in minutes of the day."""


class BadHours(SmsQueueError):
    """What was typed are no hours of a day."""


@dataclass(frozen=True, slots=True)
class Hours:
    """From when to when something may be sent, in minutes of the day; `closes` is the first minute that is too late."""

    opens: int
    closes: int

    def __str__(self) -> str:
        """Write them as they are stored: `08:00-21:00`."""
        return f"{_clock(self.opens)}-{_clock(self.closes)}"

    def covers(self, local: datetime) -> bool:
        """Say whether a clock that shows this is within the hours."""
        return self.opens <= local.hour * 60 + local.minute < self.closes


DAYTIME = Hours(NIGHT_TO, NIGHT_FROM)


@dataclass(frozen=True, slots=True)
class Closed:
    """A country in which it is not the time to send, how many recipients are there, and when it opens."""

    country: str
    recipients: int
    opens: datetime | None
    """In the country's own zone (its first, where it has several); None: never."""


def read(typed: str) -> Hours | None:
    """Read `08:00-21:00`; None where nothing is typed: any time. Raises BadHours."""
    if not typed.strip():
        return None
    found = _HOURS.fullmatch(typed.strip())
    if found is None:
        raise BadHours("Type sending hours as in 08:00-21:00, or leave them empty to send at any time.")
    opens, closes = (int(found[place]) * 60 + int(found[place + 1]) for place in (1, 3))
    if not opens < closes <= 24 * 60:
        raise BadHours("Sending hours must end later on the same day than they begin, as in 08:00-21:00.")
    return Hours(opens, closes)


def is_open(hours: Hours, country: str, at: datetime) -> bool:
    """Say whether all clocks of a country are within the hours; a country that is not known is always open."""
    return all(hours.covers(at.astimezone(zone)) for zone in zones.zones_of(country))


def opening(hours: Hours, country: str, at: datetime) -> datetime | None:
    """Return the first moment from `at` on that is within the hours: `at` itself, a later one, or None: never."""
    for start, end in _ahead(hours, country, at):
        if end > at:
            return max(start, at)
    return None


def closing(hours: Hours, country: str, at: datetime) -> datetime | None:
    """Return when the hours that hold at `at` are over; None when they do not hold, or never end."""
    ends: datetime | None = None
    for start, end in _ahead(hours, country, at):
        if start <= at < end or start == ends:  # the one that holds, and what goes on over midnight in UTC
            ends = end
        elif ends is not None:
            return ends
    return None


def after_open(hours: Hours, country: str, at: datetime, seconds: float) -> datetime:
    """Return when a country has been open for so many seconds since `at`; the wall's time where it never opens."""
    left = timedelta(seconds=seconds)
    start = opening(hours, country, at)
    while start is not None and left > timedelta():
        ends = closing(hours, country, start)
        if ends is None or ends - start >= left:
            return start + left
        left -= ends - start
        start = opening(hours, country, ends)
    return at + left if start is None else start


def open_seconds(hours: Hours, country: str, at: datetime, until: datetime) -> float:
    """Return for how many seconds a country is open from `at` to `until`; the wall's time where it never opens."""
    start = opening(hours, country, at)
    if start is None:
        return max(0.0, (until - at).total_seconds())
    found = timedelta()
    while start is not None and start < until:
        ends = min(closing(hours, country, start) or until, until)
        found += ends - start
        start = opening(hours, country, ends) if ends < until else None
    return found.total_seconds()


def closed(hours: Hours, countries: Mapping[str, int], at: datetime) -> list[Closed]:
    """Return the countries that are closed at `at`, those with the most recipients first."""
    found = []
    for country, count in sorted(countries.items(), key=lambda pair: -pair[1]):
        if not is_open(hours, country, at):
            opens = opening(hours, country, at)
            found.append(Closed(country, count, opens.astimezone(zones.zones_of(country)[0]) if opens else None))
    return found


def never_open(hours: Hours, countries: Mapping[str, int], at: datetime) -> list[str]:
    """Return the countries whose zones are so far apart that the hours never hold in all of them."""
    return [country for country in countries if opening(hours, country, at) is None]


def _ahead(hours: Hours, country: str, at: datetime) -> list[Stretch]:
    today = at.astimezone(UTC).date()
    days = (today + timedelta(days=ahead) for ahead in range(LOOK_AHEAD_DAYS))
    return [stretch for each in days for stretch in _stretches(hours, country, each)]


@lru_cache(maxsize=4096)
def _stretches(hours: Hours, country: str, day: date) -> tuple[Stretch, ...]:
    """Return when a country is open during a day of UTC."""
    start = datetime.combine(day, time(), UTC)
    found: list[Stretch] = [(start, start + _DAY)]
    for zone in zones.zones_of(country):
        theirs = _in_zone(hours, zone, start)
        found = [(max(a, c), min(b, d)) for a, b in found for c, d in theirs if max(a, c) < min(b, d)]
    return tuple(found)


@lru_cache(maxsize=16384)
def _in_zone(hours: Hours, zone: ZoneInfo, start: datetime) -> tuple[Stretch, ...]:
    """Return when one zone is open from `start` on for a day: between two edges nothing changes."""
    edges = sorted({start, start + _DAY, *_turns(zone, start), *_edges(hours, zone, start)})
    found: list[Stretch] = []
    for begins, ends in pairwise(edges):
        if not hours.covers(begins.astimezone(zone)):
            continue
        if found and found[-1][1] == begins:
            begins = found.pop()[0]
        found.append((begins, ends))
    return tuple(found)


def _turns(zone: ZoneInfo, start: datetime) -> list[datetime]:
    """Return when the clocks are changed during the day from `start` on."""
    marks = [start + timedelta(hours=hour) for hour in range(25)]
    offsets = [mark.astimezone(zone).utcoffset() for mark in marks]
    return [
        zones.turn_between(zone, marks[place], marks[place + 1])
        for place in range(24)
        if offsets[place] != offsets[place + 1]
    ]


def _edges(hours: Hours, zone: ZoneInfo, start: datetime) -> list[datetime]:
    """Return when the clocks show the first or the last minute of the hours, both times where they do twice."""
    first = start.astimezone(zone).date()
    midnights = [datetime.combine(first + timedelta(days=ahead), time()) for ahead in range(-1, 3)]
    shown = [midnight + timedelta(minutes=minute) for midnight in midnights for minute in (hours.opens, hours.closes)]
    found = [local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for local in shown for fold in (0, 1)]
    return [moment for moment in found if start < moment < start + _DAY]


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"
