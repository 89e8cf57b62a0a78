"""Cancel means stop, and so does a disabled owner: what has not left is credited, what is in the air is recorded."""

import threading
from uuid import uuid4

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import campaigns, delivery, intents, settlement, stopping, unknowns
from smsqueue.domain.campaigns import NotRunning
from smsqueue.domain.counting import Changes
from smsqueue.domain.errors import NotFound
from smsqueue.domain.intents import Portion
from smsqueue.domain.journal import Answer
from smsqueue.domain.reopening import StillOpen
from smsqueue.domain.resolving import Terms
from smsqueue.domain.unknowns import Choice, Decision
from smsqueue.gateways.base import Deferred, Rejected, Report, Sent, Unknown
from smsqueue.models import Campaign, Status, User
from smsqueue.queue.models import JobRow
from tests.domain_fixtures import Office
from tests.domain_workers import Scripted, Working, at_once, race, waiting
from tests.integration.domain.test_closing import SENDER, close, in_the_air, record
from tests.outside import wait_until


def set_active(office, active):
    office.store.write(lambda session: campaigns.set_active(session, office.user.id, active))


def test_a_campaign_cancelled_before_anything_left_costs_nothing_and_calls_nobody(office, make_crew):
    campaign = office.launched(5)

    cancelled = office.cancel(campaign)
    make_crew(gateway := Scripted()).finish(office)

    assert (cancelled.status, cancelled.finished_at is None) == (Status.CANCELLED, False)
    assert (office.states(campaign), office.balance(), gateway.calls) == ({"cancelled": 5}, 1000, [])
    assert [notice.type for notice in office.notices()] == ["campaign.cancelled"]


def test_cancelling_credits_what_waits_at_once_and_records_what_is_in_the_air(office, held):
    campaign, gateway, working = held

    during = office.cancel(campaign)
    balance = office.balance()
    gateway.let_go()
    working.ended()

    after = office.reload(campaign)
    assert (during.status, during.finished_at, during.sending, during.cancelled) == (Status.CANCELLED, None, 4, 16)
    assert balance == 996
    assert (after.status, after.sent, after.spent) == (Status.CANCELLED, 4, 4)
    assert after.finished_at is not None
    assert len(gateway.calls) == 4  # at most the window
    assert len(office.notices()) == 1


@pytest.mark.parametrize(
    ("outcome", "state", "balance"),
    [
        (Deferred(0, "throttled", "later"), "cancelled", 1000),
        (Rejected("bad", "a bad number"), "failed", 1000),
        (Unknown("lost"), "unknown", 996),
    ],
)
def test_what_is_in_the_air_when_cancelled_ends_as_its_answer_says(office, held, outcome, state, balance):
    campaign, gateway, working = held
    office.cancel(campaign)

    gateway.answer = lambda _outgoing: outcome
    gateway.let_go()
    working.ended()

    after = office.reload(campaign)
    assert (after.counts[state], after.cancelled + after.counts[state] * (state != "cancelled")) == (
        4 if state != "cancelled" else 20,
        20,
    )
    assert (office.balance(), after.status, office.jobs("sms.send-bulk")) == (balance, Status.CANCELLED, 0)


def test_what_comes_back_as_not_sent_after_a_cancel_is_cancelled_and_credited_at_once(office):
    campaign = office.launched(2)
    intents = in_the_air(office, campaign)
    office.cancel(campaign)

    record(office, campaign, Answer(intents[0], Deferred(0, "throttled", "later")))

    assert [row.state for row in office.recipients(campaign)] == ["cancelled", "sending"]
    assert office.balance() == 999


@pytest.mark.parametrize("why", ["cancelled", "disabled", "pending"])
def test_the_intents_own_update_asks_whether_the_campaign_still_runs(office, why):
    campaign = office.launched(2)
    status = {"cancelled": Status.CANCELLED, "pending": Status.PENDING}.get(why, Status.PROCESSING)
    office.execute(sa.update(Campaign).values(status=status))
    office.execute(sa.update(User).values(active=why != "disabled"))

    def start(session):
        mine, changes = session.get_one(Campaign, campaign.id), Changes()
        return intents.start(session, mine, (1, 2), SENDER, changes, portion=Portion(2), now=now())

    assert office.store.write(start) == []
    assert office.states(campaign) == {"queued": 2}


def test_a_campaign_is_cancelled_once(office):
    campaign = office.launched(3)

    errors = at_once([lambda: office.cancel(campaign)] * 8)

    assert errors.count(None) == 1
    assert {type(error) for error in errors if error} == {NotRunning}
    assert (office.balance(), len(office.notices())) == (1000, 1)


def test_only_what_runs_can_be_cancelled(office, make_crew):
    draft, ended = office.draft(1), office.launched(1)
    make_crew(Scripted()).finish(office)

    for campaign in (draft, ended):
        with pytest.raises(NotRunning):
            office.cancel(campaign)

    assert office.reload(ended).status == Status.COMPLETED


def test_nobody_cancels_another_teams_campaign(office, store):
    neighbours = Office.open(store, "Neighbours", 0)
    campaign = office.launched(1)

    with pytest.raises(NotFound):
        neighbours.cancel(campaign)
    with pytest.raises(NotFound), store.reading() as session:
        campaigns.find(session, office.team.id, uuid4())


def test_the_reason_names_who_cancelled(office):
    campaign = office.launched(1)

    office.store.write(lambda session: campaigns.cancel(session, office.team.id, campaign.uuid, by="ann@example.com"))

    assert office.reload(campaign).error == "Cancelled by ann@example.com."


def test_disabling_a_person_stops_their_campaigns_with_the_reason(office, held):
    campaign, gateway, working = held
    waiting = office.launched(3)

    set_active(office, False)
    gateway.let_go()
    working.ended()

    for each in (campaign, waiting):
        assert (office.reload(each).status, office.reload(each).error) == (
            Status.CANCELLED,
            stopping.OWNER_DISABLED,
        )
    assert len(gateway.calls) == 4
    assert office.balance() == 996


def test_an_owner_disabled_behind_our_back_stops_the_campaign_too(office, held):
    campaign, gateway, working = held

    office.execute(sa.update(User).values(active=False))
    gateway.let_go()
    working.ended()

    after = office.reload(campaign)
    assert (after.status, after.error, after.sent, after.cancelled) == (
        Status.CANCELLED,
        stopping.OWNER_DISABLED,
        4,
        16,
    )


def test_a_job_left_over_by_a_campaign_that_ended_is_harmless_when_the_owner_is_disabled_since(office, make_crew):
    campaign = office.launched(2)
    (job,) = office.rows(JobRow)
    crew = make_crew(Scripted())
    crew.finish(office)
    set_active(office, False)

    values = {column.name: getattr(job, column.name) for column in JobRow.__table__.columns}
    office.execute(sa.insert(JobRow).values(values))
    crew.finish(office)

    after = office.reload(campaign)
    assert (after.status, after.error, office.failed_jobs()) == (Status.COMPLETED, None, [])


def test_a_person_can_be_let_in_again(office):
    set_active(office, False)
    set_active(office, True)

    assert office.launched(1).status == Status.PENDING


@pytest.mark.databases("postgresql", "mariadb")
def test_a_campaign_that_ends_while_its_owner_is_disabled_does_not_save_the_owner(office):
    campaign = office.launched(1)

    def end(session):
        session.execute(sa.update(Campaign).where(Campaign.id == campaign.id).values(status=Status.COMPLETED))

    office.is_tampered = True
    office.execute(sa.text("UPDATE sms_recipients SET state = 'unknown'"))
    race(office.store, end, lambda session: campaigns.set_active(session, office.user.id, False))

    with office.store.reading() as session:
        assert not session.get_one(User, office.user.id).active
    assert office.reload(campaign).status == Status.COMPLETED


def test_cancel_under_full_load_leaves_nobody_in_between(office, make_crew):
    cancelled = threading.Event()

    def answer(outgoing):
        assert len(gateway.calls) < 20 or cancelled.wait(20)
        return Sent(outgoing.reference)

    gateway = Scripted(answer)
    campaign = office.launched(200, slice_rows=50)
    working = [make_crew(gateway, SMS_CONCURRENCY="4", SMS_WINDOW="8").start() for _ in range(2)]
    wait_until(lambda: len(gateway.calls) >= 20)

    office.cancel(campaign)
    called = len(gateway.calls)
    cancelled.set()
    for each in working:
        each.ended()

    after = office.reload(campaign)
    assert len(gateway.calls) - called <= 16
    assert (after.status, after.sent, after.sent + after.cancelled) == (Status.CANCELLED, len(gateway.calls), 200)
    assert len(office.notices()) == 1


def test_cancelled_campaign_is_not_reopened_before_its_last_calls_are_over(office):
    campaign = office.launched(3)
    lost, under_way = in_the_air(office, campaign, 2)
    record(office, campaign, Answer(lost, Unknown("lost")))
    office.cancel(campaign)
    terms, every = Terms(patience_seconds=0, wait_seconds=3600), Choice(campaign.id)

    with pytest.raises(StillOpen):
        unknowns.decide(office.store, every, Decision.AGAIN, terms, by="ann")
    record(office, campaign, Answer(under_way, Deferred(1, "throttled", "slow down")))

    assert office.reload(campaign).status == Status.CANCELLED
    assert office.states(campaign) == {"unknown": 1, "cancelled": 2}
    assert close(office, campaign)
    assert unknowns.decide(office.store, every, Decision.AGAIN, terms, by="ann") == 1
    assert office.states(campaign) == {"queued": 1, "cancelled": 2}


@pytest.mark.parametrize("ended", ["cancelled", "completed"])
def test_a_refusal_of_our_account_that_comes_too_late_keeps_how_the_campaign_ended(office, make_crew, ended):
    campaign = office.launched(2)
    if ended == "cancelled":
        office.cancel(campaign)
    else:
        make_crew(Scripted()).finish(office)
    before = office.reload(campaign)

    def refuse(session):
        refusal = Rejected("auth", "wrong key", "account")
        stopping.stop_for_account(session, session.get_one(Campaign, campaign.id), refusal)

    office.store.write(refuse)

    after = office.reload(campaign)
    assert (after.status, after.error, after.gave_up) == (before.status, before.error, 0)


@pytest.mark.databases("postgresql", "mariadb")  # SQLite has one writer at a time
def test_a_cancel_is_no_deadlock_with_reports_of_who_waits(office, store, repeated, monkeypatch):
    """The first waits after a throttled call, the second, of whom nobody can tell, for a second try."""
    campaign = office.launched(2)
    first, second = in_the_air(office, campaign)
    record(office, campaign, Answer(first, Deferred(0, "throttled", "later")), Answer(second, Unknown("lost")))
    unknowns.decide(store, Choice(campaign.id), Decision.AGAIN, Terms(-10, 1), by="me")
    told = [Report(state="delivered", reference=each.outgoing.reference) for each in (first, second)]
    leave, running = settlement._leave_unknown, list[Working]()

    def while_reports_come(*args):
        count = leave(*args)
        if not running:
            running.append(Working(lambda: store.write(lambda s: delivery.apply(s, "scripted", told, now()))))
            wait_until(lambda: waiting(store))
        return count

    monkeypatch.setattr(settlement, "_leave_unknown", while_reports_come)
    office.cancel(campaign)
    running[0].ended()

    assert (repeated, office.states(campaign)) == ([], {"delivered": 2})
