"""Times that gateways tell are moments in UTC, or none."""

from datetime import UTC, datetime

import pytest

from smsqueue.gateways.callbacks import from_iso, from_unix


@pytest.mark.parametrize(
    "told", ["2026-11-25T10:00:00", "2026-11-25T10:00:00Z", "2026-11-25 12:30:00+02:30", "2026-11-24T20:00:00-14:00"]
)
def test_a_time_is_one_of_utc(told):
    found = from_iso(told)
    assert found == datetime(2026, 11, 25, 10, tzinfo=UTC)
    assert found.tzinfo is UTC


@pytest.mark.parametrize(
    "told", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "yesterday", "", None, 5, ["2026-11-25"]]
)
def test_what_is_no_moment_of_ours_is_none(told):
    assert from_iso(told) is None


@pytest.mark.parametrize("told", ["99999999999999999999999", "-99999999999999", "", "x", "9" * 5000])
def test_seconds_that_no_calendar_has_are_none(told):
    assert from_unix(told) is None
