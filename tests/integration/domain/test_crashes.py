"""Workers that die, freeze or lose their database in the middle of a slice: nobody is texted twice, nothing is lost."""

import threading
from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.db import Database, build_engine
from smsqueue.domain import journal, resolving
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Deferred, Rejected, Sent, Unknown
from smsqueue.models import Campaign, Status
from smsqueue.queue import events, workers
from smsqueue.queue.dispatch import jobs
from tests.domain_fixtures import plain
from tests.domain_workers import Crew, Held, Scripted
from tests.integration.domain.proxy import Proxy
from tests.integration.domain.test_closing import close, in_the_air, record
from tests.outside import wait_until


def bury_everybody(office):
    """Let every lease run out, and free the jobs."""
    office.bury_workers()
    office.store.write(workers.bury_expired)


def mark_crashed(office, campaign):
    """Do what the next claim of a slice does first."""

    def mark(session):
        mine = session.get_one(Campaign, campaign.id)
        journal.mark_crashed(session, mine, (1, mine.total), mine.confirmed_at)

    office.store.write(mark)


def test_what_an_earlier_claim_left_in_the_air_is_unknown_and_never_sent_again(office, make_crew):
    campaign = office.launched(12, slice_rows=6)
    left = in_the_air(office, campaign, room=3)

    make_crew(gateway := Scripted()).finish(office)

    assert office.states(campaign) == {"unknown": 3, "sent": 9}
    assert not {intent.outgoing.to for intent in left} & set(gateway.numbers)
    assert office.recipients(campaign)[0].error == journal.CRASHED
    assert [attempt.outcome for attempt in office.attempts(campaign)[:3]] == ["unknown"] * 3
    assert office.reload(campaign).held == 3


@pytest.mark.parametrize(
    ("outcome", "state", "balance"),
    [
        (Sent("r"), "sent", 998),
        (Rejected("bad", "a bad number"), "failed", 999),
        (Unknown("lost"), "unknown", 998),
        (Deferred(1, "throttled", "later"), "queued", 998),
    ],
)
def test_an_answer_that_comes_after_all_still_decides_what_was_unknown(office, outcome, state, balance):
    campaign = office.launched(2)
    intents = in_the_air(office, campaign)
    mark_crashed(office, campaign)

    record(office, campaign, Answer(intents[0], outcome))

    assert [row.state for row in office.recipients(campaign)] == [state, "unknown"]
    assert office.balance() == balance


def test_a_call_that_was_not_made_goes_out_by_a_job_of_its_own_while_the_campaign_runs(office, make_crew):
    campaign = office.launched(2)
    intents = in_the_air(office, campaign)
    mark_crashed(office, campaign)
    office.execute(sa.delete(jobs))

    record(office, campaign, Answer(intents[0], Deferred(0, "unreachable", "not called")))
    make_crew(gateway := Scripted()).finish(office)

    assert gateway.numbers == [intents[0].outgoing.to]
    assert office.states(campaign) == {"sent": 1, "unknown": 1}


def test_a_call_that_was_not_made_is_credited_when_the_campaign_has_ended(office):
    campaign = office.launched(2)
    intents = in_the_air(office, campaign)
    mark_crashed(office, campaign)
    assert close(office, campaign)

    record(office, campaign, Answer(intents[0], Deferred(0, "unreachable", "not called")))

    after = office.reload(campaign)
    assert (after.failed, after.unknown, after.queued, after.returned) == (1, 1, 0, 1)
    assert after.status == Status.COMPLETED


@pytest.mark.parametrize(("decided", "charged"), [("queued", 2), ("failed", 3)])
def test_an_acceptance_that_comes_after_somebody_has_decided_is_not_dropped(office, decided, charged):
    campaign = office.launched(2)
    intents = in_the_air(office, campaign)
    mark_crashed(office, campaign)
    close(office, campaign)
    office.store.write(lambda session: decide(session, campaign, intents[0].recipient_id, decided))
    assert office.recipients(campaign)[0].state == decided

    record(office, campaign, Answer(intents[0], Sent("r")))

    after = office.reload(campaign)
    assert [row.state for row in office.recipients(campaign)] == ["sent", "unknown"]
    assert (after.spent, after.held, after.charged) == (1, 1, charged)


def decide(session, campaign, recipient_id, state):
    """Send an unknown recipient again, or give him up."""
    mine = session.get_one(Campaign, campaign.id)
    locked = resolving.lock(session, mine, [recipient_id], now() + timedelta(days=1))
    if state == "queued":
        resolving.send_again(session, mine, locked, resolving.Terms(1, 1), extends=True)
    else:
        resolving.give_up(session, mine, locked, "nobody knows", resolving.COUNTED_NOT_SENT)


def test_an_answer_after_the_end_moves_credits_and_counts_but_not_the_status(office):
    campaign = office.launched(1)
    (intent,) = in_the_air(office, campaign)
    mark_crashed(office, campaign)
    assert close(office, campaign)

    record(office, campaign, Answer(intent, Rejected("bad", "a bad number")))

    after = office.reload(campaign)
    assert (after.status, after.failed, after.returned, len(office.notices())) == (Status.COMPLETED, 1, 1, 1)


def test_an_answer_that_is_recorded_twice_counts_once(office):
    campaign = office.launched(2)
    intents = in_the_air(office, campaign)
    answers = [Answer(intents[0], Sent("r")), Answer(intents[1], Rejected("bad", "a bad number"))]

    record(office, campaign, *answers)
    record(office, campaign, *answers)

    assert (office.reload(campaign).spent, office.balance()) == (1, 999)


def test_a_worker_that_lost_its_lease_starts_no_call_and_keeps_what_it_was_told(office, make_crew):
    gateway, other = Held(), Scripted()
    campaign = office.launched(30)
    working = make_crew(gateway, SMS_CONCURRENCY="4", SMS_WINDOW="4").start()
    wait_until(lambda: len(gateway.calls) == 4)

    bury_everybody(office)
    make_crew(other).drain()
    between = office.states(campaign)
    gateway.let_go()
    working.ended()

    assert between == {"unknown": 4, "sent": 26}
    assert office.states(campaign) == {"sent": 30}
    assert sorted(gateway.numbers + other.numbers) == sorted(plain(30))
    after = office.reload(campaign)
    assert (after.status, after.spent, after.held) == (Status.COMPLETED, 30, 0)
    assert len(office.notices()) == 1


def test_a_claim_that_was_lost_intends_nothing_more(office, make_crew):
    gateway = Held()
    campaign = office.launched(12)
    working = make_crew(gateway, SMS_CONCURRENCY="4", SMS_WINDOW="4").start()
    wait_until(lambda: len(gateway.calls) == 4)

    bury_everybody(office)
    gateway.let_go()
    working.ended()

    claims = Counter(attempt.claim_token for attempt in office.attempts(campaign))
    assert list(claims.values()) == [4, 8]
    assert (office.states(campaign), len(gateway.calls)) == ({"sent": 12}, 12)


def test_intents_that_were_not_called_when_the_slice_changed_hands_are_credited(office, make_crew):
    gateway = Held()
    campaign = office.launched(6)
    working = make_crew(gateway, SMS_CONCURRENCY="1", SMS_WINDOW="3").start(lease=3, heartbeat=100)
    wait_until(lambda: len(gateway.calls) == 1)

    bury_everybody(office)
    make_crew(Scripted()).drain()
    confirmed = workers.steady()
    wait_until(lambda: workers.steady() - confirmed > 1)  # from here on the lease does not cover a call of 2 s
    gateway.let_go()
    working.ended()

    after = office.reload(campaign)
    assert len(gateway.calls) == 1
    assert (after.sent, after.failed, after.unknown, office.balance()) == (4, 2, 0, 996)


def test_nobody_is_called_any_more_for_a_slice_that_broke_off(office, make_crew, monkeypatch):
    has_broken = threading.Event()

    def answer(outgoing):
        assert len(gateway.calls) == 1 or has_broken.wait(30)
        return Sent(outgoing.reference)

    gateway = Scripted(answer)
    crew = make_crew(gateway, SMS_CONCURRENCY="1", SMS_CONCURRENCY_MAX="1", SMS_WINDOW="5")
    campaign = office.launched(5)
    with monkeypatch.context() as broken:
        broken.setattr(journal, "record", lambda *_, **__: 1 / 0)
        crew.drain()
    has_broken.set()
    wait_until(lambda: crew.services.senders.line.open == 0)
    crew.finish(office)

    assert len(gateway.calls) == 2  # the second was under way
    assert office.states(campaign) == {"unknown": 5}


def test_no_call_begins_so_late_that_somebody_may_have_decided_about_it(office, make_crew):
    gateway = Held()
    gateway.connect_seconds = gateway.read_seconds = 0.1
    crew = make_crew(gateway, SMS_CONCURRENCY="1", SMS_CONCURRENCY_MAX="1", SMS_WINDOW="2")
    campaign = office.launched(2)
    working = crew.start(lease=1, heartbeat=0.2)
    wait_until(lambda: len(gateway.calls) == 1)

    begun = workers.steady()
    wait_until(lambda: workers.steady() - begun > 1)  # since the intent, though the lease was renewed
    gateway.let_go()
    working.ended()

    assert len(gateway.calls) == 1
    assert office.states(campaign) == {"sent": 1, "queued": 1}


@pytest.fixture
def wire(database):
    """A database server behind a wire that can be cut."""
    with Proxy(database.url) as proxy:
        yield proxy


@pytest.fixture
def far(wire, make_settings):
    """Hire a worker who reaches the database by the wire: `far(gateway, SMS_WINDOW="4")`."""
    hired = []

    def hire(gateway, **environ):
        hired.append(Crew(Database(build_engine(wire.url)), make_settings(**environ), gateway))
        return hired[-1]

    yield hire
    for crew in hired:
        crew.services.close()
        crew.store.dispose()


@pytest.mark.databases("postgresql", "mariadb")
def test_answers_are_kept_while_the_database_is_away_and_written_when_it_is_back(office, wire, far):
    away = []
    end = events.on(lambda event, _facts: away.append(event) if event == "database.away" else None)
    gateway = Held()
    campaign = office.launched(30)
    working = far(gateway, SMS_CONCURRENCY="4", SMS_WINDOW="4").start()
    wait_until(lambda: len(gateway.calls) == 4)

    wire.cut()
    gateway.let_go()
    wait_until(lambda: len(away) >= 2)
    during = office.states(campaign)
    wire.mend()
    working.ended()
    end()

    assert during == {"sending": 4, "queued": 26}
    assert office.states(campaign) == {"sent": 30}
    assert sorted(gateway.numbers) == sorted(plain(30))
    assert Counter(attempt.outcome for attempt in office.attempts(campaign)) == {"sent": 30}
    assert (office.reload(campaign).status, office.failed_jobs()) == (Status.COMPLETED, [])


@pytest.mark.databases("postgresql", "mariadb")
def test_a_commit_whose_answer_is_lost_calls_each_of_its_recipients_once(office, wire, far):
    gateway = Scripted()
    campaign = office.launched(30)
    wire.lose_answer(to_attempts=True)

    far(gateway, SMS_CONCURRENCY="4", SMS_WINDOW="8").drain()

    assert wire.lost_answers == 1
    assert office.states(campaign) == {"sent": 30}
    assert sorted(gateway.numbers) == sorted(plain(30))
    assert {row.attempts for row in office.recipients(campaign)} == {1}


@pytest.mark.databases("postgresql", "mariadb")
def test_a_commit_of_answers_and_intents_whose_answer_is_lost_counts_nothing_twice(office, wire, far):
    campaign = office.launched(30)
    gateway = Scripted()

    def lose_one_on_the_way(outgoing):
        if len(gateway.calls) == 10:
            wire.lose_answer()
        return Sent(outgoing.reference)

    gateway.answer = lose_one_on_the_way
    far(gateway, SMS_CONCURRENCY="1", SMS_WINDOW="4").drain()

    after = office.reload(campaign)
    assert wire.lost_answers == 1
    assert (after.sent, after.spent, len(gateway.calls)) == (30, 30, 30)
