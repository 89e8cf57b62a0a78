"""Pause, resume and schedule: nothing goes meanwhile, nobody is stranded, and nobody's time runs out for it."""

import threading
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from smsqueue.cli.services import look_after_waiting
from smsqueue.core.clock import now
from smsqueue.domain import campaigns, completion, first_ten, journal, pausing, standing, why
from smsqueue.domain.counting import Changes
from smsqueue.domain.errors import NotFound
from smsqueue.domain.limits import TooLate
from smsqueue.domain.pausing import NotPausable, NotPaused
from smsqueue.gateways.base import Deferred, Unknown
from smsqueue.models import Campaign, Status
from smsqueue.queue import failed, holding
from smsqueue.queue.claim import claim, is_held
from smsqueue.queue.dispatch import HELD_UNTIL_US, jobs
from smsqueue.queue.models import JobRow
from tests.domain_fixtures import Office
from tests.domain_workers import Held, Scripted, at_once
from tests.integration.domain.test_closing import in_the_air, record
from tests.integration.domain.test_giving_up import fail_slice
from tests.outside import wait_until


def pause(office, campaign):
    return office.store.write(lambda session: pausing.pause(session, office.team.id, campaign.uuid, "ann@example.com"))


def resume(office, campaign):
    return office.store.write(lambda session: pausing.resume(session, office.team.id, campaign.uuid, "ann@example.com"))


def scheduled(office, many=3, seconds=3600.0, **terms):
    """Confirm a campaign for a later time."""
    draft = office.draft(many)
    values = {"scheduled_for": now() + timedelta(seconds=seconds), "time_zone": "Europe/Paris"}
    office.execute(sa.update(Campaign).where(Campaign.id == draft.id).values(values))
    return office.launch(draft, **terms)


def waits(office):
    """Return for how many seconds each job waits; None: until somebody lets go."""
    with office.store.reading() as session:
        due = session.scalars(sa.select(jobs.c.available_at).order_by(jobs.c.id)).all()
    at = now().timestamp()
    return [None if each >= HELD_UNTIL_US else max(0, round(each / 1_000_000 - at)) for each in due]


def test_a_paused_campaign_sends_nothing_and_costs_no_try(office, make_crew):
    campaign = office.launched(6, slice_rows=3)

    paused = pause(office, campaign)
    make_crew(gateway := Scripted()).drain()

    assert (paused.status, paused.paused_at is None, paused.finished_at) == (Status.PAUSED, False, None)
    assert (gateway.calls, waits(office), office.states(campaign)) == ([], [None, None], {"queued": 6})
    assert {job.attempts for job in office.rows(JobRow)} == {0}
    assert office.balance() == 994


def test_a_resumed_campaign_goes_on_where_it_stopped(office, make_crew):
    campaign = office.launched(6, slice_rows=3)
    pause(office, campaign)

    resumed = resume(office, campaign)
    make_crew(gateway := Scripted()).drain()

    assert (resumed.status, resumed.paused_at) == (Status.PENDING, None)
    assert (office.reload(campaign).status, len(gateway.calls)) == (Status.COMPLETED, 6)


def test_calls_in_flight_are_recorded_and_no_more_than_the_window_goes_out_after_a_pause(office, held):
    campaign, gateway, working = held

    pause(office, campaign)
    gateway.let_go()
    working.ended()

    after = office.reload(campaign)
    assert (after.status, after.sent, after.queued, len(gateway.calls)) == (Status.PAUSED, 4, 16, 4)
    assert waits(office)[1:] == [None, None]


def test_a_slice_that_comes_back_to_a_paused_campaign_rests_and_is_put_on_hold_within_a_minute(office, held):
    campaign, gateway, working = held
    pause(office, campaign)
    gateway.let_go()
    working.ended()
    before = waits(office)

    look_after_waiting(office.store)

    assert standing.SNOOZE_SECONDS - 2 <= before[0] <= standing.SNOOZE_SECONDS
    assert next(job.last_error for job in office.rows(JobRow)) == "the campaign is paused"
    assert waits(office) == [None, None, None]


def test_a_slice_that_is_claimed_while_its_campaign_is_paused_does_not_run_hot(office, make_crew):
    campaign = office.launched(3)
    pause(office, campaign)
    office.hurry()

    make_crew(gateway := Scripted()).drain()

    assert gateway.calls == []
    assert 8 <= waits(office)[0] <= 10


def test_resuming_right_after_a_pause_strands_nobody(office, make_crew):
    campaign = office.launched(60, slice_rows=5)
    gateway = Held()
    crews = [make_crew(gateway, SMS_CONCURRENCY="2", SMS_WINDOW="2") for _ in range(2)]
    working = [crew.start() for crew in crews]
    wait_until(lambda: len(gateway.calls) == 4)

    for _ in range(5):
        pause(office, campaign)
        resume(office, campaign)
    pause(office, campaign)
    gateway.let_go()
    resume(office, campaign)
    for each in working:
        each.ended()

    assert None not in waits(office)
    crews[0].finish(office)
    after = office.reload(campaign)
    assert (after.status, after.sent, len(set(gateway.numbers))) == (Status.COMPLETED, 60, 60)


def test_of_many_who_pause_and_resume_at_once_the_last_one_decides_for_all_jobs(office):
    campaign = office.launched(40, slice_rows=5)

    works = [partial(pause, office, campaign), partial(resume, office, campaign)]
    errors = at_once([*works] * 6)

    after = office.reload(campaign)
    assert {type(error) for error in errors if error} <= {NotPausable, NotPaused}
    assert set(waits(office)) == ({None} if after.status == Status.PAUSED else {0})


def test_a_chore_that_comes_with_a_resume_puts_nothing_on_hold(office):
    campaign = office.launched(3)
    pause(office, campaign)
    resume(office, campaign)

    assert office.store.write(lambda session: pausing.hold_again(session, campaign.id)) == 0

    assert waits(office) == [0]


def test_no_number_of_paused_campaigns_hides_another(office, monkeypatch):
    monkeypatch.setattr(first_ten, "AT_ONCE", 2)
    ids = {pause(office, office.launched(1)).id for _ in range(4)}

    with office.store.reading() as session:
        found = [pausing.paused(session) for _ in range(200)]

    assert {len(each) for each in found} == {2}
    assert set().union(*found) == ids


def test_the_time_of_a_pause_does_not_count_as_waiting(office, make_crew):
    campaign = office.launched(2, validity_seconds=60)
    pause(office, campaign)
    past = {"paused_at": now() - timedelta(hours=2), "valid_until": now() - timedelta(hours=1, minutes=59)}
    office.execute(sa.update(Campaign).values(past))
    office.hurry()
    crew = make_crew(gateway := Scripted())
    crew.drain()
    during = office.states(campaign)

    resumed = resume(office, campaign)
    crew.drain()

    assert during == {"queued": 2}
    assert timedelta(seconds=55) < resumed.valid_until - now() < timedelta(seconds=61)
    assert len(gateway.calls) == 2


def test_a_paused_campaign_is_cancelled_like_any_other(office, make_crew):
    campaign = office.launched(6, slice_rows=3)
    pause(office, campaign)

    cancelled = office.cancel(campaign)
    make_crew(gateway := Scripted()).drain()

    assert (cancelled.status, cancelled.finished_at is None, cancelled.paused_at) == (Status.CANCELLED, False, None)
    assert (office.balance(), office.jobs("sms.send-bulk"), gateway.calls) == (1000, 0, [])
    assert len(office.notices()) == 1


def test_a_paused_campaign_ends_when_nothing_of_it_is_left(office):
    campaign = office.launched(1)
    (intent,) = in_the_air(office, campaign)
    pause(office, campaign)
    assert office.reload(campaign).finished_at is None

    record(office, campaign, journal.Answer(intent, Unknown("lost")))
    assert office.store.write(lambda session: completion.close(session, campaign.id))

    after = office.reload(campaign)
    assert (after.status, after.paused_at) == (Status.COMPLETED, None)


def test_what_was_not_sent_during_a_pause_waits_again(office):
    campaign = office.launched(1)
    (intent,) = in_the_air(office, campaign)
    pause(office, campaign)

    record(office, campaign, journal.Answer(intent, Deferred(0, "throttled", "later")))

    assert (office.reload(campaign).status, office.states(campaign)) == (Status.PAUSED, {"queued": 1})


def test_an_answer_that_comes_during_a_pause_expires_nobody(office):
    campaign = office.launched(2, validity_seconds=60)
    (intent,) = in_the_air(office, campaign, 1)
    pause(office, campaign)
    office.execute(sa.update(Campaign).values(valid_until=now() + timedelta(seconds=1)))

    record(office, campaign, journal.Answer(intent, Deferred(5, "throttled", "later")))

    assert office.states(campaign) == {"queued": 2}


def test_the_intents_own_update_asks_whether_the_campaign_is_paused(office):
    campaign = office.launched(2)
    pause(office, campaign)

    assert in_the_air(office, campaign) == []
    assert office.states(campaign) == {"queued": 2}


def test_a_retry_of_a_given_up_slice_leaves_a_paused_campaign_paused(office, make_crew):
    campaign = office.launched(6, slice_rows=3)
    crew = make_crew(Scripted())
    fail_slice(office)
    crew.drain(max_jobs=1)
    pause(office, campaign)
    (job,) = office.failed_jobs()

    office.store.write(lambda session: failed.retry(session, crew.registry, job.id))
    crew.drain()

    assert (office.reload(campaign).status, office.states(campaign)) == (Status.PAUSED, {"queued": 6})
    resume(office, campaign)
    crew.finish(office)
    assert office.reload(campaign).sent == 6


def test_only_what_has_not_ended_can_be_paused_and_only_what_is_paused_resumed(office, store, make_crew):
    draft, ended, twice = office.draft(1), office.launched(1), office.launched(1)
    pause(office, twice)
    make_crew(Scripted()).drain()

    for campaign, told in ((draft, "not confirmed"), (ended, "ended already"), (twice, "paused already")):
        with pytest.raises(NotPausable, match=told):
            pause(office, campaign)
    for campaign in (draft, ended):
        with pytest.raises(NotPaused):
            resume(office, campaign)
    with pytest.raises(NotFound):
        pause(Office.open(store, "Neighbours", 0), twice)


def test_disabling_the_owner_stops_a_paused_and_a_scheduled_campaign(office):
    paused, later = office.launched(2), scheduled(office)
    pause(office, paused)

    office.store.write(lambda session: campaigns.set_active(session, office.user.id, False))

    assert [office.reload(each).status for each in (paused, later)] == [Status.CANCELLED] * 2
    assert office.balance() == 1000


def test_a_scheduled_campaign_is_paid_for_and_waits_for_its_time(office, make_crew):
    campaign = scheduled(office, 6, slice_rows=3, validity_seconds=60)

    make_crew(gateway := Scripted()).drain()

    after = office.reload(campaign)
    assert (after.status, after.held, office.balance(), gateway.calls) == (Status.SCHEDULED, 6, 994, [])
    assert after.valid_until - after.scheduled_for == timedelta(seconds=60)
    assert all(3590 <= each <= 3600 for each in waits(office))


def test_a_scheduled_campaign_starts_by_itself_when_its_time_has_come(office, make_crew):
    campaign = scheduled(office, 6, slice_rows=3)

    office.execute(sa.update(Campaign).values(scheduled_for=now() - timedelta(seconds=1)))
    make_crew(gateway := Scripted()).finish(office)

    assert (office.reload(campaign).status, len(gateway.calls)) == (Status.COMPLETED, 6)


def test_a_job_that_comes_too_early_waits_for_its_campaigns_time(office, make_crew):
    campaign = scheduled(office)
    office.hurry()

    make_crew(gateway := Scripted()).drain()

    assert (gateway.calls, office.reload(campaign).status) == ([], Status.SCHEDULED)
    assert 3580 <= waits(office)[0] <= 3600


def test_a_time_that_is_over_at_the_confirmation_is_refused(office):
    with pytest.raises(TooLate, match="Nothing was sent or charged"):
        scheduled(office, seconds=-5)

    assert (office.balance(), office.jobs()) == (1000, 0)


def test_cancelling_a_scheduled_campaign_credits_all_at_once_and_leaves_no_job(office, make_crew):
    campaign = scheduled(office)

    cancelled = office.cancel(campaign)
    make_crew(Scripted()).drain()

    assert (cancelled.status, cancelled.finished_at is None, office.balance()) == (Status.CANCELLED, False, 1000)
    assert office.jobs("sms.send-bulk") == 0


@pytest.mark.parametrize(("left", "status"), [(1800, Status.SCHEDULED), (-60, Status.PENDING)])
def test_a_scheduled_campaign_that_was_paused_keeps_its_time_or_goes_at_once_when_it_is_over(office, left, status):
    campaign = scheduled(office, validity_seconds=60)
    pause(office, campaign)
    at = now() + timedelta(seconds=left)
    values = {"scheduled_for": at, "valid_until": at + timedelta(seconds=60), "paused_at": now() - timedelta(hours=3)}
    office.execute(sa.update(Campaign).values(values))

    resumed = resume(office, campaign)

    assert resumed.status == status
    assert abs(waits(office)[0] - max(0, left)) <= 3
    assert abs((resumed.valid_until - now()).total_seconds() - (60 + max(0, left))) <= 3


def test_what_is_scheduled_with_its_first_ten_alone_starts_with_these(office, make_crew):
    draft = office.draft(25)
    values = {"scheduled_for": now() + timedelta(hours=1), "first_ten": True}
    office.execute(sa.update(Campaign).where(Campaign.id == draft.id).values(values))
    campaign = office.launch(draft, slice_rows=10)
    before = waits(office)
    pause(office, campaign)

    resume(office, campaign)

    assert [before[1:], waits(office)[1:]] == [[None, None]] * 2
    assert all(3590 <= each <= 3600 for each in (before[0], waits(office)[0]))


def test_the_campaigns_own_validity_wins_over_the_settings(office):
    draft = office.draft(1)
    office.execute(sa.update(Campaign).where(Campaign.id == draft.id).values(validity_seconds=90))

    campaign = office.launch(draft)

    assert campaign.valid_until - campaign.confirmed_at == timedelta(seconds=90)


def test_a_time_is_said_with_its_zone_spelled_out(office):
    campaign = scheduled(office)

    reason = why.of_itself(campaign, now())

    assert reason
    assert "It starts by itself on " in reason.sentence
    assert "in Europe/Paris (UTC+" in reason.sentence
    assert standing.moment(campaign.scheduled_for, "Mars/Olympus").endswith("in UTC")


@pytest.mark.databases("postgresql", "mariadb")
def test_a_pause_does_not_wait_for_the_jobs_that_workers_hold(office, monkeypatch):
    """Their workers lock the job, then the campaign; a pause the campaign, then the jobs: both would wait for ever."""
    campaign = office.launched(4)
    job = office.store.write(lambda session: claim(session, 1, "sms", 1))[0]
    runs, holds, pauses, hold = [], threading.Event(), threading.Event(), holding.hold

    def turn(session):
        runs.append("turn")
        assert is_held(session, job)
        holds.set()
        pauses.wait(20)
        Changes(queued=-1, sending=1).write(session, campaign.id)

    def stop(session):
        runs.append("pause")
        holds.wait(20)
        pausing.pause(session, office.team.id, campaign.uuid)

    def hold_late(session, tag):
        pauses.set()
        return hold(session, tag)

    monkeypatch.setattr(holding, "hold", hold_late)
    errors = at_once([lambda: office.store.write(turn), lambda: office.store.write(stop)])

    assert (errors, sorted(runs)) == ([None, None], ["pause", "turn"])
    office.is_tampered = True
