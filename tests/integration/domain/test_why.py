"""One sentence for whatever waits: why, since when, and who can end it."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import breaker, why
from smsqueue.domain.jobs import QUEUES
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Deferred, Sent
from smsqueue.models import Campaign, Rate, Recipient, State, Status
from smsqueue.queue import claim, control, workers
from smsqueue.queue.dispatch import HELD_UNTIL_US, SECOND, jobs
from tests.domain_fixtures import plain
from tests.domain_workers import Scripted
from tests.integration.domain.test_closing import in_the_air, record
from tests.integration.domain.test_holding_back import FRENCH, NIGHT, held, taken, with_hours

OURS = ("scripted",)


@pytest.fixture
def ask(store):
    """Ask why a campaign waits."""

    def ask(campaign, gateways=OURS):
        with store.reading() as session:
            return why.of_campaign(session, session.get_one(Campaign, campaign.id), gateways, now())

    return ask


@pytest.fixture
def ask_of(office):
    """Ask why each recipient of a campaign waits, which waits for a reason of its own."""

    def ask_of(campaign, reason):
        campaign = office.reload(campaign)
        found = [why.of_recipient(each, campaign, reason, now()) for each in office.recipients(campaign)]
        return [each for each in found if each is not None]

    return ask_of


@pytest.fixture
def working(store):
    """A worker that listens on all queues."""
    return store.write(lambda session: workers.register(session, QUEUES, 60))


def test_every_cause_that_somebody_can_end_by_a_command_names_it(office, store, ask):
    campaign = office.launched(2)
    assert ask(campaign).command == "flask sms work --daemon"
    worker = store.write(lambda session: workers.register(session, QUEUES, 60, pid=4711, is_paused=True))
    assert ask(campaign).command == "kill -CONT 4711"
    store.write(lambda s: control.pause(s, "sms"))
    assert ask(campaign).command == "flask sms resume sms"
    store.write(control.pause)
    assert ask(campaign).command == "flask sms resume all"
    store.write(control.begin_maintenance)
    assert ask(campaign).command == "flask sms up"
    office.execute(sa.update(Campaign).values(status=Status.PAUSED, paused_at=now()))
    assert ask(campaign).command == f"flask sms campaign resume {campaign.uuid}"
    assert worker


def test_many_campaigns_are_asked_about_at_once(office, store, working):
    waits, sent = office.launched(1), office.launched(1)
    office.execute(sa.update(Campaign).where(Campaign.id == sent.id).values(queued=0, sent=1))
    office.is_tampered = True
    with store.reading() as session:
        campaigns = session.scalars(sa.select(Campaign)).all()
        found = why.of_campaigns(session, campaigns, OURS, now())
    assert {id_: reason.sentence.partition(" since")[0] for id_, reason in found.items()} == {waits.id: "Next in line"}


def test_its_gateway_cannot_be_reached(office, store, ask, working):
    campaign = office.launched(12)
    intents = in_the_air(office, campaign, 11)
    away = [Answer(intent, Deferred(0, "unreachable", "connection refused")) for intent in intents]
    store.write(lambda s: breaker.note(s, breaker.Standing("scripted"), away, now()))
    record(office, campaign, *away)

    reason = ask(campaign)

    assert reason.sentence.startswith("Gateway scripted cannot be reached since ")
    assert "connection refused" in reason.sentence
    assert "by itself" in reason.sentence
    assert reason.since is not None
    assert ask(campaign, ("another",)) != reason


def test_another_gateway_takes_what_one_cannot(office, store, ask, working):
    campaign = office.launched(3)
    in_the_air(office, campaign, 1)
    store.write(lambda s: breaker.pause(s, "scripted", "ben", "moves house", now()))
    reason = ask(campaign, ("scripted", "second"))
    assert reason is None or "moves house" not in reason.sentence


def test_workers_are_said_to_be_busy_only_where_one_is(office, store, ask, working):
    first, second = office.launched(1), office.launched(1)
    assert ask(second).sentence.startswith("Next in line since ")
    store.write(lambda s: claim.claim(s, working, "sms", 1))
    assert ask(first) is None
    assert "workers are busy" in ask(second).sentence


def test_a_campaign_between_two_of_its_turns_does_not_wait(office, ask, ask_of, working):
    campaign = office.launched(1)
    office.execute(sa.update(Campaign).values(status=Status.PROCESSING, started_at=now()))
    assert ask(campaign) is None
    (waits,) = ask_of(campaign, None)
    assert waits.sentence == f"Waits for its turn since {why.at(waits.since)}. {waits.who}"
    office.execute(sa.update(jobs).values(available_at=jobs.c.available_at - 60 * 1_000_000))
    assert ask(campaign).sentence.startswith("Next in line since ")


@pytest.mark.usefixtures("working")
def test_the_first_ten_do_not_wait_for_themselves(office, ask, ask_of):
    campaign = office.launched(12)
    office.execute(sa.update(Campaign).values(first_ten=True))
    assert ask(campaign).sentence.startswith("Next in line since "), "before they begin, nobody waits for them"
    office.execute(sa.update(Campaign).values(status=Status.PROCESSING, started_at=now()))
    reason = ask(campaign)
    assert reason.sentence.startswith("The first 10 go alone since ")
    said = ask_of(campaign, reason)
    assert said[10:] == [reason] * 2
    assert all(each.sentence.startswith("Waits for its turn since ") for each in said[:10])


@pytest.mark.usefixtures("working")
def test_first_ten_whose_country_sleeps_wait_for_the_morning(office, store, ask, ask_of):
    campaign = office.launched(12, slice_rows=10)
    until = now() + timedelta(hours=8)
    night = sa.update(Recipient).where(Recipient.row <= 10)
    office.execute(night.values(code="hours", error="It is night in France", not_before=until))
    office.execute(sa.update(Campaign).values(first_ten=True, status=Status.PROCESSING, started_at=now()))
    with store.reading() as session:
        first, rest = session.scalars(sa.select(jobs.c.id).order_by(jobs.c.id))
    for id_, due in ((first, int(until.timestamp() * SECOND)), (rest, HELD_UNTIL_US)):
        office.execute(sa.update(jobs).where(jobs.c.id == id_).values(available_at=due))
    reason = ask(campaign)
    assert reason.sentence.startswith("It is night in France (since ")
    assert ask_of(campaign, reason)[0] == reason


@pytest.mark.usefixtures("working")
def test_who_is_held_in_a_paused_campaign_waits_for_whoever_resumes_it(office, ask, ask_of):
    campaign = office.launched(1)
    office.execute(sa.update(Recipient).values(code="hours", error="Night.", not_before=now() + timedelta(hours=8)))
    office.execute(sa.update(Campaign).values(status=Status.PAUSED, paused_at=now()))
    reason = ask(campaign)
    assert ask_of(campaign, reason) == [reason]


def test_who_is_put_off_for_the_night_or_held_waits_since_then(office):
    for _ in range(2):
        taken(office, office.launched(plain(1)))
    campaign = with_hours(office, [FRENCH, *plain(1)])
    held(office, campaign, NIGHT)
    night, brake = [why.of_recipient(row, campaign, None, NIGHT) for row in office.recipients(campaign)]
    assert night
    assert night.sentence == (
        "It is night in France: waits for 08:00-21:00 there (since 5 Jan, 23:00:00 UTC). "
        "It goes on by itself on 6 Jan, 07:00:00 UTC."
    )
    assert brake
    assert brake.sentence.startswith(
        "Held since 5 Jan, 23:00:00 UTC: the same words went, or are to go, to this number"
    )


def test_the_rate_of_its_gateway(office, store, ask, working):
    campaign = office.launched(100)
    in_the_air(office, campaign, 1)
    store.write(lambda s: s.add(Rate(name="gateway:scripted", per_second=0.5, due_us=0)))
    reason = ask(campaign)
    assert "as fast as its gateway takes it, 0.5 segments a second. It goes on" in reason.sentence
    assert reason.sentence.endswith("with at least 3 min to go.")
    assert reason.is_moving


def test_what_does_not_wait_has_no_sentence(office, make_crew, ask, ask_of):
    campaign = office.launched(1)
    make_crew(Scripted()).drain()
    assert ask(campaign) is None
    assert ask_of(campaign, None) == []


@pytest.mark.databases("sqlite")
def test_who_says_what_is_known_of_a_recipient(office):
    campaign = office.launched(2)
    intents = in_the_air(office, campaign, 1)
    record(office, campaign, Answer(intents[0], Sent("g")))
    sent, waiting = office.recipients(campaign)
    assert why.who_said(sent, office.attempts(campaign))[0] == "gateway scripted"
    assert why.who_said(waiting, [])[0] == "smsqueue"
    (attempt,) = office.attempts(campaign)
    attempt.reported, attempt.reported_at, sent.state = "delivered", now(), State.DELIVERED
    assert why.who_said(sent, [attempt])[0] == "the network, by a report of gateway scripted"
