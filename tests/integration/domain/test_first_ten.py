"""The first ten go alone: taken, they let the rest go; refused, they stop it untouched; silent, they free nothing."""

from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from smsqueue.cli.services import end_overdue, look_after_waiting
from smsqueue.core.clock import now
from smsqueue.domain import again, brake, campaigns, completion, first_ten, holding_back, optouts, pausing, why
from smsqueue.domain.campaigns import NotWaiting
from smsqueue.gateways.base import Deferred, Rejected, Sent, Unknown
from smsqueue.models import Campaign, OptOut, Rate, Recipient, State, Status
from smsqueue.queue import failed
from smsqueue.queue.dispatch import HELD_UNTIL_US, jobs
from smsqueue.queue.models import JobRow
from tests.domain_fixtures import TERMS
from tests.domain_workers import Held, Scripted, at_once, race
from tests.outside import wait_until

REFUSED = Rejected("30034", "sender name not allowed")
SILENT = [REFUSED, *[Unknown("lost")] * 3] * 2 + [REFUSED, Unknown("lost")]
"""Seven of ten unknown, and nobody taken: not enough to go on, and no reason to take the gateway for dead."""


def launched(office, many=25, **terms):
    """Confirm a campaign whose first ten go alone."""
    draft = office.draft(many)
    office.execute(sa.update(Campaign).where(Campaign.id == draft.id).values(first_ten=True))
    return office.launch(draft, **{"slice_rows": 5, **terms})


def on_hold(office):
    """Count the jobs that nobody can claim until somebody lets go."""
    statement = sa.select(sa.func.count()).select_from(jobs).where(jobs.c.available_at >= HELD_UNTIL_US)
    with office.store.reading() as session:
        return session.scalar(statement)


def answering(*outcomes):
    """Make a gateway that gives these answers to the first calls, and takes everybody after that."""
    left = list(outcomes)
    return Scripted(lambda outgoing: left.pop(0) if left else Sent(outgoing.reference))


def said_of(campaign, at):
    """Return what a campaign waits for; it must wait for something."""
    reason = why.of_first_ten(campaign, at)
    assert reason is not None
    return reason.sentence


def send_rest(office, campaign):
    return office.store.write(lambda session: campaigns.send_rest(session, office.team.id, campaign.uuid))


def test_only_the_first_ten_can_be_claimed_at_first(office):
    campaign = launched(office)

    assert (campaign.status, campaign.charged) == (Status.PENDING, 25)
    assert [job.payload.partition('"first_row": ')[2] for job in office.rows(JobRow)] == [
        '1, "last_row": 10}}',
        '11, "last_row": 15}}',
        '16, "last_row": 20}}',
        '21, "last_row": 25}}',
    ]
    assert on_hold(office) == 3


def test_a_campaign_of_ten_has_no_rest_to_wait(office):
    campaign = launched(office, 10)

    assert (campaign.first_ten, office.jobs(), on_hold(office)) == (False, 2, 0)


def test_the_rest_goes_by_itself_once_the_first_ten_are_taken(office, make_crew):
    campaign = launched(office)

    make_crew(gateway := answering()).drain()

    after = office.reload(campaign)
    assert (after.status, after.sent, len(set(gateway.numbers))) == (Status.COMPLETED, 25, 25)
    assert after.released_at is not None
    assert (len(office.notices()), office.jobs("sms.send-bulk")) == (1, 0)


def test_most_refused_stops_the_campaign_says_why_and_credits_the_untouched_rest(office, make_crew):
    campaign = launched(office, 990, slice_rows=500)

    make_crew(gateway := answering(*[REFUSED] * 8)).drain()

    after = office.reload(campaign)
    assert (after.status, len(gateway.calls), after.failed, after.sent) == (Status.FAILED, 10, 8, 2)
    assert after.error == (
        "8 of 10 refused: sender name not allowed. Stopped, 980 untouched, nothing charged for them."
    )
    assert (after.cancelled, office.balance(), after.held) == (980, 998, 0)
    assert {row.code for row in office.recipients(campaign) if row.state == "cancelled"} == {first_ten.CODE}
    assert [notice.data["error"] for notice in office.notices()] == [after.error]
    make_crew(gateway).finish(office)
    assert (len(gateway.calls), office.jobs(), office.failed_jobs()) == (10, 0, [])


def test_an_account_that_is_refused_keeps_its_own_reason(office, make_crew):
    campaign = launched(office)

    make_crew(answering(*[Rejected("20003", "no credit", scope="account")] * 10)).drain()

    after = office.reload(campaign)
    assert (after.status, after.failed, office.balance()) == (Status.FAILED, 25, 1000)
    assert after.error.startswith("Stopped: the gateway refuses our account (20003")
    assert office.jobs("sms.send-bulk") == 0


def test_what_is_retried_after_the_end_does_not_wait_for_the_first_ten_once_more(office, make_crew):
    campaign = launched(office)
    make_crew(answering(*[Rejected("20003", "no credit", scope="account")] * 10)).drain()

    offered = office.store.write(
        lambda session: again.retry(session, office.team.id, campaign.uuid, TERMS, user_id=office.user.id)
    )
    make_crew(answering()).finish(office)

    assert offered.count == 25
    assert (office.reload(campaign).status, office.reload(campaign).sent) == (Status.COMPLETED, 25)


def test_what_the_first_ten_left_alone_can_be_sent_after_all(office, make_crew):
    campaign = launched(office)
    make_crew(answering(*[REFUSED] * 8)).drain()

    offered = office.store.write(
        lambda session: again.retry(session, office.team.id, campaign.uuid, TERMS, user_id=office.user.id)
    )
    make_crew(answering()).finish(office)

    after = office.reload(campaign)
    assert (offered.count, after.sent, after.failed, after.status) == (15, 17, 8, Status.COMPLETED)


def test_half_refused_is_not_most(office, make_crew):
    campaign = launched(office)

    make_crew(answering(*[REFUSED] * 5)).drain()

    after = office.reload(campaign)
    assert (after.status, after.sent, after.failed) == (Status.COMPLETED, 20, 5)


def test_unknown_is_no_refusal(office, make_crew):
    campaign = launched(office)

    make_crew(answering(*[Unknown("lost")] * 9)).drain()

    after = office.reload(campaign)
    assert (after.status, after.sent, after.unknown) == (Status.COMPLETED, 16, 9)


def test_no_answer_at_all_frees_nothing_and_says_so(office, make_crew):
    campaign = launched(office)

    make_crew(gateway := answering(*[Unknown("lost")] * 10)).drain()
    look_after_waiting(office.store)

    after = office.reload(campaign)
    assert (after.status, after.queued, len(gateway.calls), on_hold(office)) == (Status.PROCESSING, 15, 10, 3)
    assert "wait for the answers" in said_of(after, after.started_at + timedelta(seconds=59))
    said = said_of(after, after.started_at + timedelta(seconds=150))
    assert said.startswith("The other 15 wait: the gateway's answers to the first 10 since ")


def test_an_unknown_one_that_turns_out_to_be_taken_lets_the_rest_go_within_a_minute(office, make_crew):
    campaign = launched(office)
    crew = make_crew(answering(*SILENT))
    crew.drain()

    office.is_tampered = True
    office.execute(sa.update(Recipient).where(Recipient.row == 2).values(state=State.SENT))
    look_after_waiting(office.store)

    assert office.reload(campaign).released_at is not None
    crew.drain()
    assert office.reload(campaign).sent == 15  # the sixteenth was written past the counters


def test_reports_that_are_there_when_it_is_judged_count_as_refusals(office):
    campaign = launched(office)
    office.is_tampered = True
    ten = (Recipient.campaign_id == campaign.id, Recipient.row <= 10)
    office.execute(sa.update(Recipient).where(*ten).values(state=State.UNDELIVERED, error="Carrier violation."))
    office.execute(sa.update(Campaign).values(queued=15, undelivered=10, status=Status.PROCESSING))

    assert office.store.write(lambda session: completion.close(session, campaign.id))

    after = office.reload(campaign)
    assert after.error.startswith("10 of 10 refused: Carrier violation. Stopped, 15 untouched")
    assert (after.status, after.cancelled) == (Status.FAILED, 15)


def test_who_waits_for_the_gateway_is_no_verdict_yet(office, make_crew):
    campaign = launched(office)
    crew = make_crew(gateway := answering(*[Deferred(3600, "throttled", "later")] * 8))

    crew.drain()
    between = office.reload(campaign)
    office.execute(sa.update(Recipient).where(Recipient.row <= 10).values(not_before=None))
    office.execute(sa.update(jobs).where(jobs.c.available_at < HELD_UNTIL_US).values(available_at=1))
    office.execute(sa.delete(Rate))  # the gateway's wish for a slower pace is another matter
    make_crew(gateway).drain()

    assert (between.released_at, between.queued, between.sent) == (None, 23, 2)
    assert (office.reload(campaign).status, len(gateway.calls)) == (Status.COMPLETED, 33)


def hold_back(office, campaign, rows, code=brake.HELD, seconds=3600.0):
    """Hold some of a campaign's recipients back, as the brake or the night does."""
    mine = sa.update(Recipient).where(Recipient.campaign_id == campaign.id, Recipient.row.in_(rows))
    office.execute(mine.values(code=code, not_before=now() + timedelta(seconds=seconds)))


@pytest.mark.parametrize("code", [brake.HELD, holding_back.NIGHT])
def test_the_rest_does_not_wait_for_whom_the_brake_or_the_night_holds_back(office, make_crew, code):
    campaign = launched(office)
    hold_back(office, campaign, range(2, 10), code)
    crew = make_crew(answering())

    crew.drain()
    look_after_waiting(office.store)
    crew.drain()

    after = office.reload(campaign)
    assert after.released_at is not None
    assert (after.sent, after.queued) == (17, 8)


@pytest.mark.parametrize(("refused", "asked"), [(0, 0), (1, 1), (5, 5), (3, 5)])
def test_so_few_are_asked_that_they_tell_nothing_while_others_are_held_back(office, make_crew, refused, asked):
    campaign = launched(office)
    hold_back(office, campaign, range(asked + 1, 11))
    crew = make_crew(gateway := answering(*[REFUSED] * refused))

    crew.drain()
    look_after_waiting(office.store)
    crew.drain()

    after = office.reload(campaign)
    assert (after.released_at, after.finished_at, len(gateway.calls)) == (None, None, asked)
    hold_back(office, campaign, range(asked + 1, 11), seconds=-1.0)
    crew.finish(office)
    assert (office.reload(campaign).status, len(gateway.calls)) == (Status.COMPLETED, 25)


def test_most_refused_stops_it_even_if_some_are_held_back(office, make_crew):
    campaign = launched(office)
    hold_back(office, campaign, range(7, 11))
    crew = make_crew(answering(*[REFUSED] * 6))

    crew.drain()
    look_after_waiting(office.store)

    after = office.reload(campaign)
    assert (after.failed, after.cancelled, office.balance()) == (6, 19, 1000)
    assert after.error.startswith("6 of 6 refused")


def test_no_number_of_campaigns_that_wait_hides_another(office, monkeypatch):
    monkeypatch.setattr(first_ten, "AT_ONCE", 2)
    ids = [launched(office, 11).id for _ in range(6)]
    office.execute(sa.update(Campaign).where(Campaign.id == ids[0]).values(status=Status.SCHEDULED))
    office.execute(sa.update(Campaign).where(Campaign.id == ids[1]).values(status=Status.PAUSED))

    with office.store.reading() as session:
        found = [first_ten.undecided(session) for _ in range(200)]

    assert {len(each) for each in found} == {2}
    assert set().union(*found) == set(ids[2:])


@pytest.mark.parametrize(("gone", "sent"), [(10, 15), (7, 18)])
def test_who_opted_out_tells_nothing_about_the_rest(office, make_crew, gone, sent):
    campaign = launched(office)
    numbers = [row.number for row in office.recipients(campaign)[:gone]]
    office.store.write(
        lambda session: session.add_all(
            OptOut(team_id=office.team.id, number=number, source="person") for number in numbers
        )
    )

    make_crew(answering(*[REFUSED] * (10 - gone > 0))).drain()

    after = office.reload(campaign)
    refused = int(gone < 10)
    assert (after.status, after.suppressed, after.sent) == (Status.COMPLETED, gone, sent - refused)
    assert {row.code for row in office.recipients(campaign) if row.state == "suppressed"} == {optouts.CODE}


def test_a_rest_that_waits_until_it_is_too_late_expires_and_is_credited(office, make_crew):
    campaign = launched(office)
    crew = make_crew(answering(*SILENT))
    crew.drain()

    office.execute(sa.update(Campaign).values(valid_until=now() - timedelta(seconds=1)))
    end_overdue(office.store)
    crew.drain()

    after = office.reload(campaign)
    assert (after.status, after.expired, after.unknown) == (Status.COMPLETED, 15, 7)
    assert (office.balance(), office.jobs("sms.send-bulk"), len(office.notices())) == (993, 0, 1)


def test_a_person_sends_the_rest(office, make_crew):
    campaign = launched(office)
    crew = make_crew(answering(*SILENT))
    crew.drain()

    send_rest(office, campaign)
    crew.drain()

    assert (office.reload(campaign).status, office.reload(campaign).sent) == (Status.COMPLETED, 15)
    with pytest.raises(NotWaiting):
        send_rest(office, campaign)


def test_a_person_cancels_while_the_rest_waits(office, make_crew):
    campaign = launched(office)
    crew = make_crew(answering(*SILENT))
    crew.drain()

    cancelled = office.cancel(campaign)
    crew.drain()

    assert (cancelled.status, cancelled.cancelled, cancelled.unknown) == (Status.CANCELLED, 15, 7)
    assert cancelled.finished_at is not None
    assert (office.balance(), office.jobs("sms.send-bulk")) == (993, 0)


def test_a_worker_that_dies_in_the_first_slice_strands_nobody(office, make_crew):
    campaign = launched(office)
    gateway = Held()
    crew = make_crew(gateway, SMS_CONCURRENCY="4", SMS_WINDOW="4")
    working = crew.start()
    wait_until(lambda: len(gateway.calls) == 4)
    office.bury_workers()
    office.execute(sa.update(JobRow).values(reserved_at=None, worker_id=None, claim_token=None, group_slot=None))
    office.execute(sa.update(JobRow).where(JobRow.attempts == 0).values(available_at=HELD_UNTIL_US))

    make_crew(other := answering()).drain()
    gateway.let_go()
    working.ended()

    after = office.reload(campaign)
    assert (after.status, after.queued, after.sending) == (Status.COMPLETED, 0, 0)
    assert len(set(gateway.numbers) & set(other.numbers)) == 0
    assert after.sent + after.unknown == 25


def test_a_first_slice_that_is_given_up_frees_nothing_until_its_retry_has_told_enough(office, make_crew):
    campaign = launched(office)
    crew = make_crew(answering())
    first = (JobRow.tag == f"campaign:{campaign.id}", JobRow.available_at < HELD_UNTIL_US)
    office.execute(sa.update(JobRow).where(*first).values(attempts=3))

    crew.drain()
    between = office.reload(campaign)
    (job,) = office.failed_jobs()
    office.store.write(lambda session: failed.retry(session, crew.registry, job.id))
    crew.drain()

    assert (between.status, between.failed, between.queued, between.released_at) == (Status.PENDING, 10, 15, None)
    assert between.error.startswith("A part of the campaign was given up")
    after = office.reload(campaign)
    assert (after.status, after.sent, after.error, after.gave_up) == (Status.COMPLETED, 25, None, 0)
    assert len(office.notices()) == 1


def test_jobs_of_the_rest_that_come_free_by_accident_do_not_send(office, make_crew):
    campaign = launched(office)
    office.execute(
        sa.update(JobRow).where(JobRow.payload.contains('"first_row": 1,')).values(available_at=HELD_UNTIL_US)
    )
    office.execute(sa.update(JobRow).where(~JobRow.payload.contains('"first_row": 1,')).values(available_at=1))

    make_crew(gateway := answering()).drain()

    assert (gateway.calls, office.states(campaign), office.jobs()) == ([], {"queued": 25}, 4)
    assert {job.last_error for job in office.rows(JobRow)} >= {"the first ten are waited for"}


def test_the_rest_stays_on_hold_through_a_pause(office, make_crew):
    campaign = launched(office)
    office.store.write(lambda session: pausing.pause(session, office.team.id, campaign.uuid))
    held = on_hold(office)

    resumed = office.store.write(lambda session: pausing.resume(session, office.team.id, campaign.uuid))

    assert (held, on_hold(office), resumed.status) == (4, 3, Status.PENDING)
    make_crew(answering(*[REFUSED] * 10)).drain()
    assert (office.reload(campaign).failed, office.reload(campaign).cancelled) == (10, 15)


def test_a_rest_that_is_let_go_during_a_pause_goes_after_it(office, make_crew):
    campaign = launched(office)
    crew = make_crew(gateway := answering(*SILENT))
    crew.drain()
    office.store.write(lambda session: pausing.pause(session, office.team.id, campaign.uuid))

    send_rest(office, campaign)
    crew.drain()
    during = len(gateway.calls)
    office.store.write(lambda session: pausing.resume(session, office.team.id, campaign.uuid))
    crew.drain()

    assert (during, office.reload(campaign).sent) == (10, 15)


def test_many_judges_at_once_come_to_one_verdict(office):
    campaign = launched(office)
    office.is_tampered = True
    ten = (Recipient.campaign_id == campaign.id, Recipient.row <= 10)
    office.execute(sa.update(Recipient).where(*ten).values(state=State.UNDELIVERED, error="No."))
    office.execute(sa.update(Campaign).values(queued=15, undelivered=10, status=Status.PROCESSING))

    errors = at_once([partial(office.store.write, lambda session: completion.close(session, campaign.id))] * 8)

    after = office.reload(campaign)
    assert errors == [None] * 8
    assert (after.status, after.cancelled, after.gave_up, len(office.notices())) == (Status.FAILED, 15, 1, 1)
    assert office.balance() == 990


@pytest.mark.databases("postgresql", "mariadb")
def test_a_person_who_sends_the_rest_at_the_moment_of_the_verdict_is_obeyed(office):
    campaign = launched(office)
    office.is_tampered = True
    ten = (Recipient.campaign_id == campaign.id, Recipient.row <= 10)
    office.execute(sa.update(Recipient).where(*ten).values(state=State.UNDELIVERED, error="No."))
    office.execute(sa.update(Campaign).values(queued=15, undelivered=10, status=Status.PROCESSING))

    race(
        office.store,
        lambda session: campaigns.send_rest(session, office.team.id, campaign.uuid),
        lambda session: first_ten.judge(session, campaign.id),
    )

    after = office.reload(campaign)
    assert after.released_at is not None
    assert (after.cancelled, after.queued, after.gave_up, after.error) == (0, 15, 0, None)
    assert office.balance() == 975
