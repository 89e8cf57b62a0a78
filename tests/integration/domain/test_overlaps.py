"""Several jobs of one campaign with some of the same rows, as a retry of the running campaign makes them."""

import time

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.db import table_of
from smsqueue.domain import brake, intents, journal, stopping
from smsqueue.domain.counting import Changes
from smsqueue.domain.intents import Portion, Sender
from smsqueue.domain.jobs import SendBulkSmsJob
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Deferred, Sent
from smsqueue.models import Attempt, Campaign, Recipient, Status
from smsqueue.queue import runner
from smsqueue.queue.claim import claim
from smsqueue.queue.dispatch import clock_us, enqueue, jobs
from tests.domain_workers import Held, Scripted, race
from tests.integration.domain.test_closing import in_the_air, record
from tests.outside import wait_until

recipients, attempts = table_of(Recipient), table_of(Attempt)


def another_job(office, campaign, first=1):
    """Queue one more job for a campaign's rows, as a retry of its first and its last does."""
    last = office.reload(campaign).total
    job = SendBulkSmsJob(campaign_id=campaign.id, first_row=first, last_row=last)
    office.store.write(lambda session: enqueue(session, job, group=str(office.team.id)))


def each_alone(office):
    """Have each job claimed alone, so that several workers have them at once."""
    office.execute(sa.update(jobs).values(attempts=1))


def due_in(office):
    """Read in how many seconds each job is due."""
    with office.store.reading() as session:
        clock = clock_us(session)
        return [(due - clock) / 1e6 for due in session.scalars(sa.select(jobs.c.available_at))]


def test_second_job_leaves_the_open_calls_of_the_first_alone(office, make_crew):
    gateway = Held(lambda _: Deferred(1, "throttled", "slow down"))
    campaign = office.launched(4)
    first = make_crew(gateway).start()
    wait_until(lambda: len(gateway.calls) == 4)
    another_job(office, campaign)

    make_crew(Scripted()).drain()
    middle, states = office.reload(campaign), office.states(campaign)
    gateway.let_go()
    first.ended()

    assert (middle.status, states, office.notices()) == (Status.PROCESSING, {"sending": 4}, [])
    assert office.states(campaign) == {"queued": 4}
    make_crew(Scripted()).finish(office)
    assert office.states(campaign) == {"sent": 4}


def test_call_of_a_job_that_nobody_holds_any_more_is_unknown(office, make_crew):
    campaign = office.launched(4)
    in_the_air(office, campaign)
    another_job(office, campaign)

    make_crew(Scripted()).finish(office)

    assert office.states(campaign) == {"unknown": 4}


@pytest.mark.parametrize(("first_row", "left"), [(1, {"sending": 4}), (3, {"unknown": 2, "sending": 2})])
def test_jobs_claimed_together_answer_only_for_their_own_rows(office, first_row, left):
    """Such jobs have the same token: it alone does not say whose call it is."""
    campaign = office.launched(4)
    office.execute(sa.delete(jobs))
    another_job(office, campaign, first_row)
    (held,) = office.store.write(lambda session: claim(session, 1, "sms", 1))
    sender = Sender(1, held.token, "scripted", "me")

    def work(session):
        mine = session.get_one(Campaign, campaign.id)
        stopping.start(session, mine, now())
        changes = Changes()
        intents.start(session, mine, (1, 4), sender, changes, portion=Portion(4), now=now())
        changes.write(session, mine.id)

    office.store.write(work)
    office.store.write(lambda s: journal.mark_crashed(s, s.get_one(Campaign, campaign.id), (1, 4), now()))

    assert office.states(campaign) == left


def test_own_calls_of_an_earlier_run_are_unknown(office):
    campaign = office.launched(2)
    (held,) = office.store.write(lambda session: claim(session, 1, "sms", 1))
    in_the_air(office, campaign)
    office.execute(sa.update(attempts).values(claim_token=held.token))

    office.store.write(
        lambda s: journal.mark_crashed(s, s.get_one(Campaign, campaign.id), (1, 2), now(), claim_id=held.id)
    )

    assert office.states(campaign) == {"unknown": 2}


def test_jobs_with_the_same_rows_do_not_become_more(office, make_crew):
    def throttle(_):
        time.sleep(0.03)
        return Deferred(0.2, "throttled", "slow down")

    campaign = office.launched(60, slice_rows=30)
    another_job(office, campaign)
    another_job(office, campaign)
    each_alone(office)
    counts = []
    for _ in range(2):
        office.hurry()
        works = [make_crew(Scripted(throttle), SMS_CONCURRENCY="4").start(max_time=2) for _ in range(4)]
        for work in works:
            work.ended(60)
        counts.append(office.jobs())

    assert max(counts) <= 4
    assert office.states(campaign) == {"queued": 60}


def test_call_that_was_not_made_is_left_to_a_job_that_waits_anyway(office):
    campaign = office.launched(2)
    began = in_the_air(office, campaign)
    office.store.write(lambda s: journal.mark_crashed(s, s.get_one(Campaign, campaign.id), (1, 2), now()))
    office.execute(sa.update(jobs).values(available_at=jobs.c.available_at + 3_600_000_000))

    record(office, campaign, Answer(began[0], Deferred(0, "unreachable", "not called")))

    assert office.jobs() == 1
    assert due_in(office)[0] < 1


@pytest.mark.databases("postgresql", "mariadb")
def test_jobs_that_pick_the_same_recipients_share_them(office):
    campaign = office.launched(6)
    office.store.write(lambda session: stopping.start(session, session.get_one(Campaign, campaign.id), now()))
    found = {}

    def start(session, worker):
        mine, changes = session.get_one(Campaign, campaign.id), Changes()
        sender = Sender(worker, f"{worker}" * 32, "scripted", "me")
        found[worker] = intents.start(session, mine, (1, 6), sender, changes, portion=Portion(3), now=now())
        changes.write(session, mine.id)

    race(office.store, lambda session: start(session, 1), lambda session: start(session, 2))

    called = [intent.recipient_id for began in found.values() for intent in began]
    assert len(called) == len(set(called)) == office.states(campaign)["sending"]
    assert len(office.attempts(campaign)) == len(called)


def test_workers_on_the_same_rows_call_each_recipient_once_and_nothing_breaks(office, make_crew, monkeypatch):
    reasons = []
    real = runner.put_back

    def note(database, held, seconds, **facts):
        reasons.append(facts["reason"])
        return real(database, held, seconds, **facts)

    def take(outgoing):
        time.sleep(0.02)
        return Sent(outgoing.reference)

    monkeypatch.setattr(runner, "put_back", note)
    gateway = Scripted(take)
    campaign = office.launched(160, slice_rows=160)
    another_job(office, campaign)
    another_job(office, campaign)
    each_alone(office)
    works = [make_crew(gateway, SMS_CONCURRENCY="4").start() for _ in range(3)]
    for work in works:
        work.ended(60)
    make_crew(gateway).finish(office)

    assert office.states(campaign) == {"sent": 160}
    assert len(gateway.numbers) == len(set(gateway.numbers)) == 160
    assert not [reason for reason in reasons if "Error" in reason]


def test_released_brake_is_not_overtaken_by_the_job_in_hand(office, make_crew, monkeypatch):
    campaign = office.launched(2)
    (first, _) = office.recipients(campaign)
    is_first = recipients.c.id == first.id
    office.execute(sa.update(recipients).where(is_first).values(not_before=brake.FOR_EVER, code=brake.HELD))
    real = runner.put_back

    def late(database, held, seconds, **facts):
        monkeypatch.setattr(runner, "put_back", real)
        office.store.write(lambda session: brake.let_go(session, session.get_one(Campaign, campaign.id), "ann"))
        return real(database, held, seconds, **facts)

    monkeypatch.setattr(runner, "put_back", late)
    make_crew(gateway := Scripted()).drain()

    assert first.number in gateway.numbers
    assert office.states(campaign) == {"sent": 2}
