"""What a person types when choosing when something goes, for how long, and what then."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from smsqueue.domain import options
from smsqueue.domain.errors import BadDraft
from smsqueue.domain.options import AskWhich, Options
from smsqueue.models import Campaign, Kind, Team, UnknownPolicy

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
PARIS = "Europe/Paris"


def team(**values):
    """A team in Paris."""
    return Team(**{"time_zone": PARIS, "sending_hours": "08:00-21:00", "first_ten_above": 500, **values})


def draft(**values):
    """A campaign that is not stored."""
    known = {"kind": Kind.BULK, "total": 0, "sending_hours": "", "unknown_policy": "hold", "time_zone": ""}
    return Campaign(**{**known, **values})


def test_time_is_read_by_the_zones_clocks():
    moment = options.read_moment("2026-07-01", "09:00", "", PARIS, NOW)
    assert moment.astimezone(UTC) == datetime(2026, 7, 1, 7, tzinfo=UTC)


def test_browsers_may_send_seconds():
    assert options.read_moment("2026-07-01", "09:00:00", "", "UTC", NOW).hour == 9


@pytest.mark.parametrize(
    ("day", "time", "field", "words"),
    [
        ("", "09:00", "day", "Choose the day"),
        ("1.7.2026", "09:00", "day", "Choose the day"),
        ("2026-02-30", "09:00", "day", "Choose the day"),
        ("2026-07-01", "", "time", "Choose the time"),
        ("2026-07-01", "25:00", "time", "Choose the time"),
        ("2026-03-29", "02:30", "time", "the clocks go from 02:00 to 03:00"),
        ("2026-03-01", "13:00", "time", "is over"),
        ("2027-07-01", "09:00", "day", "within a year"),
    ],
)
def test_what_is_no_time_to_come_is_refused_at_its_field(day, time, field, words):
    with pytest.raises(BadDraft, match=words) as raised:
        options.read_moment(day, time, "", PARIS, NOW)
    assert raised.value.field == field


def test_time_that_is_there_twice_is_asked_for_and_then_taken():
    with pytest.raises(AskWhich) as raised:
        options.read_moment("2026-10-25", "02:30", "", PARIS, NOW)
    assert raised.value.field == "which"
    assert raised.value.later.astimezone(UTC) - raised.value.earlier.astimezone(UTC) == timedelta(hours=1)
    assert options.read_moment("2026-10-25", "02:30", "later", PARIS, NOW) == raised.value.later


@pytest.mark.parametrize("typed", ["59", "604801", "soon", "-5"])
def test_validity_that_cannot_be_is_refused(typed):
    with pytest.raises(BadDraft):
        options.read_validity(typed)


def test_nothing_chosen_means_the_usual():
    assert options.read_validity("") is None
    assert options.read_policy("") == UnknownPolicy.HOLD
    assert options.read_hours("") == ""
    assert options.usual(team(), Kind.BULK).sending_hours == "08:00-21:00"
    assert options.usual(team(), Kind.SINGLE).sending_hours == ""


@pytest.mark.parametrize(
    ("total", "chosen", "expected"), [(500, None, False), (501, None, True), (5, True, True), (900, False, False)]
)
def test_first_ten_go_alone_by_the_teams_rule_unless_somebody_says_so(total, chosen, expected):
    campaign = draft(total=total)
    Options(first_ten=chosen).put_on(campaign, team())
    assert campaign.first_ten is expected
    assert options.of(campaign).first_ten is chosen


def test_usual_validity_counts_only_open_hours_and_a_chosen_one_the_clock():
    evening = datetime(2026, 1, 5, 19, tzinfo=UTC)  # 20:00 in Paris
    campaign = draft(sending_hours="08:00-21:00", countries={"FR": 2})
    assert options.valid_until(campaign, evening, 14_400) == datetime(2026, 1, 6, 10, tzinfo=UTC)
    assert options.valid_until(campaign, evening, 14_400, share=0.5) == datetime(2026, 1, 6, 8, tzinfo=UTC)
    campaign.validity_seconds = 3600
    assert options.valid_until(campaign, evening, 14_400) == evening + timedelta(hours=1)
    assert options.valid_until(draft(countries={"FR": 2}), evening, 60) == evening + timedelta(minutes=1)


@pytest.mark.parametrize(("until", "is_short"), [(None, True), (time(8), True), (time(8, 30), False)])
def test_less_than_a_quarter_of_the_open_time_is_too_little_to_send_again(until, is_short):
    night = datetime(2026, 1, 5, 22, tzinfo=UTC)
    valid = until and datetime.combine(date(2026, 1, 6), until, UTC)
    campaign = draft(sending_hours="08:00-21:00", countries={"FR": 2}, valid_until=valid)
    assert options.is_short(campaign, night, 18_000) is is_short


def test_who_waits_and_who_is_woken():
    night = datetime(2026, 1, 5, 23, tzinfo=UTC)
    kept, free = (draft(sending_hours=hours, countries={"FR": 380, "JP": 3}) for hours in ("08:00-21:00", ""))
    (waiting,) = options.waiting_countries(kept, night)
    assert (waiting.country, waiting.recipients) == ("FR", 380)
    assert options.woken_countries(kept, night) == {}
    assert options.woken_countries(free, night) == {"FR": 380}


@pytest.mark.parametrize(
    ("chosen", "hours", "ends"),
    [
        (None, "08:00-12:00", datetime(2026, 1, 6, 8, tzinfo=UTC)),  # 09:00 in Paris: the hour that it had left
        (None, "08:00-18:00", datetime(2026, 1, 5, 14, tzinfo=UTC)),
        (None, "", datetime(2026, 1, 5, 14, tzinfo=UTC)),
        (3600, "08:00-12:00", datetime(2026, 1, 5, 14, tzinfo=UTC)),
    ],
)
def test_pause_gives_back_what_was_left_of_the_open_time_unless_a_validity_was_chosen(chosen, hours, ends):
    until = datetime(2026, 1, 5, 11, tzinfo=UTC)
    campaign = draft(sending_hours=hours, countries={"FR": 2}, validity_seconds=chosen, valid_until=until)
    paused, resumed = datetime(2026, 1, 5, 10, tzinfo=UTC), datetime(2026, 1, 5, 13, tzinfo=UTC)
    assert options.valid_after_pause(campaign, paused, resumed) == ends


def test_pause_gives_nothing_back_to_what_was_over_before_or_begins_later():
    until, day = datetime(2026, 1, 5, 11, tzinfo=UTC), timedelta(days=1)
    campaign = draft(sending_hours="08:00-12:00", countries={"FR": 2}, valid_until=until)
    assert options.valid_after_pause(campaign, until, until + day) == until + day
    assert options.valid_after_pause(campaign, until + day, until) == until
    assert options.valid_after_pause(draft(), until, until + day) is None
