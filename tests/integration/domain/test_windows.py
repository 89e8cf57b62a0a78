"""How a slice is worked on: its window, its turn, its neighbours, and several workers on one campaign."""

from collections import Counter
from typing import Any

import pytest
import sqlalchemy as sa

from smsqueue.gateways.base import Deferred, Sent
from smsqueue.models import Campaign, Status
from smsqueue.queue import events
from smsqueue.queue.models import JobRow
from tests.domain_fixtures import plain
from tests.domain_workers import Held, Scripted, Working
from tests.outside import wait_until


@pytest.fixture
def heard():
    """What has been emitted: pairs of an event and its facts."""
    found: list[tuple[str, dict[str, Any]]] = []
    end = events.on(lambda event, facts: found.append((event, facts)))
    yield found
    end()


def slow(outside):
    """Let the simulator take 30 ms for an answer, so that a slice is under way for a while."""
    outside.settings(latency_ms=30)
    return {"SIMULATED_URL": outside.url, "SMS_CONCURRENCY": "2", "SMS_WINDOW": "4"}


def test_never_more_than_a_window_is_in_the_air_and_all_of_it_is_used(office, make_crew):
    campaign = office.launched(60)
    seen = []

    def look(outgoing):
        now = office.reload(campaign)
        seen.append((now.sending, office.states(campaign).get("sending", 0)))
        return Sent(outgoing.reference)

    make_crew(Scripted(look), SMS_CONCURRENCY="3", SMS_WINDOW="5").finish(office)

    assert len(seen) == 60
    assert {counter for counter, _ in seen} <= set(range(1, 6))
    assert max(rows for _, rows in seen) == 5


def test_counts_add_up_and_never_fall_back_at_every_moment_that_is_looked_at(office, make_crew):
    campaign = office.launched(80, slice_rows=30)
    moments = []

    def look(outgoing):
        moments.append(office.reload(campaign))
        return Sent(outgoing.reference)

    make_crew(Scripted(look), SMS_WINDOW="8", SMS_CONCURRENCY="1").finish(office)

    assert {sum(moment.counts.values()) for moment in moments} == {80}
    done = [moment.done for moment in moments]
    assert done == sorted(done)
    assert all(moment.done < 80 and moment.status == Status.PROCESSING for moment in moments)
    assert all(moment.held == moment.queued + moment.sending for moment in moments)


def test_no_transaction_is_open_during_a_call(office, make_crew):
    campaign = office.launched(4)

    def write_from_elsewhere(outgoing):
        # Needs the campaign's row, on SQLite the whole database: whoever waited for us would wait for ever.
        office.execute(sa.update(Campaign).where(Campaign.id == campaign.id).values(name=outgoing.reference))
        return Sent(outgoing.reference)

    make_crew(Scripted(write_from_elsewhere), SMS_CONCURRENCY="1", SMS_WINDOW="1").finish(office)

    assert office.reload(campaign).sent == 4


def test_a_single_sms_goes_out_in_the_middle_of_a_campaign(office, make_crew, outside, heard):
    crew = make_crew(**slow(outside))
    bulk = office.launched(100)
    working = crew.start()
    wait_until(lambda: office.reload(bulk).sent >= 4)

    single = office.launch(office.single("+12015550199"))
    working.ended()

    (text,) = office.attempts(single)
    later = [attempt for attempt in office.attempts(bulk) if attempt.started_at > text.started_at]
    assert len(later) >= 20
    released = [facts for event, facts in heard if event == "job.released"]
    assert [(facts["reason"], facts["spent"]) for facts in released] == [("something more urgent waits", False)]
    assert office.reload(bulk).status == office.reload(single).status == Status.COMPLETED


def test_a_slice_hands_back_when_its_turn_is_over_and_spends_no_try(office, make_crew, outside, heard):
    crew = make_crew(**slow(outside), SMS_SLICE_SECONDS="0.3")
    first, second = office.launched(30), office.launched(30)

    crew.drain()

    times = [[attempt.started_at for attempt in office.attempts(campaign)] for campaign in (first, second)]
    assert max(map(min, times)) < min(map(max, times))  # both were under way at some moment
    released = [facts for event, facts in heard if event == "job.released"]
    assert {(facts["reason"], facts["spent"]) for facts in released} == {("others have their turn", False)}
    assert len(released) >= 2
    assert not office.failed_jobs()
    assert office.reload(first).sent == office.reload(second).sent == 30


def test_a_worker_that_is_told_to_stop_ends_its_window_and_starts_nothing_new(office, make_crew):
    from_stop = []
    gateway = Held()
    crew = make_crew(gateway, SMS_CONCURRENCY="2", SMS_WINDOW="4")
    campaign = office.launched(20)
    working = Working(lambda: from_stop.append(crew.drain_until_stopped()))
    wait_until(lambda: len(gateway.calls) == 2)

    crew.stops.request("told to stop")
    gateway.let_go()
    working.ended()

    (job,) = office.rows(JobRow)
    assert (job.attempts, job.reserved_at) == (0, None)
    assert office.states(campaign) == {"sent": 4, "queued": 16}
    assert from_stop[0].reason == "told to stop"


def test_two_workers_share_a_campaign_and_nobody_is_called_twice(office, make_crew):
    gateway = Held()
    campaign = office.launched(90, slice_rows=15)
    crews = [make_crew(gateway, SMS_CONCURRENCY="4", SMS_WINDOW="8") for _ in range(2)]

    working = [crew.start() for crew in crews]
    wait_until(lambda: len(gateway.calls) == 8)
    gateway.let_go()
    for each in working:
        each.ended()

    workers = Counter(attempt.worker_id for attempt in office.attempts(campaign))
    assert sorted(gateway.numbers) == sorted(plain(90))
    assert len(workers) == 2
    assert office.reload(campaign).status == Status.COMPLETED
    assert len(office.notices()) == 1


def test_what_waits_for_later_does_not_keep_the_rest_of_the_slice(office, make_crew):
    campaign = office.launched(20)
    later = set(plain(5))

    def answer(outgoing):
        return Deferred(30, "throttled", "later") if outgoing.to in later else Sent(outgoing.reference)

    make_crew(Scripted(answer), SMS_CONCURRENCY="2", SMS_WINDOW="4").drain()

    (job,) = office.rows(JobRow)
    assert office.states(campaign) == {"queued": 5, "sent": 15}
    assert (job.reserved_at, job.attempts) == (None, 0)
    assert max(row.not_before for row in office.recipients(campaign)[:5]).timestamp() - job.created_at / 1e6 > 20


def test_the_wait_doubles_up_to_a_minute_or_is_what_the_gateway_asks_for(office, make_crew):
    campaign = office.launched(1)
    crew = make_crew(Scripted(lambda outgoing: Deferred(0, "unreachable", "nobody there")))
    waits = []

    for _ in range(8):
        crew.drain()
        (recipient,) = office.recipients(campaign)
        waits.append(round((recipient.not_before - office.attempts(campaign)[-1].ended_at).total_seconds()))
        office.hurry()

    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]


def test_an_adapter_with_a_bug_leaves_unknown_and_not_a_failed_job(office, make_crew):
    def fail(outgoing):
        raise ZeroDivisionError

    campaign = office.launched(3)

    make_crew(Scripted(fail)).finish(office)

    assert office.states(campaign) == {"unknown": 3}
    assert not office.failed_jobs()
