"""Sending again to those of whom nobody can tell: what becomes of the campaign, its time, and of the first try."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import (
    again,
    answers,
    campaigns,
    delivery,
    expiring,
    journal,
    optouts,
    pausing,
    questions,
    resolving,
    stopping,
    unknowns,
)
from smsqueue.domain.jobs import FetchReportsJob
from smsqueue.domain.journal import Answer
from smsqueue.domain.resolving import Terms
from smsqueue.domain.unknowns import Choice, Decision
from smsqueue.gateways.base import Deferred, NotFound, Rejected, Report, Unknown
from smsqueue.models import Campaign, Status, UnknownPolicy
from smsqueue.queue.dispatch import enqueue
from tests.domain_workers import Scripted, race
from tests.integration.domain.test_closing import close, in_the_air, record
from tests.integration.domain.test_unknowns import Asked, age, look, sent

AT_ONCE = Terms(-10, 1)
"""Nobody waits for a call's end, and an hour of validity is usual."""
LOST = Unknown("lost")


def lost(office, count=2, calls=1, **values: Any):
    """Launch a campaign some of whose first calls are lost."""
    draft = office.draft(count)
    if values:
        office.execute(sa.update(Campaign).where(Campaign.id == draft.id).values(**values))
    campaign = office.launch(office.reload(draft))
    record(office, campaign, *(Answer(intent, LOST) for intent in in_the_air(office, campaign, calls)))
    return campaign


def send_again(office, campaign, terms=AT_ONCE):
    """Have all unknown ones sent again, as a person does."""
    return unknowns.decide(office.store, Choice(campaign.id), Decision.AGAIN, terms, by="me")


def test_why_a_campaign_failed_stays_when_one_is_sent_again(office, make_crew):
    campaign = lost(office, 3)
    refusal = Rejected("auth", "wrong key", "account")
    office.store.write(lambda s: stopping.stop_for_account(s, s.get_one(Campaign, campaign.id), refusal))
    close(office, campaign)
    failed = office.reload(campaign)
    assert (failed.status, office.states(campaign)) == (Status.FAILED, {"unknown": 1, "failed": 2})

    send_again(office, campaign)
    make_crew(Scripted()).finish(office)

    after = office.reload(campaign)
    assert (after.status, after.error, office.states(campaign)) == (
        Status.FAILED,
        failed.error,
        {"sent": 1, "failed": 2},
    )
    assert len(office.notices()) == 2


@pytest.mark.databases("postgresql", "mariadb")  # SQLite has one writer at a time
def test_no_rule_sends_again_what_is_cancelled_at_the_same_moment(office, store):
    campaign = lost(office, 3, unknown_policy=UnknownPolicy.RESEND)
    with store.reading() as session:
        asked = questions.read(session, session.get_one(Campaign, campaign.id), 0, 10, now())

    race(
        store,
        lambda s: campaigns.cancel(s, office.team.id, campaign.uuid),
        lambda s: answers.decide(s, campaign.id, asked, AT_ONCE),
    )

    assert office.reload(campaign).status == Status.CANCELLED
    assert office.states(campaign) == {"unknown": 1, "cancelled": 2}


def paused(office, campaign, *, since, left):
    """Pause a campaign, as if that had been some time ago, when it had so much of its validity left."""
    office.store.write(lambda s: pausing.pause(s, office.team.id, campaign.uuid))
    office.execute(sa.update(Campaign).values(paused_at=now() - since, valid_until=now() - since + left))


def test_what_is_sent_again_in_a_pause_makes_nothing_valid_for_longer(office):
    campaign = lost(office)
    paused(office, campaign, since=timedelta(hours=48), left=timedelta(hours=1))

    send_again(office, campaign)
    resumed = office.store.write(lambda s: pausing.resume(s, office.team.id, campaign.uuid))

    assert timedelta(minutes=59) < resumed.valid_until - now() < timedelta(minutes=61)


def test_what_is_sent_again_in_a_running_campaign_leaves_its_time_as_it_is(office):
    campaign = lost(office)
    enough = now() + timedelta(minutes=61)
    office.execute(sa.update(Campaign).values(valid_until=enough))

    send_again(office, campaign)

    assert office.reload(campaign).valid_until == enough


def test_what_a_person_sends_again_near_the_end_has_the_campaigns_time_again(office):
    campaign = lost(office)
    office.execute(sa.update(Campaign).values(valid_until=now() + timedelta(minutes=59)))

    send_again(office, campaign)

    assert timedelta(minutes=239) < office.reload(campaign).valid_until - now() <= timedelta(minutes=240)


def test_what_a_rule_sends_again_near_the_end_makes_nothing_valid_for_longer(office):
    campaign = lost(office, unknown_policy=UnknownPolicy.RESEND)
    soon = now() + timedelta(minutes=5)
    office.execute(sa.update(Campaign).values(valid_until=soon))
    with office.store.reading() as session:
        asked = questions.read(session, office.reload(campaign), 0, 10, now())

    office.store.write(lambda s: answers.decide(s, campaign.id, asked, AT_ONCE))

    assert (office.states(campaign), office.reload(campaign).valid_until) == ({"queued": 2}, soon)


def test_what_was_cancelled_and_is_sent_again_is_not_called_cancelled(office, make_crew):
    campaign = lost(office)
    office.cancel(campaign)
    close(office, campaign)
    assert office.reload(campaign).status == Status.CANCELLED

    send_again(office, campaign)
    make_crew(Scripted()).finish(office)

    after = office.reload(campaign)
    assert (after.status, after.error, office.states(campaign)) == (
        Status.COMPLETED,
        None,
        {"sent": 1, "cancelled": 1},
    )


def test_what_was_given_up_and_cancelled_and_is_sent_again_says_what_was_given_up(office, make_crew):
    campaign = lost(office)
    office.store.write(lambda s: stopping.give_up(s, s.get_one(Campaign, campaign.id), (2, 2), "an error", now()))
    office.cancel(campaign)
    close(office, campaign)

    send_again(office, campaign)
    make_crew(Scripted()).finish(office)

    after = office.reload(campaign)
    assert (after.status, after.error) == (Status.FAILED, "A part of it was given up before it was cancelled.")


def test_what_was_not_taken_waits_for_the_end_of_a_long_pause(office):
    campaign = lost(office)
    (one, _) = office.recipients(campaign)
    paused(office, campaign, since=timedelta(hours=2), left=timedelta(hours=1))

    def put_back(session):
        mine = session.get_one(Campaign, campaign.id)
        locked = resolving.lock(session, mine, [one.id], now() + timedelta(hours=1))
        resolving.put_back(session, mine, locked, "not taken", AT_ONCE)

    office.store.write(put_back)

    assert office.states(campaign) == {"queued": 2}


def test_many_that_are_sent_again_are_told_of_once(office, make_crew, monkeypatch):
    campaign = office.launched(4)
    make_crew(Scripted(lambda _: LOST)).drain()
    age(office)
    assert len(office.notices()) == 1
    crew = make_crew(Scripted())
    monkeypatch.setattr(unknowns, "CHUNK", 2)
    monkeypatch.setattr(delivery, "follow_up", lambda *_: crew.drain())  # each portion ends before the next

    send_again(office, campaign, Terms(1, 1))
    crew.drain()

    assert (office.states(campaign), len(office.notices())) == ({"sent": 4}, 2)


def comes_to_nothing(office, campaign, how):
    """Let the second try come to nothing."""
    match how:
        case "refused":
            (second,) = in_the_air(office, campaign)
            record(office, campaign, Answer(second, Rejected("busy", "busy just now")))
        case "cancelled in the air":
            (second,) = in_the_air(office, campaign)
            office.cancel(campaign)
            record(office, campaign, Answer(second, Deferred(0, "throttled", "later")))
        case "cancelled":
            office.cancel(campaign)
        case "too late":
            office.execute(sa.update(Campaign).values(valid_until=now()))
            office.store.write(lambda s: expiring.end_overdue(s, campaign.id))
        case "opted out":
            (number,) = (row.number for row in office.recipients(campaign))
            office.store.write(lambda s: optouts.add_all(s, {(office.team.id, number)}, source="stop"))
            office.store.write(lambda s: optouts.suppress(s, s.get_one(Campaign, campaign.id), (1, 1)))


@pytest.mark.parametrize("how", ["refused", "cancelled in the air", "cancelled", "too late", "opted out"])
def test_a_second_try_that_comes_to_nothing_leaves_the_first_unknown(office, how):
    campaign = lost(office, 1)
    send_again(office, campaign)

    comes_to_nothing(office, campaign, how)

    (row,), after = office.recipients(campaign), office.reload(campaign)
    assert (row.state, after.returned, after.held) == ("unknown", 0, 1)
    assert "Nobody can tell of an earlier try, and the last one came to nothing" in row.error


@pytest.mark.parametrize("how", ["refused", "cancelled in the air"])
@pytest.mark.parametrize("late", [Rejected("1", "refused"), Deferred(0, "throttled", "later")])
def test_a_late_refusal_of_the_first_try_credits_who_was_unknown_for_it_alone(office, late, how):
    campaign = office.launched(1)
    (first,) = in_the_air(office, campaign)
    office.store.write(lambda s: journal.mark_crashed(s, s.get_one(Campaign, campaign.id), (1, 1), now()))
    send_again(office, campaign)
    comes_to_nothing(office, campaign, how)
    assert office.states(campaign) == {"unknown": 1}

    record(office, campaign, Answer(first, late))  # the frozen worker wakes up, and writes down what it was told

    after = office.reload(campaign)
    assert (office.states(campaign), after.returned, after.held) == ({"failed": 1}, 1, 0)


@pytest.fixture
def doubted(office, make_crew):
    """A campaign whose first try was lost and whose second was refused; and what its gateway said of the first."""
    campaign = office.launched(1, validity_seconds=86_400)
    gateway = Asked(LOST, answer=lambda _: LOST)
    (crew := make_crew(gateway)).drain()
    age(office)
    send_again(office, campaign, Terms(62, 3600))
    gateway.answer = lambda _: Rejected("busy", "busy just now", may_retry=True)
    crew.finish(office)
    assert office.states(campaign) == {"unknown": 1}
    age(office)
    return campaign, gateway, crew


def test_of_two_tries_the_one_is_asked_about_of_which_nobody_can_tell(office, doubted):
    campaign, gateway, crew = doubted
    gateway.looks = [sent]

    look(office, crew, campaign)

    assert {asked[0].reference for asked in gateway.asked} == {office.attempts(campaign)[0].reference}
    after = office.reload(campaign)
    assert (office.states(campaign), after.spent, after.held) == ({"sent": 1}, 1, 0)


def test_who_was_not_taken_by_the_first_try_nor_the_second_is_credited(office, doubted):
    campaign, gateway, crew = doubted
    gateway.looks = [NotFound()]
    for _ in range(2):
        look(office, crew, campaign)
        age(office)

    after = office.reload(campaign)
    assert (office.states(campaign), after.returned, len(gateway.calls)) == ({"failed": 1}, 1, 2)
    with office.store.reading() as session:
        assert again.offer(session, after) == again.Offer(1, 1)


def test_reports_are_asked_for_also_of_the_first_try(office, doubted):
    campaign, gateway, crew = doubted
    gateway.looks = [sent]
    look(office, crew, campaign)
    gateway.traits = replace(gateway.traits, fetch="its reference")
    gateway.fetch = lambda reference: Report(state="delivered", gateway_reference=reference)
    age(office, 90_000)

    office.store.write(lambda session: enqueue(session, FetchReportsJob(campaign_id=campaign.id)))
    crew.drain()

    assert office.states(campaign) == {"delivered": 1}


def test_a_person_may_count_the_first_try_as_sent_or_not(office, doubted):
    campaign, _, _ = doubted
    choice = Choice(campaign.id)
    with office.store.reading() as session:
        (row,) = unknowns.listing(session, [choice])
        facts = unknowns.facts(session, office.reload(campaign), AT_ONCE)
    assert (row.id, facts.count) == (office.recipients(campaign)[0].id, 1)

    unknowns.decide(office.store, choice, Decision.SENT, AT_ONCE, by="me")

    assert [attempt.outcome for attempt in office.attempts(campaign)] == ["sent", "rejected"]
    assert office.states(campaign) == {"sent": 1}


def test_a_rule_sends_again_once_also_when_that_came_to_nothing(office, doubted):
    campaign, gateway, crew = doubted
    office.execute(sa.update(Campaign).values(unknown_policy=UnknownPolicy.RESEND))
    age(office, 4000)

    look(office, crew, campaign)

    assert (office.states(campaign), len(gateway.calls)) == ({"unknown": 1}, 2)


def test_who_was_not_taken_by_the_second_try_may_have_got_the_first(office, make_crew):
    campaign = office.launched(1)
    gateway = Asked(LOST)
    (crew := make_crew(gateway)).drain()
    age(office)
    send_again(office, campaign, Terms(62, 3600))
    crew.finish(office)
    gateway.looks = [NotFound()]
    gateway.asked.clear()
    for _ in range(3):
        age(office)
        look(office, crew, campaign)

    first, second = office.attempts(campaign)
    assert (first.outcome, second.outcome, office.states(campaign)) == ("unknown", "deferred", {"unknown": 1})
    assert [asked[0].reference for asked in gateway.asked] == [second.reference] * 2 + [first.reference]
    assert (office.reload(campaign).returned, len(gateway.calls)) == (0, 2)
