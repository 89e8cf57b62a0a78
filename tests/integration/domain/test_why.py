"""One sentence for whatever waits: why, since when, and who can end it."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import brake, breaker, why
from smsqueue.domain.jobs import QUEUES
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Deferred, Sent
from smsqueue.models import Campaign, Rate, Recipient, State, Status
from smsqueue.queue import claim, control, workers
from smsqueue.queue.dispatch import jobs
from tests.domain_workers import Scripted
from tests.integration.domain.test_closing import in_the_air, record

OURS = ("scripted",)


@pytest.fixture
def ask(store):
    """Ask why a campaign waits."""

    def ask(campaign, gateways=OURS):
        with store.reading() as session:
            return why.of_campaign(session, session.get_one(Campaign, campaign.id), gateways, now())

    return ask


@pytest.fixture
def working(store):
    """A worker that listens on all queues."""
    return store.write(lambda session: workers.register(session, QUEUES, 60))


def test_nobody_works(office, ask):
    reason = ask(office.launched(2))
    assert (reason.sentence, reason.command) == (why.NOBODY, "flask sms work --daemon")


def test_an_operator_paused_the_queue(office, store, ask, working):
    campaign = office.launched(2)
    store.write(lambda s: control.pause(s, "sms", author="ben", reason="new tariff"))
    reason = ask(campaign)
    assert "paused, by ben since" in reason.sentence
    assert "new tariff" in reason.sentence
    assert (reason.since is not None, reason.command) == (True, "flask sms resume sms")


def test_it_is_paused_or_scheduled(office, ask, working):
    campaign = office.launched(2)
    at = now() + timedelta(hours=3)
    office.execute(sa.update(Campaign).values(status=Status.PAUSED, paused_at=now()))
    paused = ask(campaign)
    office.execute(sa.update(Campaign).values(status=Status.SCHEDULED, scheduled_for=at, time_zone="UTC"))
    scheduled = ask(campaign)
    assert "until somebody resumes it" in paused.sentence
    assert paused.command == f"flask sms campaign resume {campaign.uuid}"
    assert scheduled.sentence.startswith("It starts by itself on ")
    assert scheduled.until == at


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


def test_its_gateway_is_paused(office, store, ask, working):
    campaign = office.launched(1)
    store.write(lambda s: breaker.pause(s, "scripted", "ben", "moves house", now()))
    reason = ask(campaign)
    assert "is paused since" in reason.sentence
    assert "ben: moves house" in reason.sentence
    assert reason.command == "flask sms gateway resume scripted"


def test_another_gateway_takes_what_one_cannot(office, store, ask, working):
    campaign = office.launched(3)
    in_the_air(office, campaign, 1)
    store.write(lambda s: breaker.pause(s, "scripted", "ben", "moves house", now()))
    reason = ask(campaign, ("scripted", "second"))
    assert reason is None or "moves house" not in reason.sentence


def test_it_waits_for_its_turn(office, ask, working):
    assert ask(office.launched(1)).sentence == why.IN_LINE


def test_workers_are_at_it(office, store, ask, working):
    campaign = office.launched(1)
    store.write(lambda s: claim.claim(s, working, "sms", 1))
    assert ask(campaign) is None


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (("hours", "It is night in France: waits for 08:00-21:00 there.", timedelta(hours=8)), "goes on by itself on "),
        (("brake", "Held: the same words went.", None), "until somebody of the team lets it go"),
        (("throttled", "too many requests", timedelta(seconds=40)), "(too many requests). It is tried again by itself"),
    ],
)
@pytest.mark.usefixtures("working")
def test_what_its_recipients_wait_for(office, ask, held, words):
    code, error, until = held
    campaign = office.launched(3)
    moment = now() + until if until else brake.FOR_EVER
    office.execute(sa.update(Recipient).values(code=code, error=error, not_before=moment))
    office.execute(sa.update(jobs).values(available_at=jobs.c.available_at + 3600 * 1_000_000))

    reason = ask(campaign)

    assert words in reason.sentence
    assert error.rstrip(".") in reason.sentence
    assert (reason.until is None) == (until is None)
    (first, *_others) = office.recipients(campaign)
    assert why.of_recipient(first, reason.sentence, now()) == reason.sentence


def test_the_rate_of_its_gateway(office, store, ask, working):
    campaign = office.launched(100)
    in_the_air(office, campaign, 1)
    store.write(lambda s: s.add(Rate(name="gateway:scripted", per_second=0.5, due_us=0)))
    sentence = ask(campaign).sentence
    assert sentence == "The gateway takes 0.5 segments a second: at least 3 min to go."


def test_what_does_not_wait_has_no_sentence(office, make_crew, ask):
    campaign = office.launched(1)
    make_crew(Scripted()).drain()
    assert ask(campaign) is None
    (recipient,) = office.recipients(campaign)
    assert why.of_recipient(recipient, None, now()) is None


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
