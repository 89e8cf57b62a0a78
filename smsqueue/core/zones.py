"""Time zones: a country's, a local time's moment, and the two hours a year that are not there or there twice."""

from datetime import UTC, datetime, timedelta
from functools import cache
from importlib.resources import files
from zoneinfo import ZoneInfo, available_timezones

from smsqueue.core.errors import SmsQueueError

_SECOND = timedelta(seconds=1)
_WITHOUT_AN_ENTRY = {"AC": "Atlantic/St_Helena", "TA": "Atlantic/St_Helena", "XK": "Europe/Belgrade"}


class NoSuchZone(SmsQueueError):
    """There is no time zone of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"{name!r} is not a time zone: give an IANA name, as in Europe/Paris, America/New_York or UTC."
        )


class NoSuchTime(SmsQueueError):
    """The clocks skip this time."""

    def __init__(self, local: datetime, zone: ZoneInfo) -> None:
        moment = gap_of(local, zone)
        before, after = (moment - _SECOND).astimezone(zone), moment.astimezone(zone)
        super().__init__(
            f"There is no {local:%H:%M} on {day(local)} in {zone.key}: the clocks go from "
            f"{before + _SECOND:%H:%M} to {after:%H:%M} then. Choose another time."
        )


class TwoTimes(SmsQueueError):
    """The clocks show this time twice; `earlier` and `later` are the two moments."""

    def __init__(self, local: datetime, zone: ZoneInfo) -> None:
        super().__init__(
            f"{local:%H:%M} is there twice on {day(local)} in {zone.key}, since the clocks go back. Choose which."
        )
        self.earlier, self.later = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))


def find(name: str) -> ZoneInfo:
    """Return the zone of this name; raise NoSuchZone."""
    if name not in _names():
        raise NoSuchZone(name)
    return ZoneInfo(name)


@cache
def zones_of(country: str) -> tuple[ZoneInfo, ...]:
    """Return every zone in which clocks of a country (ISO 3166) run; none for a country that is not known."""
    return tuple(ZoneInfo(name) for name in _by_country().get(country, ()))


def moment_of(local: datetime, zone: ZoneInfo, which: str = "") -> datetime:
    """Return the moment at which the clocks of a zone show `local`, in that zone.

    Raises NoSuchTime where they never do, and TwoTimes where they do twice and `which` is not earlier or later.
    """
    first, second = (local.replace(tzinfo=zone, fold=fold) for fold in (0, 1))
    if first.utcoffset() == second.utcoffset():
        return first
    if first.astimezone(UTC) > second.astimezone(UTC):  # the offset grows: these minutes are skipped
        raise NoSuchTime(local, zone)
    if which not in ("earlier", "later"):
        raise TwoTimes(local, zone)
    return first if which == "earlier" else second


def gap_of(local: datetime, zone: ZoneInfo) -> datetime:
    """Return the moment at which the clocks of a zone skip `local`, in UTC."""
    after, before = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return turn_between(zone, before - _SECOND, after)


def turn_between(zone: ZoneInfo, start: datetime, end: datetime) -> datetime:
    """Return the first second in (start, end] with the offset of `end`; both are UTC and their offsets differ."""
    there = end.astimezone(zone).utcoffset()
    low, high = 0, int((end - start).total_seconds())
    while high - low > 1:
        middle = (low + high) // 2
        if (start + middle * _SECOND).astimezone(zone).utcoffset() == there:
            high = middle
        else:
            low = middle
    return start + high * _SECOND


def day(local: datetime) -> str:
    """Write a day as people do: "29 Mar 2026"."""
    return f"{local.day} {local:%b %Y}"


def said(moment: datetime, zone: ZoneInfo) -> str:
    """Write a moment with its zone spelled out: "29 Mar 2026, 09:00 in Europe/Paris (UTC+2)"."""
    local = moment.astimezone(zone)
    return f"{day(local)}, {local:%H:%M} in {place(moment, zone)}"


def place(moment: datetime, zone: ZoneInfo) -> str:
    """Name a zone with its offset at a moment: "Europe/Paris (UTC+2)"."""
    if zone.key == "UTC":
        return "UTC"
    minutes = round((moment.astimezone(zone).utcoffset() or timedelta()).total_seconds() / 60)
    hours, rest = divmod(abs(minutes), 60)
    offset = f"{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02d}" if rest else "")
    return f"{zone.key} (UTC{offset})"


@cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


@cache
def _by_country() -> dict[str, list[str]]:
    table = (files("tzdata") / "zoneinfo" / "zone.tab").read_text(encoding="utf-8")
    found = {country: [name] for country, name in _WITHOUT_AN_ENTRY.items()}
    for line in table.splitlines():
        if line and not line.startswith("#"):
            country, _, name = line.split("\t")[:3]
            found.setdefault(country, []).append(name)
    return found
