"""What a team may launch: so many recipients a day, to its countries, at a time to come."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import limits
from smsqueue.domain.errors import BadDraft
from smsqueue.domain.limits import ForbiddenCountries, NeverOpen, OverCap, TooLate
from smsqueue.models import Campaign, Status, Team
from tests.domain_fixtures import plain


def rule(office, **values):
    """Set rules of the office's team."""
    office.execute(sa.update(Team).where(Team.id == office.team.id).values(**values))


def set_on(office, draft, **values):
    """Set something on a draft."""
    office.execute(sa.update(Campaign).where(Campaign.id == draft.id).values(**values))
    return office.reload(draft)


def test_at_the_cap_is_allowed_and_over_it_refused_with_the_numbers(office):
    rule(office, daily_cap=10)
    office.launched(7)
    draft = office.draft(4)
    with pytest.raises(
        OverCap, match=r"10 recipients a day. 7 are confirmed today, 3 are left, and this has 4"
    ) as told:
        office.launch(draft)
    assert (told.value.cap, told.value.used, told.value.left, told.value.wanted) == (10, 7, 3, 4)
    assert "--daily-cap 11" in str(told.value)
    assert office.reload(draft).status == Status.DRAFT
    assert office.balance() == 993
    office.launched(3)


def test_cancelled_recipients_do_not_count(office):
    rule(office, daily_cap=10)
    office.cancel(office.launched(10))
    office.launched(10)


def test_yesterdays_recipients_do_not_count(office):
    rule(office, daily_cap=10, time_zone="Europe/Paris")
    set_on(office, office.launched(10), confirmed_at=now() - timedelta(days=1, minutes=1))
    office.launched(10)


def test_another_teams_recipients_do_not_count(office, store):
    rule(office, daily_cap=10)
    type(office).open(store, "Neighbours", 100).launched(50)
    office.launched(10)


def test_cap_is_never_exceeded_by_fifty_launches_at_once(office):
    rule(office, daily_cap=10)
    drafts = [office.draft(plain(1), text=f"Hello {number}") for number in range(50)]

    def launch(draft):
        try:
            office.launch(draft)
        except OverCap:
            return False
        return True

    with ThreadPoolExecutor(50) as pool:
        launched = sum(pool.map(launch, drafts))
    assert launched == 10
    assert office.balance() == 990


@pytest.mark.parametrize("zone", ["Europe/Paris", "Pacific/Kiritimati", "America/Havana"])
def test_day_of_a_team_begins_at_its_own_midnight(zone):
    team = Team(time_zone=zone)
    first, after = limits.day_of(team, datetime(2026, 3, 29, 12, tzinfo=UTC))
    assert first <= datetime(2026, 3, 29, 12, tzinfo=UTC) < after
    assert (first.hour, after.hour) == (0, 0)


def test_country_closed_since_the_review_is_refused(office):
    draft = office.draft([*plain(2), "+447400123456"])
    rule(office, countries="US")
    with pytest.raises(ForbiddenCountries, match=r"United Kingdom \(1\)"):
        office.launch(draft)
    assert office.balance() == 1000


def test_time_that_went_by_while_the_page_was_open_is_refused(office):
    draft = set_on(office, office.draft(2), scheduled_for=now() - timedelta(minutes=1), time_zone="UTC")
    with pytest.raises(TooLate, match="is over"):
        office.launch(draft)


def test_hours_that_never_hold_in_all_of_a_country_are_refused(office):
    draft = set_on(office, office.draft(2), sending_hours="12:00-14:00")
    with pytest.raises(NeverOpen, match="United States has clocks so far apart"):
        office.launch(draft)


@pytest.mark.parametrize("typed", ["1,200", "1200", " 1 200 ", "1.200"])
def test_count_may_be_typed_as_people_write_it(typed):
    limits.check_typed_count(Team(type_count_above=1000), 1200, typed)


@pytest.mark.parametrize(("typed", "words"), [("", "is missing"), ("1,201", "You typed 1,201"), ("12e2", "12e2")])
def test_wrong_count_is_refused(typed, words):
    with pytest.raises(BadDraft, match=words):
        limits.check_typed_count(Team(type_count_above=1000), 1200, typed)


@pytest.mark.parametrize(("above", "total", "must"), [(1000, 1000, False), (1000, 1001, True), (0, 10**6, False)])
def test_count_is_asked_above_the_teams_number(above, total, must):
    assert limits.must_type_count(Team(type_count_above=above), total) is must


def test_same_text_to_the_same_list_is_found_for_a_day(office):
    first = office.launched(5)

    def same(draft, at=None):
        with office.store.reading() as session:
            return limits.same_as_today(session, draft, at or now()) is not None

    assert same(office.draft(5))
    assert not same(office.draft(4))
    assert not same(office.draft(plain(6)[1:]))
    assert not same(office.draft(5, text="Other"))
    assert not same(office.draft(5), now() + timedelta(days=2))
    office.cancel(first)
    assert not same(office.draft(5))
