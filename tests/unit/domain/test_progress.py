from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from smsqueue.domain.progress import Pace, pace, summary
from smsqueue.models import Campaign, State, Status

START = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def campaign(**values):
    """Make a campaign that is not in any database."""
    counters = dict.fromkeys((state.value for state in State), 0)
    money = {"charged": 0, "returned": 0, "spent": 0}
    return Campaign(**{"total": 0, "status": Status.PROCESSING, "reopened": 0, **counters, **money, **values})


def after(seconds):
    return START + timedelta(seconds=seconds)


def test_nothing_can_be_told_before_the_start():
    assert pace(campaign(total=100, queued=100), after(60)) == Pace(None, None)


def test_nothing_can_be_told_before_the_first_answer():
    assert pace(campaign(total=100, queued=90, sending=10, started_at=START), after(60)) == Pace(None, None)


def test_a_moment_is_too_short_to_tell_a_rate():
    assert pace(campaign(total=100, queued=90, sent=10, started_at=START), after(1)) == Pace(None, None)


def test_rate_and_time_left_are_measured_from_the_start():
    half = campaign(total=100, queued=50, sent=45, failed=3, unknown=2, started_at=START)

    assert pace(half, after(30)) == Pace(100.0, 30)


@pytest.mark.parametrize("status", [Status.SCHEDULED, Status.PENDING, Status.PAUSED, Status.CANCELLED])
def test_nothing_is_told_while_nothing_can_be_sent(status):
    half = {"total": 100, "queued": 50, "sent": 50, "started_at": START}

    assert pace(campaign(**half, status=status), after(30)) == Pace(None, None)
    assert pace(campaign(**half), after(30), is_moving=False) == Pace(None, None)


@pytest.mark.parametrize("lately", [None, 1.0, 2.0, 3.0])
def test_the_pace_is_that_since_the_start_while_the_last_two_minutes_do_not_deny_it(lately):
    half = campaign(total=1000, queued=500, sent=500, started_at=START)

    assert pace(half, after(300), lately=lately) == Pace(100.0, 300)


@pytest.mark.parametrize(
    ("lately", "shown"), [(10.0, Pace(600.0, 50)), (0.5, Pace(30.0, 1000)), (0.0, Pace(None, None))]
)
def test_after_a_night_or_an_outage_the_pace_is_that_of_the_last_two_minutes(lately, shown):
    half = campaign(total=1000, queued=500, sent=500, started_at=START)

    assert pace(half, after(12 * 3600 if lately > 1 else 300), lately=lately) == shown


@pytest.mark.parametrize(
    ("lately", "shown"), [(2.0, Pace(120.0, 5)), (None, Pace(None, None)), (0.0, Pace(None, None))]
)
def test_a_campaign_that_runs_again_the_next_day_has_the_pace_of_now(lately, shown):
    again = campaign(total=1000, queued=10, sent=990, started_at=START, reopened=1)

    assert pace(again, after(24 * 3600), lately=lately) == shown


def test_after_the_end_there_is_a_rate_and_nothing_left():
    ended = campaign(total=100, sent=100, started_at=START, finished_at=after(20))

    assert pace(ended, after(999)) == Pace(300.0, None)


def test_even_an_instant_campaign_has_a_rate():
    ended = campaign(total=1, sent=1, started_at=START, finished_at=START)

    assert pace(ended, START).rate == pytest.approx(60_000)


def test_a_summary_has_every_state_credits_and_iso_times():
    uuid = UUID(int=7)
    shown = summary(
        campaign(
            uuid=uuid, status=Status.COMPLETED, total=3, sent=1, failed=1, unknown=1, charged=3, returned=1, spent=1,
            started_at=START,
        )
    )  # fmt: skip

    assert shown == {
        "id": str(uuid),
        "status": "completed",
        "error": None,
        "total": 3,
        "counts": {
            "queued": 0,
            "sending": 0,
            "sent": 1,
            "delivered": 0,
            "undelivered": 0,
            "failed": 1,
            "unknown": 1,
            "cancelled": 0,
            "expired": 0,
            "suppressed": 0,
        },
        "credits": {"charged": 3, "returned": 1, "held": 1},
        "started_at": "2030-01-02T03:04:05+00:00",
        "finished_at": None,
    }


def test_unknown_recipients_count_as_done_and_reports_as_accepted():
    some = campaign(total=9, queued=1, sending=2, sent=1, delivered=1, undelivered=1, unknown=3)

    assert (some.done, some.accepted) == (6, 3)
