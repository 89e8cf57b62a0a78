"""A slice that spent its tries, its retry, and a queue that was cleared: each in one transaction with the books."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core import zones
from smsqueue.core.clock import now
from smsqueue.domain import campaigns, settlement, slices
from smsqueue.domain.errors import NotEnoughCredits
from smsqueue.domain.hours import Hours
from smsqueue.domain.jobs import SendBulkSmsJob
from smsqueue.domain.slices import NotRetryable
from smsqueue.models import Campaign, Recipient, State, Status
from smsqueue.queue import clearing, failed
from smsqueue.queue.models import JobRow
from smsqueue.queue.registry import Entry
from tests.domain_workers import Scripted
from tests.integration.domain.test_closing import in_the_air


@pytest.fixture
def crew(make_crew):
    """A worker whose gateway takes everything."""
    return make_crew(Scripted())


def fail_slice(office, which=0):
    """Let one slice's job look as if its worker had died at each of its tries."""
    job = [each for each in office.rows(JobRow) if each.kind == "sms.send-bulk"][which]
    office.execute(sa.update(JobRow).where(JobRow.id == job.id).values(attempts=3))


def retry(office, crew, which=0):
    wanted = office.failed_jobs()[which].id
    return office.store.write(lambda session: failed.retry(session, crew.registry, wanted))


@pytest.fixture
def broken(office, crew):
    """A campaign of two slices that ended after its first one was given up."""
    campaign = office.launched(10, slice_rows=6)
    fail_slice(office)
    crew.finish(office)
    return office.reload(campaign)


def test_a_slice_that_spent_its_tries_fails_and_is_credited_and_the_others_go_on(office, crew, broken):
    assert (broken.status, broken.failed, broken.sent, broken.gave_up) == (Status.FAILED, 6, 4, 1)
    assert broken.error.startswith("A part of the campaign was given up after its tries: TooManyTries")
    assert {row.code for row in office.recipients(broken) if row.state == "failed"} == {"gave_up"}
    assert office.balance() == 996
    assert [job.queue for job in office.failed_jobs()] == ["sms"]
    assert len(office.notices()) == 1


def test_errors_spend_the_tries_and_leave_the_traceback(office, crew):
    campaign = office.launched(3)

    def break_down(_job, _run):
        raise ZeroDivisionError("once more")

    entry = crew.registry.entries["sms.send-bulk"]
    crew.registry.entries["sms.send-bulk"] = Entry(
        entry.job_class, break_down, entry.policy, entry.on_failed, entry.on_retried, entry.on_cleared
    )
    runs = []
    for _ in range(3):
        office.hurry()
        crew.drain()
        runs.append((office.jobs("sms.send-bulk"), len(office.failed_jobs())))

    assert runs == [(1, 0), (1, 0), (0, 1)]
    assert "ZeroDivisionError: once more" in office.failed_jobs()[0].exception
    assert office.reload(campaign).status == Status.FAILED
    assert office.balance() == 1000


def test_what_was_in_the_air_when_a_slice_is_given_up_is_unknown_and_not_credited(office, crew):
    campaign = office.launched(4)
    in_the_air(office, campaign)
    fail_slice(office)

    crew.finish(office)

    after = office.reload(campaign)
    assert (after.status, after.unknown, after.held, office.balance()) == (Status.FAILED, 4, 4, 996)


def test_a_retry_charges_exactly_what_was_credited_and_ends_the_campaign_well(office, crew, broken):
    retry(office, crew)
    during, charged = office.reload(broken), office.balance()
    crew.finish(office)

    after = office.reload(broken)
    assert (during.status, during.finished_at, during.queued, charged) == (Status.PROCESSING, None, 6, 990)
    assert (after.status, after.sent, after.failed, after.error, after.gave_up) == (Status.COMPLETED, 10, 0, None, 0)
    assert (office.balance(), after.held, office.failed_jobs()) == (990, 0, [])
    assert [notice.type for notice in office.notices()].count("campaign.completed") == 1
    assert len(office.notices()) == 2  # one for each closing


def test_a_retry_does_not_charge_again_what_was_refused_or_unknown(office, make_crew, outside):
    from_outside = make_crew(SIMULATED_URL=outside.url)
    campaign = office.launched(["+12015550180", "+12015550193", "+12015550101"])
    from_outside.drain()
    office.execute(sa.update(Recipient).where(Recipient.row == 1).values(code="not_a_number"))
    job = SendBulkSmsJob(campaign_id=campaign.id, first_row=1, last_row=3)

    with pytest.raises(NotRetryable, match="left to send again"):
        office.store.write(lambda session: slices.on_retried(session, job, 60))

    assert office.states(campaign) == {"failed": 1, "unknown": 1, "sent": 1}


def test_a_retry_without_credits_is_refused_with_what_is_missing_and_changes_nothing(office, crew, broken):
    office.launched(992)
    assert office.balance() == 4

    with pytest.raises(NotEnoughCredits) as refused:
        retry(office, crew)

    assert (refused.value.needed, refused.value.missing) == (6, 2)
    assert (len(office.failed_jobs()), office.balance()) == (1, 4)
    assert office.reload(broken).status == Status.FAILED


def test_a_failed_job_is_retried_once(office, crew, broken):
    (job,) = office.failed_jobs()
    retry(office, crew)

    with pytest.raises(failed.NoSuchFailedJob):
        office.store.write(lambda session: failed.retry(session, crew.registry, job.id))

    assert office.balance() == 990


def test_two_given_up_slices_are_retried_one_by_one(office, crew):
    campaign = office.launched(6, slice_rows=3)
    fail_slice(office, 0)
    fail_slice(office, 1)
    crew.finish(office)

    retry(office, crew)
    crew.finish(office)
    between = office.reload(campaign)
    retry(office, crew)
    crew.finish(office)

    assert (between.status, between.sent, between.failed, between.gave_up) == (Status.FAILED, 3, 3, 1)
    assert office.reload(campaign).status == Status.COMPLETED


def closed_for_long(country):
    """Choose sending hours that do not begin within the usual validity."""
    local = now().astimezone(zones.zones_of(country)[0])
    minute = local.hour * 60 + local.minute
    opens = minute + 300 if minute < 18 * 60 else minute - 360
    return str(Hours(opens, opens + 30))


def test_a_retry_at_night_is_valid_for_as_long_as_the_recipients_are_awake(office, crew):
    draft = office.draft(["+447400123456", "+447400123457"])
    chosen = {"sending_hours": closed_for_long("GB")}
    office.execute(sa.update(Campaign).where(Campaign.id == draft.id).values(chosen))
    campaign = office.launch(draft)
    fail_slice(office)
    crew.drain()

    retry(office, crew)
    crew.drain()

    row = office.recipients(campaign)[0]
    assert (row.state, row.code) == ("queued", "hours")
    assert row.not_before < office.reload(campaign).valid_until


def test_a_retry_leaves_the_others_of_a_running_campaign_the_time_they_have(office, crew):
    campaign = office.launched(6, slice_rows=3)
    fail_slice(office)
    crew.drain(max_jobs=1)
    until = now() + timedelta(days=2)
    office.execute(sa.update(Campaign).values(valid_until=until))

    retry(office, crew)

    assert office.reload(campaign).valid_until == until


def test_a_retry_near_the_end_has_the_campaigns_time_again(office, crew):
    campaign = office.launched(6, slice_rows=3)
    fail_slice(office)
    crew.drain(max_jobs=1)
    office.execute(sa.update(Campaign).values(valid_until=now() + timedelta(seconds=2)))

    retry(office, crew)

    assert office.reload(campaign).valid_until > now() + timedelta(hours=3)


def test_a_slice_that_was_given_up_before_it_began_has_a_start_once_it_is_retried(office, crew):
    campaign = office.launched(3)
    fail_slice(office)
    crew.drain()

    retry(office, crew)
    crew.finish(office)

    after = office.reload(campaign)
    assert (after.status, after.sent) == (Status.COMPLETED, 3)
    assert after.started_at is not None


def test_what_a_person_cancelled_is_not_sent_by_a_retry(office, crew):
    campaign = office.launched(6, slice_rows=3)
    fail_slice(office, 0)
    crew.drain(max_jobs=1)
    office.cancel(campaign)
    crew.finish(office)

    with pytest.raises(NotRetryable, match="cancelled"):
        retry(office, crew)

    assert (office.reload(campaign).status, office.balance()) == (Status.CANCELLED, 1000)


def test_a_leftover_job_that_is_given_up_does_not_touch_a_campaign_that_ended(office, crew):
    campaign = office.launched(2)
    crew.finish(office)
    job = SendBulkSmsJob(campaign_id=campaign.id, first_row=1, last_row=2)

    office.store.write(lambda session: slices.on_failed(session, job, "TooManyTries"))

    after = office.reload(campaign)
    assert (after.status, after.error, after.gave_up) == (Status.COMPLETED, None, 0)


def clear(office, crew, **options):
    return clearing.clear(office.store, crew.registry, "sms", **options)


def test_a_cleared_queue_credits_what_it_would_have_sent_and_ends_the_campaign(office, crew):
    campaign = office.launched(5, slice_rows=2)

    assert clear(office, crew) == 3

    after = office.reload(campaign)
    assert (after.status, after.cancelled, office.balance()) == (Status.FAILED, 5, 1000)
    assert {row.error for row in office.recipients(campaign)} == {slices.CLEARED}
    assert len(office.notices()) == 1


def test_a_cleared_job_of_a_worker_that_died_leaves_nobody_in_the_air(office, crew):
    campaign = office.launched(5)
    in_the_air(office, campaign)

    clear(office, crew)

    after = office.reload(campaign)
    assert (after.status, after.unknown, after.sending, after.held) == (Status.COMPLETED, 5, 0, 5)


def test_a_cleared_single_sms_is_credited(office, crew):
    campaign = office.launch(office.single())

    clear(office, crew)

    assert office.reload(campaign).finished_at is not None
    assert office.balance() == 1000


def test_the_rest_of_a_partly_cleared_campaign_is_sent(office, crew):
    campaign = office.launched(6, slice_rows=3)
    job = SendBulkSmsJob(campaign_id=campaign.id, first_row=1, last_row=3)
    office.execute(sa.delete(JobRow).where(JobRow.payload == job.to_payload()))
    office.store.write(lambda session: slices.on_cleared(session, job))

    crew.finish(office)

    after = office.reload(campaign)
    assert (after.status, after.sent, after.cancelled) == (Status.COMPLETED, 3, 3)


def test_jobs_of_unknown_campaigns_can_be_cleared_by_hand(office, crew):
    assert clear(office, crew) == 0
    assert not office.store.write(lambda session: campaigns.listing(session, office.team.id, None))


@pytest.mark.databases("sqlite")
def test_giving_up_some_recipients_looks_at_no_others(office):
    """A campaign may have a million."""
    campaign = office.launched(5)
    first, *_others = in_the_air(office, campaign, 2)
    asked = []
    sa.event.listen(office.store.engine, "before_cursor_execute", lambda *about: asked.append(about[2:4]))

    def give_up(session):
        mine = session.get_one(Campaign, campaign.id)
        ids = [first.recipient_id]
        return settlement.end_waiting(session, mine, None, State.FAILED, error="x", ids=ids, source=State.SENDING)

    assert office.store.write(give_up) == 1
    assert (office.states(campaign), office.balance()) == ({"failed": 1, "sending": 1, "queued": 3}, 996)
    ours = [(words, values) for words, values in asked if "sms_recipients.id IN" in words]
    assert len(ours) == 3  # is there any, end them, and what they cost
    with office.store.reading() as session:
        for words, values in ours:
            plan = session.connection().exec_driver_sql(f"EXPLAIN QUERY PLAN {words}", values).all()
            assert any("USING INTEGER PRIMARY KEY" in line.detail for line in plan), (words, plan)
