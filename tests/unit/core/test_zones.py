"""Local times that are there once, twice or never."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsqueue.core import zones
from smsqueue.core.zones import NoSuchTime, NoSuchZone, TwoTimes

PARIS = ZoneInfo("Europe/Paris")
NAMES = ("Europe/Paris", "Australia/Lord_Howe", "America/New_York", "Asia/Kolkata", "UTC", "America/St_Johns")


def test_every_country_with_telephone_numbers_has_clocks():
    assert [code for code in phonenumbers.SUPPORTED_REGIONS if not zones.zones_of(code)] == []


def test_time_that_the_clocks_skip_is_refused_with_the_reason():
    with pytest.raises(NoSuchTime, match=r"no 02:30 on 29 Mar 2026 in Europe/Paris.*from 02:00 to 03:00"):
        zones.moment_of(datetime.fromisoformat("2026-03-29T02:30"), PARIS)


def test_gap_of_half_an_hour():
    with pytest.raises(NoSuchTime, match="from 02:00 to 02:30"):
        zones.moment_of(datetime.fromisoformat("2026-10-04T02:10"), ZoneInfo("Australia/Lord_Howe"))


def test_time_that_is_there_twice_is_asked_for():
    local = datetime.fromisoformat("2026-10-25T02:30")
    with pytest.raises(TwoTimes, match="02:30 is there twice on 25 Oct 2026") as raised:
        zones.moment_of(local, PARIS)
    assert raised.value.earlier.astimezone(UTC) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert zones.moment_of(local, PARIS, "earlier").astimezone(UTC) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    assert zones.moment_of(local, PARIS, "later").astimezone(UTC) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("Europe/Paris", "1 Jul 2026, 11:00 in Europe/Paris (UTC+2)"),
        ("America/St_Johns", "1 Jul 2026, 06:30 in America/St_Johns (UTC-2:30)"),
        ("UTC", "1 Jul 2026, 09:00 in UTC"),
    ],
)
def test_zone_is_spelled_out(name, words):
    assert zones.said(datetime(2026, 7, 1, 9, tzinfo=UTC), ZoneInfo(name)) == words


@pytest.mark.parametrize("name", ["Europe/Pris", "", "../etc/passwd", "europe/paris"])
def test_zone_that_there_is_not_is_refused(name):
    with pytest.raises(NoSuchZone):
        zones.find(name)


@given(st.sampled_from(NAMES), st.datetimes(*map(datetime.fromisoformat, ("2025-01-01", "2028-01-01"))))
def test_every_moment_is_found_again_by_what_the_clocks_show(name, naive):
    zone, moment = ZoneInfo(name), naive.replace(tzinfo=UTC)
    shown = moment.astimezone(zone)
    which = "later" if shown.fold else "earlier"
    assert zones.moment_of(shown.replace(tzinfo=None, fold=0), zone, which).astimezone(UTC) == moment
