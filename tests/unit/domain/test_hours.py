"""Sending hours: by every clock of the recipient's country, over gaps and folds."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smsqueue.core import zones
from smsqueue.domain import hours
from smsqueue.domain.hours import BadHours, Hours

DAY = Hours(8 * 60, 21 * 60)
MINUTE = timedelta(minutes=1)
COUNTRIES = ("FR", "US", "AU", "GB", "RU", "IS", "IN", "NP", "BR", "IL", "MA", "PF", "KI", "XK", "CL", "IE", "PT")
moments = st.integers(0, 2 * 365 * 24 * 60).map(lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + minutes * MINUTE)
stretches = st.tuples(st.integers(0, 1438), st.integers(1, 1440)).filter(lambda pair: pair[0] < pair[1])


def utc(*parts):
    """Build a moment."""
    year, month, day, *clock = parts
    hour, minute = [*clock, 0, 0][:2]
    return datetime(year, month, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(("typed", "stored"), [("08:00-21:00", "08:00-21:00"), (" 09:30 – 24:00 ", "09:30-24:00")])
def test_hours_are_read_as_people_type_them(typed, stored):
    assert str(hours.read(typed)) == stored


@pytest.mark.parametrize("typed", ["8-21", "21:00-08:00", "08:00-08:00", "08:00-24:30", "08:00", "25:00-26:00", "x"])
def test_what_are_no_hours_is_refused(typed):
    with pytest.raises(BadHours):
        hours.read(typed)


def test_nothing_typed_means_any_time():
    assert hours.read("  ") is None


@pytest.mark.parametrize(
    ("country", "at", "opens"),
    [
        ("FR", utc(2026, 1, 5, 6, 59), utc(2026, 1, 5, 7)),  # 07:59 there
        ("FR", utc(2026, 1, 5, 7), utc(2026, 1, 5, 7)),
        ("FR", utc(2026, 1, 5, 20), utc(2026, 1, 6, 7)),  # 21:00 there is too late
        ("FR", utc(2026, 3, 28, 21), utc(2026, 3, 29, 6)),  # the night in which an hour is skipped
        ("FR", utc(2026, 10, 24, 20), utc(2026, 10, 25, 7)),  # the night with an hour twice
        ("IS", utc(2026, 7, 1, 22), utc(2026, 7, 2, 8)),  # no summer time
        ("US", utc(2026, 1, 5, 14), utc(2026, 1, 5, 18)),  # 08:00 in Hawaii is 13:00 in New York
        ("US", utc(2026, 1, 6, 2), utc(2026, 1, 6, 18)),  # 21:00 in New York closes
        ("", utc(2026, 1, 6, 2), utc(2026, 1, 6, 2)),  # not known where: always
    ],
)
def test_next_opening(country, at, opens):
    assert hours.opening(DAY, country, at) == opens


def test_lord_howe_moves_its_clocks_by_half_an_hour_only():
    early, zone = Hours(2 * 60 + 15, 3 * 60), ZoneInfo("Australia/Lord_Howe")
    start = utc(2026, 10, 3)  # the clocks go from 02:00 to 02:30 on the 4th: 15:30 in UTC
    assert (utc(2026, 10, 3, 15, 30), utc(2026, 10, 3, 16)) in hours._in_zone(early, zone, start)


def test_closing_runs_over_midnight_of_utc():
    assert hours.closing(DAY, "NZ", utc(2026, 1, 5, 23)) == utc(2026, 1, 6, 7, 15)  # Chatham is 45 minutes ahead
    assert hours.closing(Hours(0, 24 * 60), "FR", utc(2026, 1, 5)) is None


def test_country_too_wide_for_the_hours_never_opens():
    short = Hours(9 * 60, 17 * 60)
    assert hours.opening(short, "RU", utc(2026, 1, 5)) is None
    assert hours.never_open(short, {"RU": 5, "FR": 3}, utc(2026, 1, 5)) == ["RU"]


def test_validity_counts_only_what_is_open():
    assert hours.after_open(DAY, "FR", utc(2026, 1, 5, 19), 4 * 3600) == utc(2026, 1, 6, 10)
    assert hours.after_open(DAY, "FR", utc(2026, 1, 5, 9), 4 * 3600) == utc(2026, 1, 5, 13)
    assert hours.after_open(DAY, "FR", utc(2026, 1, 5, 22), 26 * 3600) == utc(2026, 1, 7, 20)


def test_open_time_between_two_moments_leaves_the_nights_out():
    start = utc(2026, 1, 5, 19)  # 20:00 in Paris
    assert hours.open_seconds(DAY, "FR", start, utc(2026, 1, 6, 10)) == 4 * 3600
    assert hours.open_seconds(DAY, "FR", start, utc(2026, 1, 5, 19, 30)) == 1800
    assert hours.open_seconds(DAY, "FR", utc(2026, 1, 5, 21), utc(2026, 1, 6, 6)) == 0
    assert hours.open_seconds(DAY, "FR", start, utc(2026, 1, 15, 19)) == 10 * 13 * 3600
    assert hours.open_seconds(Hours(0, 24 * 60), "FR", start, utc(2026, 1, 6, 19)) == 86_400
    assert hours.open_seconds(Hours(9 * 60, 17 * 60), "RU", start, utc(2026, 1, 5, 20)) == 3600


@given(country=st.sampled_from(COUNTRIES), span=stretches, at=moments, seconds=st.integers(1, 2 * 86_400))
@settings(max_examples=40, deadline=None)
def test_what_is_open_until_the_end_of_a_validity_is_the_validity(country, span, at, seconds):
    chosen = Hours(*span)
    assert hours.open_seconds(chosen, country, at, hours.after_open(chosen, country, at, seconds)) == seconds


def test_closed_countries_are_told_with_their_own_time():
    (france,) = hours.closed(DAY, {"FR": 380, "IN": 3}, utc(2026, 1, 5, 5))
    assert (france.country, france.recipients) == ("FR", 380)
    assert f"{france.opens:%H:%M}" == "08:00"


@given(country=st.sampled_from(COUNTRIES), span=stretches, at=moments)
@settings(max_examples=40, deadline=None)
def test_opening_is_the_first_open_minute_by_every_clock(country, span, at):
    chosen = Hours(*span)
    found = hours.opening(chosen, country, at)
    minutes = [at + count * MINUTE for count in range(2 * 24 * 60)]
    clocks = distinct(country, at)
    by_clock = [all(chosen.covers(minute.astimezone(zone)) for zone in clocks) for minute in minutes]
    expected = next((minute for minute, is_open in zip(minutes, by_clock, strict=True) if is_open), None)
    assert found == expected or (expected is None and (found is None or found > minutes[-1]))


@given(country=st.sampled_from(COUNTRIES), span=stretches, at=moments)
@settings(max_examples=40, deadline=None)
def test_closing_is_the_first_closed_minute_after_open_ones(country, span, at):
    chosen = Hours(*span)
    found = hours.closing(chosen, country, at)
    assert (found is None) == (not hours.is_open(chosen, country, at) or span == (0, 1440))
    if found is not None:
        assert not hours.is_open(chosen, country, found)
        assert hours.is_open(chosen, country, found - MINUTE)
        assert all(hours.is_open(chosen, country, at + part * (found - at)) for part in (0, 0.25, 0.5, 0.9))


def distinct(country, at):
    """Leave out zones whose clocks show the same these days."""
    marks = [at + timedelta(hours=hour) for hour in range(73)]
    return {
        tuple(mark.astimezone(zone).utcoffset() for mark in marks): zone for zone in zones.zones_of(country)
    }.values()
