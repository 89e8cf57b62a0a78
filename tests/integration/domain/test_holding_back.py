"""Recipients that may not go now: at night, or by the brake of their number."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.db import table_of
from smsqueue.domain import brake, unknowns
from smsqueue.domain.holding_back import hold_back
from smsqueue.domain.journal import Answer
from smsqueue.domain.resolving import Terms
from smsqueue.domain.unknowns import Choice, Decision
from smsqueue.gateways.base import Deferred, Unknown
from smsqueue.models import Attempt, Campaign, Recipient, State, Status, Team
from tests.domain_fixtures import plain
from tests.domain_workers import Scripted, at_once, race
from tests.integration.domain.test_closing import in_the_air, record

ALL = (1, 1000)
NIGHT = datetime(2026, 1, 5, 23, tzinfo=UTC)
"""Midnight in Paris, six in the evening in New York, eight in the morning in Tokyo."""
recipients, campaigns = table_of(Recipient), table_of(Campaign)
FRENCH, BRITISH, JAPANESE = "+33612345678", "+447400123456", "+819012345678"


def held(office, campaign, at=None, rows=ALL):
    """Hold back what may not go, and return when the next country closes."""
    return office.store.write(
        lambda session: hold_back(session, session.get_one(Campaign, campaign.id), rows, at or now())
    )


def codes(office, campaign):
    """What each recipient waits for."""
    return [row.code for row in office.recipients(campaign)]


def with_hours(office, numbers, hours="08:00-21:00"):
    """Launch a campaign that keeps hours."""
    draft = office.draft(numbers)
    office.execute(sa.update(campaigns).where(campaigns.c.id == draft.id).values(sending_hours=hours))
    return office.launch(draft)


def taken(office, campaign, outcome="sent", ago=timedelta()):
    """Let every recipient of a campaign have been sent to."""
    for row in office.recipients(campaign):
        attempt = Attempt(
            recipient_id=row.id,
            number=1,
            reference=f"r{row.id}",
            claim_token="c",
            gateway="log",
            outcome=outcome,
            started_at=now() - ago,
        )
        office.store.write(lambda session, attempt=attempt: session.add(attempt))
    gone = sa.update(recipients).where(recipients.c.campaign_id == campaign.id)
    office.execute(gone.values(state=State.SENT if outcome == "sent" else State.UNKNOWN))
    over = sa.update(campaigns).where(campaigns.c.id == campaign.id)
    office.execute(over.values(status=Status.COMPLETED, finished_at=now() - ago))
    office.is_tampered = True


def test_closed_countries_wait_for_their_morning_and_open_ones_go(office):
    campaign = with_hours(office, [FRENCH, JAPANESE, BRITISH])
    closes = held(office, campaign, NIGHT)
    rows = {row.number: row for row in office.recipients(campaign)}
    assert rows[FRENCH].not_before == datetime(2026, 1, 6, 7, tzinfo=UTC)
    assert rows[BRITISH].not_before == datetime(2026, 1, 6, 8, tzinfo=UTC)
    assert rows[FRENCH].code == "hours"
    assert "night in France" in (rows[FRENCH].error or "")
    assert rows[JAPANESE].not_before is None
    assert closes == datetime(2026, 1, 6, 12, tzinfo=UTC)  # 21:00 in Tokyo


def test_campaign_without_hours_goes_at_any_time(office):
    campaign = office.launched([FRENCH, JAPANESE])
    assert held(office, campaign, NIGHT) is None
    assert codes(office, campaign) == [None, None]


def test_only_the_slices_own_rows_are_put_off(office):
    campaign = with_hours(office, [FRENCH, BRITISH])
    held(office, campaign, NIGHT, rows=(2, 2))
    assert codes(office, campaign) == [None, "hours"]


def test_third_time_the_same_words_are_held(office):
    for _ in range(2):
        taken(office, office.launched(3))
    campaign = office.launched(4)
    held(office, campaign)
    assert codes(office, campaign) == ["brake", "brake", "brake", None]
    row = office.recipients(campaign)[0]
    assert row.not_before == brake.FOR_EVER
    assert "2 times within an hour" in (row.error or "")


@pytest.mark.parametrize("outcome", ["sending", "unknown"])
def test_what_may_have_been_taken_counts(office, outcome):
    for _ in range(2):
        taken(office, office.launched(1), outcome)
    campaign = office.launched(1)
    held(office, campaign)
    assert codes(office, campaign) == ["brake"]


@pytest.mark.parametrize("outcome", ["rejected", "deferred"])
def test_what_was_surely_not_taken_does_not_count(office, outcome):
    for _ in range(2):
        taken(office, office.launched(1), outcome)
    campaign = office.launched(1)
    held(office, campaign)
    assert codes(office, campaign) == [None]


def test_what_went_more_than_an_hour_ago_does_not_count(office):
    for _ in range(2):
        taken(office, office.launched(1), ago=timedelta(minutes=61))
    campaign = office.launched(1)
    held(office, campaign)
    assert codes(office, campaign) == [None]


def test_other_words_another_team_and_a_brake_that_is_off_hold_nothing(office, store):
    other = type(office).open(store, "Neighbours", 100)
    for _ in range(2):
        taken(other, other.launched(1))
        taken(office, office.launched(plain(3)[1:2]))
    campaign = office.launch(office.draft(1, text="Something else"))
    held(office, campaign)
    assert codes(office, campaign) == [None]
    office.execute(sa.update(Team).values(copies_per_hour=0))
    campaign = office.launched(2)
    held(office, campaign)
    assert codes(office, campaign) == [None, None]


def test_of_campaigns_that_all_wait_the_first_two_go(office):
    waiting = [office.launched(2) for _ in range(4)]
    for campaign in reversed(waiting):  # in whatever order workers come to them
        held(office, campaign)
    assert [codes(office, campaign) for campaign in waiting] == [
        [None, None],
        [None, None],
        ["brake"] * 2,
        ["brake"] * 2,
    ]


def test_campaign_for_another_day_does_not_count_as_waiting(office):
    for days in (1, 2):
        draft = office.draft(1)
        later = now() + timedelta(days=days)
        office.execute(sa.update(campaigns).where(campaigns.c.id == draft.id).values(scheduled_for=later))
        assert office.launch(draft).status == Status.SCHEDULED
    campaign = office.launched(1)
    held(office, campaign)
    assert codes(office, campaign) == [None]


def test_single_sms_has_the_brake_too(office):
    number = plain(1)[0]
    for _ in range(2):
        taken(office, office.launch(office.single(number)))
    campaign = office.launch(office.single(number))
    held(office, campaign, rows=(1, 1))
    assert codes(office, campaign) == ["brake"]


def test_person_lets_go_what_was_held_and_it_stays_so(office):
    for _ in range(2):
        taken(office, office.launched(2))
    campaign = office.launched(2)
    held(office, campaign)

    def free(session):
        mine = session.get_one(Campaign, campaign.id)
        return brake.held(session, mine), brake.let_go(session, mine, by="ann"), brake.held(session, mine)

    assert office.store.write(free) == (2, 2, 0)
    held(office, campaign)
    assert codes(office, campaign) == ["let_go", "let_go"]
    assert all(row.not_before is None for row in office.recipients(campaign))


def let_go(office, campaign):
    """Send what is held after all."""
    office.store.write(lambda session: brake.let_go(session, session.get_one(Campaign, campaign.id)))


def test_who_was_let_go_is_not_held_again_for_what_the_gateway_or_the_night_does(office, make_crew):
    for _ in range(2):
        taken(office, office.launched(1))
    campaign = office.launched(1)
    held(office, campaign)
    let_go(office, campaign)
    make_crew(Scripted(lambda _outgoing: Deferred(0, "throttled", "busy"))).drain()
    (row,) = office.recipients(campaign)
    assert (row.state, row.code, row.error) == ("queued", "let_go", "busy")
    office.execute(sa.update(campaigns).where(campaigns.c.id == campaign.id).values(sending_hours="08:00-21:00"))
    night = (now() + timedelta(days=1)).replace(hour=7)  # in the United States
    office.hurry()
    held(office, campaign, night)
    (row,) = office.recipients(campaign)
    assert (row.code, (row.error or "")[:11]) == ("let_go_hours", "It is night")
    office.execute(sa.update(campaigns).where(campaigns.c.id == campaign.id).values(sending_hours=""))
    make_crew(Scripted()).finish(office)
    assert office.states(campaign) == {"sent": 1}


@pytest.mark.databases("postgresql", "mariadb")
def test_what_is_held_while_somebody_lets_others_go_can_be_let_go_as_well(office, store):
    for _ in range(2):
        taken(office, office.launched(2))
    campaign = office.launched(2)
    held(office, campaign, rows=(1, 1))

    def hold_the_other(session):
        hold_back(session, session.get_one(Campaign, campaign.id), (2, 2), now())

    race(store, hold_the_other, lambda session: brake.let_go(session, session.get_one(Campaign, campaign.id)))
    with store.reading() as session:
        counted = brake.held(session, session.get_one(Campaign, campaign.id))
    assert counted == codes(office, campaign).count("brake")


def test_what_nobody_can_tell_of_is_repeated_once_and_then_held_though_its_campaign_still_runs(office):
    campaign = office.launched(2)
    for _ in range(2):
        held(office, campaign, rows=(1, 2))
        (one,) = in_the_air(office, campaign, room=1)
        record(office, campaign, Answer(one, Unknown("lost")))
        unknowns.decide(office.store, Choice(campaign.id), Decision.AGAIN, Terms(-10, 1), by="ann")
    held(office, campaign, rows=(1, 2))
    assert codes(office, campaign) == ["brake", None]


def test_held_recipients_are_sent_once_they_are_let_go(office, crew):
    for _ in range(2):
        campaign = office.launched(3)
        crew.finish(office)
        assert office.reload(campaign).accepted == 3
    campaign = office.launched(5)
    crew.drain()
    assert office.states(campaign) == {"queued": 3, "sent": 2}
    let_go(office, campaign)
    crew.finish(office)
    assert office.states(campaign) == {"sent": 5}
    assert office.reload(campaign).status == Status.COMPLETED


def test_held_recipients_nobody_lets_go_expire_and_are_credited(office, crew):
    for _ in range(2):
        office.launched(3)
        crew.finish(office)
    before = office.balance()
    campaign = office.launched(5)
    crew.drain()
    past = now() - timedelta(minutes=1)
    office.execute(sa.update(campaigns).where(campaigns.c.id == campaign.id).values(valid_until=past))
    office.hurry()
    crew.finish(office)
    assert office.states(campaign) == {"expired": 3, "sent": 2}
    assert office.balance() == before - 2


def test_workers_on_four_campaigns_at_once_send_the_same_words_twice_to_each_number(office, make_crew):
    waiting = [office.launched(6, slice_rows=2) for _ in range(4)]
    gateway = Scripted()
    crews = [make_crew(gateway, SMS_CONCURRENCY="2") for _ in range(4)]
    assert at_once([crew.drain for crew in crews]) == [None] * 4
    assert Counter(gateway.numbers) == dict.fromkeys(plain(6), 2)
    assert [office.states(campaign) for campaign in waiting] == [{"sent": 6}] * 2 + [{"queued": 6}] * 2


def test_workers_call_nobody_outside_of_the_hours_and_the_campaign_stays_valid(office, crew):
    campaign = with_hours(office, [FRENCH, JAPANESE], hours=f"{now():%H}:00-{now():%H}:01")
    crew.drain()
    rows = office.recipients(campaign)
    assert {row.state for row in rows} == {State.QUEUED}
    assert all(row.code == "hours" and row.not_before is not None for row in rows)
    assert office.reload(campaign).valid_until > now() + timedelta(days=1)
