"""Delivery reports: what they make of attempts, recipients, credits and campaigns, whenever they come."""

import threading
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain import again, credits, delivery, journal, references, settlement
from smsqueue.domain.counting import Changes
from smsqueue.domain.delivery import Applied
from smsqueue.domain.journal import Answer
from smsqueue.domain.stopping import NotRunning
from smsqueue.gateways.base import Deferred, Outcome, Outgoing, Rejected, Report, Sent, Traits, Unknown
from smsqueue.models import Campaign, DeliveryReport, LedgerTransaction, OptOut, State, Status
from tests.desk import Desk
from tests.domain_fixtures import TERMS, Office
from tests.domain_workers import Scripted, at_once, waiting
from tests.integration.domain.test_closing import in_the_air, record
from tests.outside import wait_until


@pytest.fixture
def desk(office: Office) -> Desk:
    """A campaign to one recipient."""
    return Desk(office)


@pytest.mark.parametrize(
    ("state", "becomes"),
    [
        ("delivered", State.DELIVERED),
        ("undelivered", State.UNDELIVERED),
        ("expired", State.UNDELIVERED),
        ("cancelled", State.UNDELIVERED),
        ("sent", State.SENT),
    ],
)
def test_a_report_raises_its_recipient_and_keeps_the_credits_spent(desk: Desk, state: str, becomes: State):
    (intent,) = desk.sent()
    desk.tell(intent, state, code="30003", reason="The phone is off.")
    assert desk.states == [becomes]
    assert desk.money() == (1, 0, 1, 999)


def test_an_undelivered_recipient_says_why(desk: Desk):
    (intent,) = desk.sent()
    desk.tell(intent, "expired")
    (recipient,) = desk.office.recipients(desk.campaign)
    assert (recipient.code, recipient.error) == ("expired", delivery.WORDS["expired"])
    (attempt,) = desk.office.attempts(desk.campaign)
    assert (attempt.outcome, attempt.reported) == ("sent", "expired")


def test_an_early_report_never_loses_to_a_late_one(desk: Desk):
    (intent,) = desk.sent()
    for state in ("delivered", "sent", "undelivered", "delivered", "failed"):
        desk.tell(intent, state)
    assert desk.states == [State.DELIVERED]
    assert desk.money() == (1, 0, 1, 999)
    assert len(desk.office.rows(DeliveryReport)) == 4


def test_a_report_before_the_answer_ends_the_recipient_and_the_answer_lowers_nothing(desk: Desk):
    (intent,) = desk.call()
    desk.tell(intent, "delivered")
    assert desk.states == [State.DELIVERED]
    desk.answer(intent, Sent("gw-1", 1))
    (attempt,) = desk.office.attempts(desk.campaign)
    assert (attempt.outcome, attempt.reported, attempt.gateway_reference) == ("sent", "delivered", "gw-1")
    assert desk.states == [State.DELIVERED]
    assert desk.money() == (1, 0, 1, 999)


@pytest.mark.parametrize("answer", [Unknown("cut"), Deferred(1, "unreachable", "away")])
def test_an_answer_that_tells_less_than_the_report_is_not_believed(desk: Desk, answer: Outcome):
    (intent,) = desk.call()
    desk.tell(intent, "sent")
    desk.answer(intent, answer)
    (attempt,) = desk.office.attempts(desk.campaign)
    assert attempt.outcome == "sent"
    assert desk.states == [State.SENT]


def test_a_report_turns_unknown_into_sent(desk: Desk):
    (intent,) = desk.call()
    desk.answer(intent, Unknown("cut"))
    assert desk.money() == (1, 0, 0, 999)
    desk.tell(intent, "sent", gateway_reference="gw-7")
    assert desk.states == [State.SENT]
    assert desk.money() == (1, 0, 1, 999)
    (attempt,) = desk.office.attempts(desk.campaign)
    assert (attempt.outcome, attempt.gateway_reference) == ("sent", "gw-7")


def test_a_report_ends_a_recipient_that_waits_for_another_try_and_closes_the_campaign(desk: Desk):
    (intent,) = desk.call()
    desk.answer(intent, Deferred(60, "unreachable", "away"))
    assert desk.states == [State.QUEUED]
    desk.tell(intent, "delivered")
    assert desk.states == [State.DELIVERED]
    assert desk.now.status == Status.COMPLETED
    assert desk.call() == []
    assert len(desk.office.notices()) == 1


def test_failed_after_sent_gives_the_credits_back_once(desk: Desk):
    (intent,) = desk.sent()
    desk.close()
    for _ in range(3):
        desk.tell(intent, "failed")
    assert desk.states == [State.FAILED]
    assert desk.money() == (1, 1, 0, 1000)
    refunds = [each for each in desk.office.rows(LedgerTransaction) if each.kind == "refund"]
    assert len(refunds) == 1
    assert desk.now.status == Status.COMPLETED
    assert len(desk.office.notices()) == 1


def test_failed_before_the_answer_credits_from_escrow(desk: Desk):
    (intent,) = desk.call()
    desk.tell(intent, "failed", code="30001")
    assert desk.states == [State.FAILED]
    assert desk.money() == (1, 1, 0, 1000)
    desk.answer(intent, Sent("gw-1"))
    assert desk.states == [State.FAILED]
    assert desk.money() == (1, 1, 0, 1000)


def test_delivered_after_failed_is_charged_again(desk: Desk):
    (intent,) = desk.sent()
    desk.tell(intent, "failed")
    desk.tell(intent, "delivered")
    assert desk.states == [State.DELIVERED]
    assert desk.money() == (2, 1, 1, 999)


def test_taken_after_it_was_credited_stays_credited_where_nothing_is_left_to_pay_with(store):
    office = Office.open(store, "Poor", 1)
    desk = Desk(office)
    (intent,) = desk.sent()
    desk.tell(intent, "failed")
    office.launch(office.draft(1))
    desk.tell(intent, "delivered")
    (recipient,) = office.recipients(desk.campaign)
    assert (recipient.state, recipient.code) == (State.FAILED, "taken_late")
    assert not office.problems()


def test_a_cancelled_recipient_whose_attempt_was_taken_is_paid_for(desk: Desk):
    (intent,) = desk.call()
    desk.answer(intent, Deferred(60, "unreachable", "away"))
    desk.office.cancel(desk.campaign)
    assert desk.states == [State.CANCELLED]
    desk.tell(intent, "delivered")
    assert desk.states == [State.DELIVERED]
    assert desk.now.status == Status.CANCELLED
    assert desk.money() == (2, 1, 1, 999)


def test_reports_of_nobody_are_kept_and_counted(desk: Desk):
    (intent,) = desk.sent()
    strangers = [Report(state="delivered", reference="1-1-ffffffff"), Report(state="sent", gateway_reference="x\0y")]
    applied = desk.tell_all([*strangers, Report(state="delivered", reference=intent.outgoing.reference)])
    assert (applied.reports, applied.unknown, applied.changed) == (3, 2, 1)
    assert sorted(each.attempt_id is None for each in desk.office.rows(DeliveryReport)) == [False, True, True]


def test_another_gateways_report_of_our_reference_changes_nothing(desk: Desk):
    (intent,) = desk.sent()
    told = [Report(state="failed", reference=intent.outgoing.reference)]
    applied = desk.store.write(lambda session: delivery.apply(session, "other", told, now()))
    assert (applied.unknown, applied.changed) == (1, 0)
    assert desk.states == [State.SENT]


def test_a_report_with_the_gateways_reference_alone_is_found_where_that_is_kept(desk: Desk):
    (intent,) = desk.sent()
    kept = {("scripted", "gw-1"): intent.outgoing.reference, ("scripted", ""): "nobody's"}
    for _ in range(2):
        desk.store.write(lambda session: references.keep(session, kept))
    desk.tell_all([Report(state="delivered", gateway_reference="gw-1"), Report(state="failed", gateway_reference="")])
    assert desk.states == [State.DELIVERED]


def test_a_report_with_the_gateways_reference_alone_is_found_after_a_look_up_has_told_it(desk: Desk):
    (intent,) = desk.call()
    desk.answer(intent, Unknown("cut"))
    (attempt,) = desk.office.attempts(desk.campaign)
    desk.store.write(lambda session: delivery.accept(session, {attempt.id: Sent("gw-9")}, now()))
    desk.tell_all([Report(state="delivered", gateway_reference="gw-9")])
    assert desk.states == [State.DELIVERED]


@pytest.mark.parametrize("taken", [Sent("gw-9"), Sent("gw-8", references=("gw-8", "gw-9"))])
def test_a_report_that_came_before_a_look_up_told_its_reference_counts(desk: Desk, taken: Sent):
    (intent,) = desk.call()
    desk.answer(intent, Unknown("cut"))
    desk.tell_all([Report(state="failed", gateway_reference="gw-9")])
    (attempt,) = desk.office.attempts(desk.campaign)

    applied = desk.store.write(lambda session: delivery.accept(session, {attempt.id: taken}, now()))
    delivery.follow_up(desk.store, applied)

    assert desk.states == [State.FAILED]
    assert desk.money() == (1, 1, 0, 1000)


@pytest.mark.databases("postgresql", "mariadb")  # SQLite has one writer at a time
def test_a_report_at_the_moment_of_its_answer_counts(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    (intent,) = desk.call()
    ours = {("scripted", "gw-1"): intent.outgoing.reference}
    look = references.add_ours

    def answered_meanwhile(session: Session, gateway: str, told: list[Report]) -> list[Report]:
        found = look(session, gateway, told)
        monkeypatch.setattr(references, "add_ours", look)
        desk.answer(intent, Sent("gw-1"))
        desk.store.write(lambda session: references.keep(session, ours))
        assert desk.store.write(lambda session: delivery.catch_up(session, ours, now())) == []
        return found

    monkeypatch.setattr(references, "add_ours", answered_meanwhile)
    desk.tell_all([Report(state="delivered", gateway_reference="gw-1")])

    assert desk.states == [State.DELIVERED]


@pytest.mark.parametrize("answer", [Sent("gw-1"), Sent("gw-0", references=("gw-0", "gw-1"))])
@pytest.mark.parametrize("is_early", [False, True])
def test_a_gateway_that_reports_by_its_own_references_alone_is_understood(
    office: Office, make_crew: Any, answer: Sent, is_early: bool
) -> None:
    def report() -> Applied:
        told = [Report(state="delivered", gateway_reference="gw-1")]
        return office.store.write(lambda session: delivery.apply(session, "scripted", told, now()))

    def take(_outgoing: Outgoing) -> Sent:
        if is_early:
            report()
        return answer

    gateway = Scripted(take)
    gateway.traits = Traits(reports_name_ours=False)
    campaign = office.launched(1)
    make_crew(gateway).drain()
    if not is_early:
        assert office.states(campaign) == {"sent": 1}
        report()
    assert office.states(campaign) == {"delivered": 1}


def test_a_text_of_parts_is_delivered_when_all_parts_are(office: Office):
    desk = Desk(office, text="x" * 200)
    (intent,) = desk.call()
    desk.answer(intent, Sent("p1", 2, references=("p1", "p2")))
    desk.tell(intent, "delivered", gateway_reference="p1", is_part=True)
    assert desk.states == [State.SENT]
    desk.tell(intent, "delivered", gateway_reference="p1", is_part=True)
    assert desk.states == [State.SENT]
    desk.tell(intent, "delivered", gateway_reference="p2", is_part=True)
    assert desk.states == [State.DELIVERED]


def test_a_text_of_parts_is_what_its_worst_part_is(office: Office):
    desk = Desk(office, text="x" * 200)
    (intent,) = desk.call()
    desk.tell(intent, "delivered", gateway_reference="p1", is_part=True)
    assert desk.states == [State.SENT]
    desk.tell(intent, "undelivered", gateway_reference="p2", is_part=True)
    assert desk.states == [State.UNDELIVERED]


def test_a_report_that_says_opted_out_feeds_the_list(desk: Desk):
    (intent,) = desk.sent()
    desk.tell(intent, "undelivered", code="9", opted_out=True)
    (entry,) = desk.store.write(lambda session: session.scalars(sa.select(OptOut)).all())
    assert (entry.team_id, entry.number, entry.source) == (desk.office.team.id, intent.outgoing.to, "gateway")


def test_a_report_against_our_account_stops_the_campaign(office: Office):
    desk = Desk(office, 5)
    (intent,) = desk.sent()
    desk.tell(intent, "undelivered", code="30034", reason="The sender is not registered.", scope="account")
    assert desk.states == [State.UNDELIVERED, *[State.FAILED] * 4]
    assert desk.now.status == Status.FAILED
    assert "30034" in (desk.now.error or "")


def refused_account(desk: Desk) -> list[Report]:
    """Send one text; return the report of it that has something against our account."""
    (intent,) = desk.sent()
    return [Report(state="undelivered", reference=intent.outgoing.reference, code="30002", scope="account")]


def test_a_report_against_our_account_counts_though_the_process_that_heard_it_died(office: Office):
    desk = Desk(office, 5)
    told = refused_account(desk)
    desk.store.write(lambda session: delivery.apply(session, "scripted", told, now()))  # and nothing followed
    desk.tell_all(told)
    assert desk.states == [State.UNDELIVERED, *[State.FAILED] * 4]


def test_an_old_report_against_our_account_that_comes_again_stops_nothing(office: Office):
    desk = Desk(office, 5)
    told = refused_account(desk)
    desk.store.write(lambda session: delivery.apply(session, "scripted", told, now() - timedelta(hours=2)))
    desk.tell_all(told)
    assert desk.states == [State.UNDELIVERED, *[State.QUEUED] * 4]


def test_a_report_against_our_account_that_comes_again_stops_nobody_who_was_sent_to_again(office: Office):
    desk = Desk(office, 5)
    told = refused_account(desk)
    desk.tell_all(told)
    assert desk.now.status == Status.FAILED
    office.store.write(lambda s: again.retry(s, office.team.id, desk.campaign.uuid, TERMS, user_id=office.user.id))
    desk.tell_all(told)
    assert desk.states == [State.UNDELIVERED, *[State.QUEUED] * 4]


def test_many_reports_of_several_campaigns_are_one_transaction(office: Office):
    desks = [Desk(office, 30), Desk(office, 20)]
    told = [
        Report(state="delivered", reference=intent.outgoing.reference) for desk in desks for intent in desk.sent(30)
    ]
    applied = desks[0].tell_all([*told, *told])
    assert (applied.reports, applied.changed) == (50, 50)
    assert [desk.now.delivered for desk in desks] == [30, 20]


def test_accept_counts_an_unknown_attempt_as_sent(desk: Desk):
    (intent,) = desk.call()
    desk.answer(intent, Unknown("cut"))
    (attempt,) = desk.office.attempts(desk.campaign)
    for _ in range(2):
        desk.store.write(lambda session: delivery.accept(session, {attempt.id: Sent("gw-9", 1)}, now()))
    (attempt,) = desk.office.attempts(desk.campaign)
    assert (attempt.outcome, attempt.gateway_reference, attempt.parts, attempt.reported) == ("sent", "gw-9", 1, None)
    assert desk.states == [State.SENT]
    assert desk.money() == (1, 0, 1, 999)


def test_given_up_rows_are_found_by_a_later_report(desk: Desk):
    (intent,) = desk.call()
    desk.answer(intent, Deferred(60, "throttled", "later"))
    give_up = settlement.end_waiting
    desk.store.write(
        lambda session: give_up(session, session.get_one(Campaign, desk.campaign.id), None, State.FAILED, error="no")
    )
    desk.tell(intent, "sent")
    assert desk.states == [State.SENT]
    assert desk.money() == (2, 1, 1, 999)


ANSWERS: list[Outcome] = [Sent("gw-1"), Unknown("cut")]


@pytest.mark.databases("sqlite")
@given(data=st.data())
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_end_is_the_same_in_any_order_with_copies_and_losses(store, data):
    end = data.draw(st.sampled_from(["delivered", "undelivered", "expired", "failed"]))
    answer: Outcome | None = data.draw(st.sampled_from([*ANSWERS, None]))
    told: list[Any] = data.draw(st.lists(st.sampled_from(["sent", end]), max_size=5))
    events = data.draw(st.permutations([*told, end, answer]))
    office = Office.open(store, f"Office-{uuid4().hex}", 10)
    desk = Desk(office)
    (intent,) = desk.call()
    for event in events:
        if isinstance(event, str):
            desk.tell(intent, event)
        elif event is not None:
            desk.answer(intent, event)
    becomes = {"delivered": State.DELIVERED, "failed": State.FAILED}.get(end, State.UNDELIVERED)
    assert desk.states == [becomes]
    assert desk.money() == ((1, 1, 0, 10) if end == "failed" else (1, 0, 1, 9))
    assert not office.problems()


def test_the_same_failed_report_many_times_at_once_refunds_once(office: Office):
    for _ in range(5):
        desk = Desk(office, 3)
        told = [Report(state="failed", reference=each.outgoing.reference) for each in desk.sent(3)]
        assert at_once([partial(desk.tell_all, told)] * 4 + [partial(desk.tell_all, told[::-1])] * 4) == [None] * 8
        assert desk.states == [State.FAILED] * 3
        assert (desk.now.charged, desk.now.returned, desk.now.spent) == (3, 3, 0)
    assert office.balance() == 1000


def test_reports_and_answers_at_the_same_moment_count_each_text_once(office: Office):
    for turn in range(5):
        desk = Desk(office, 20)
        called = desk.call(20)
        told = [Report(state="delivered", reference=each.outgoing.reference) for each in called]
        works: list[Callable[[], object]] = [
            partial(desk.tell_all, told[first : first + 10][:: 1 - 2 * (turn % 2)]) for first in (0, 5, 10)
        ]
        works += [partial(desk.answer, each, Sent(f"gw-{each.attempt}")) for each in called[::3]]
        works += [partial(desk.answer, each, Unknown("cut")) for each in called[1::3]]
        assert at_once(works) == [None] * len(works)
        assert desk.states == [State.DELIVERED] * 20
        assert (desk.now.delivered, desk.now.spent, desk.now.returned) == (20, 20, 0)


def test_a_cancel_and_a_report_at_the_same_moment_settle_each_recipient_once(office: Office):
    for _ in range(5):
        desk = Desk(office, 4)
        called = desk.call(4)
        for each in called:
            desk.answer(each, Deferred(60, "unreachable", "away"))
        told = [Report(state="delivered", reference=each.outgoing.reference) for each in called]
        both: list[Callable[[], object]] = [partial(office.cancel, desk.campaign), partial(desk.tell_all, told)]
        errors = at_once(both)
        assert all(error is None or isinstance(error, NotRunning) for error in errors)
        assert desk.states == [State.DELIVERED] * 4
        assert desk.now.spent == 4


@pytest.mark.databases("postgresql", "mariadb")
def test_reports_of_two_campaigns_and_a_worker_of_the_second_are_no_deadlock(
    office: Office, monkeypatch: pytest.MonkeyPatch
):
    """Both move credits from the second one's escrow to the same wallet; the reports also from the first one's."""
    one, two = office.launched(1), office.launched(2)
    (first,), (second, third) = in_the_air(office, one), in_the_air(office, two)
    record(office, one, Answer(first, Unknown("lost")))
    record(office, two, Answer(second, Unknown("lost")))
    who, runs, add = threading.local(), list[str](), credits._add
    done = defaultdict[str, threading.Event](threading.Event)

    def slowly(session: Session, name: str, amount: int) -> None:
        add(session, name, amount)
        done[f"{who.name}, {name.partition(':')[0]}"].set()
        if who.name == "reports" and name.startswith("wallet"):
            wait_until(lambda: done["worker, escrow"].is_set() or waiting(office.store))

    def report(session: Session) -> None:
        who.name = "reports"
        runs.append(who.name)
        told = [Report(state="failed", reference=each.outgoing.reference) for each in (first, second)]
        delivery.apply(session, "scripted", told, now())

    def work(session: Session) -> None:
        who.name = "worker"
        runs.append(who.name)
        done["reports, wallet"].wait(20)
        changes, mine = Changes(), session.get_one(Campaign, two.id)
        journal.record(session, mine, [Answer(third, Rejected("bad", "no"))], changes, now=now())
        changes.write(session, two.id)

    monkeypatch.setattr(credits, "_add", slowly)
    errors = at_once([lambda: office.store.write(report), lambda: office.store.write(work)])

    assert (errors, sorted(runs)) == ([None, None], ["reports", "worker"])
