"""Unknown recipients are cleared up: by a look-up, by the same reference again, by a rule, or by people."""

from datetime import timedelta
from threading import Lock
from typing import Any

import pytest
import sqlalchemy as sa

from smsqueue.cli.services import look_after_unknown
from smsqueue.core.clock import now
from smsqueue.db import table_of
from smsqueue.domain import breaker, optouts, pausing, resolving, unknowns
from smsqueue.domain.jobs import LookUpJob
from smsqueue.domain.resolving import Terms
from smsqueue.domain.senders import Senders
from smsqueue.domain.turns import THREADS
from smsqueue.domain.unknowns import Choice, Decision, TooEarly
from smsqueue.gateways.base import Deferred, NotFound, Rejected, Sent, Traits, Unknown
from smsqueue.models import Attempt, Campaign, Status, UnknownPolicy
from smsqueue.queue.dispatch import enqueue
from tests.domain_workers import Scripted

TERMS = Terms(patience_seconds=62, wait_seconds=3600)
attempts, campaigns = table_of(Attempt), table_of(Campaign)
LOST = Unknown("lost")


class Asked(Scripted):
    """A gateway that loses all its answers, and can be asked about them."""

    def __init__(self, *looks, answer=None, **traits):
        super().__init__(answer or (lambda outgoing: LOST))
        usual: dict[str, Any] = {"look_up": "our reference", "trusts_not_found": True, "not_found_after_seconds": 0}
        self.traits = Traits(**usual | traits)
        self.looks, self.asked = list(looks), []

    def look_up(self, outgoing, since, *, bound=()):
        """Answer as scripted; the last answer stays."""
        self.asked.append((outgoing, since, bound))
        said = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        return said(outgoing) if callable(said) else said


def sent(outgoing):
    """Give the gateway's own reference of a text."""
    return Sent(f"theirs-{outgoing.reference}", 1)


def age(office, seconds=100.0):
    """Let every attempt be so much older."""
    rows = office.rows(Attempt)
    for row in rows:
        values = {"started_at": row.started_at - timedelta(seconds=seconds)}
        if row.looked_up_at:
            values["looked_up_at"] = row.looked_up_at - timedelta(seconds=seconds)
        office.execute(sa.update(attempts).where(attempts.c.id == row.id).values(values))


def look(office, crew, campaign, **options):
    """Run one turn of clearing up."""
    office.execute(sa.text("DELETE FROM jobs WHERE kind = 'sms.look-up'"))
    office.store.write(lambda session: enqueue(session, LookUpJob(campaign_id=campaign.id, **options)))
    crew.drain(queues=("default",))


def lose(office, make_crew, gateway, count=2, **values):
    """Send a campaign whose answers are all lost."""
    campaign = office.draft(count)
    if values:
        office.execute(sa.update(campaigns).where(campaigns.c.id == campaign.id).values(**values))
    office.launch(campaign)
    crew = make_crew(gateway)
    crew.drain()
    assert office.states(campaign) == {"unknown": count}
    return campaign, crew


def test_what_the_gateway_took_is_sent_and_paid_for(office, make_crew):
    campaign, crew = lose(office, make_crew, gateway := Asked(sent))
    age(office)

    look(office, crew, campaign)

    after = office.reload(campaign)
    assert (office.states(campaign), after.spent, after.held) == ({"sent": 2}, 2, 0)
    assert [attempt.gateway_reference for attempt in office.attempts(campaign)] == [
        f"theirs-{outgoing.reference}" for outgoing in gateway.calls
    ]
    assert [asked[0] for asked in gateway.asked] == gateway.calls
    assert after.status == Status.COMPLETED


def test_nobody_is_asked_about_before_the_call_is_over_for_certain(office, make_crew):
    campaign, crew = lose(office, make_crew, gateway := Asked(sent))
    age(office, 55)

    look(office, crew, campaign)

    assert (gateway.asked, office.states(campaign)) == ([], {"unknown": 2})


def test_what_the_gateway_took_is_not_sent_again_although_a_person_said_so_meanwhile(office, make_crew):
    def while_it_is_asked(outgoing):
        assert decide(office, campaign, Decision.AGAIN) == 1
        return sent(outgoing)

    campaign, crew = lose(office, make_crew, gateway := Asked(while_it_is_asked), count=1)
    age(office)

    look(office, crew, campaign)
    crew.finish(office)

    after = office.reload(campaign)
    assert (office.states(campaign), after.spent, after.held, len(gateway.calls)) == ({"sent": 1}, 1, 0, 1)
    assert after.status == Status.COMPLETED


def test_not_found_once_proves_nothing(office, make_crew):
    campaign, crew = lose(office, make_crew, gateway := Asked(NotFound()))
    age(office)

    look(office, crew, campaign)
    look(office, crew, campaign)

    assert (len(gateway.asked), office.states(campaign)) == (2, {"unknown": 2})


def test_not_found_twice_means_not_sent_and_credited_when_the_campaign_has_ended(office, make_crew):
    campaign, crew = lose(office, make_crew, Asked(NotFound()))
    for _ in range(2):
        age(office)
        look(office, crew, campaign)

    after = office.reload(campaign)
    assert (office.states(campaign), after.returned, after.held) == ({"failed": 2}, 2, 0)
    assert {recipient.code for recipient in office.recipients(campaign)} == {resolving.NOT_TAKEN}
    assert [attempt.outcome for attempt in office.attempts(campaign)] == ["deferred"] * 2
    assert (after.status, len(office.notices())) == (Status.COMPLETED, 1)


def test_not_found_of_a_gateway_that_is_not_believed_stays_unknown(office, make_crew):
    campaign, crew = lose(office, make_crew, Asked(NotFound(), trusts_not_found=False))
    for _ in range(4):
        age(office)
        look(office, crew, campaign)

    assert office.states(campaign) == {"unknown": 2}


def test_not_found_too_early_for_this_gateway_stays_unknown(office, make_crew):
    campaign, crew = lose(office, make_crew, Asked(NotFound(), not_found_after_seconds=1000))
    for _ in range(3):
        age(office)
        look(office, crew, campaign)
    early = office.states(campaign)
    age(office, 900)
    look(office, crew, campaign)

    assert (early, office.states(campaign)) == ({"unknown": 2}, {"failed": 2})


def test_an_answer_between_breaks_the_row_of_not_found(office, make_crew):
    campaign, crew = lose(office, make_crew, Asked(NotFound(), LOST, NotFound()), count=1)
    for _ in range(3):
        age(office)
        look(office, crew, campaign)

    assert office.states(campaign) == {"unknown": 1}


def test_what_was_surely_not_taken_goes_out_while_its_campaign_runs(office, make_crew):
    answers = iter([LOST, LOST])
    campaign, crew = lose(office, make_crew, gateway := Asked(NotFound(), answer=lambda o: next(answers, Sent("r"))))
    running = sa.update(campaigns).where(campaigns.c.id == campaign.id)
    office.execute(running.values(status=Status.PROCESSING, finished_at=None))
    for _ in range(2):
        age(office)
        look(office, crew, campaign)
    between = (office.states(campaign), office.reload(campaign).held)

    crew.finish(office)

    assert between == ({"queued": 2}, 2)
    assert (office.states(campaign), len(gateway.calls)) == ({"sent": 2}, 4)


def test_the_same_reference_again_asks_a_gateway_that_takes_each_once(office, make_crew):
    answers = iter([LOST, LOST])
    gateway = Scripted(lambda outgoing: next(answers, None) or sent(outgoing))
    gateway.traits = Traits(is_idempotent=True)
    campaign, crew = lose(office, make_crew, gateway)
    longer = office.reload(campaign).valid_until + timedelta(hours=1)
    office.execute(sa.update(campaigns).values(valid_until=longer))  # as after a pause, or when some are sent again
    age(office)

    look(office, crew, campaign)

    assert office.states(campaign) == {"sent": 2}
    assert gateway.calls[2:] == gateway.calls[:2]
    assert len(office.attempts(campaign)) == 2


@pytest.mark.parametrize(
    ("said", "state"),
    [
        (Rejected("bad", "a bad number"), "failed"),
        (Rejected("no_credit", "no credit", "account"), "unknown"),
        (Deferred(1, "throttled", "later"), "unknown"),
        (LOST, "unknown"),
    ],
)
def test_what_the_same_reference_again_is_answered_decides(office, make_crew, said, state):
    answers = iter([LOST])
    gateway = Scripted(lambda outgoing: next(answers, said))
    gateway.traits = Traits(is_idempotent=True)
    campaign, crew = lose(office, make_crew, gateway, count=1)
    age(office)

    look(office, crew, campaign)

    assert office.states(campaign) == {state: 1}


def test_nothing_is_repeated_of_a_cancelled_campaign(office, make_crew):
    gateway = Scripted(lambda outgoing: LOST)
    gateway.traits = Traits(is_idempotent=True)
    campaign, crew = lose(office, make_crew, gateway)
    office.execute(sa.update(campaigns).values(status=Status.CANCELLED))
    age(office)

    look(office, crew, campaign)

    assert len(gateway.calls) == 2


def test_nothing_is_repeated_that_is_not_valid_any_more(office, make_crew):
    gateway = Scripted(lambda outgoing: LOST)
    gateway.traits = Traits(is_idempotent=True)
    campaign, crew = lose(office, make_crew, gateway)
    office.execute(sa.update(campaigns).values(valid_until=now()))
    age(office)

    look(office, crew, campaign)

    assert len(gateway.calls) == 2


def test_two_attempts_never_share_a_message_of_the_gateway(office, make_crew):
    campaign, crew = lose(office, make_crew, Asked(Sent("the-same")))
    age(office)

    look(office, crew, campaign)

    assert office.states(campaign) == {"unknown": 2}


def test_a_look_up_is_told_what_belongs_to_others(office, make_crew):
    known = office.launched(1)
    make_crew(Scripted(sent)).drain()
    (other,) = office.attempts(known)
    campaign, crew = lose(office, make_crew, gateway := Asked(LOST), count=1)
    age(office)

    look(office, crew, campaign)

    assert [asked[2] for asked in gateway.asked] == [frozenset({other.gateway_reference})]


def test_an_adapter_that_breaks_is_asked_again_later(office, make_crew):
    def breaks(_outgoing):
        raise KeyError("a bug")

    campaign, crew = lose(office, make_crew, Asked(breaks, sent))
    age(office)
    look(office, crew, campaign)
    age(office)
    look(office, crew, campaign)

    assert "sent" in office.states(campaign)


def test_give_up_credits_back_after_the_wait_and_not_before(office, make_crew):
    campaign, crew = lose(office, make_crew, Scripted(lambda o: LOST), unknown_policy=UnknownPolicy.GIVE_UP)
    age(office, 3500)
    look(office, crew, campaign)
    before = office.states(campaign)
    age(office, 200)
    look(office, crew, campaign)

    after = office.reload(campaign)
    assert (before, office.states(campaign)) == ({"unknown": 2}, {"failed": 2})
    assert (after.returned, after.held, after.status) == (2, 0, Status.COMPLETED)
    assert {recipient.code for recipient in office.recipients(campaign)} == {resolving.COUNTED_NOT_SENT}


def test_resend_sends_once_more_by_itself_and_only_once(office, make_crew):
    gateway = Scripted(lambda o: LOST)
    campaign, crew = lose(office, make_crew, gateway, unknown_policy=UnknownPolicy.RESEND)
    age(office, 3700)
    look(office, crew, campaign)
    again = office.states(campaign)
    office.hurry()
    crew.drain(queues=("sms",))
    age(office, 3700)
    look(office, crew, campaign)
    crew.drain()

    assert (again, office.states(campaign), len(gateway.calls)) == ({"queued": 2}, {"unknown": 2}, 4)
    assert office.reload(campaign).held == 2


def test_a_rule_that_sends_again_tells_the_end_once_and_a_person_anew(office, make_crew):
    campaign, crew = lose(office, make_crew, gateway := Scripted(lambda o: LOST), unknown_policy=UnknownPolicy.RESEND)
    told = [len(crew.mails.sent)]
    for attempt in office.attempts(campaign):  # one is ripe after the other
        early = attempt.started_at - timedelta(seconds=3700)
        office.execute(sa.update(attempts).where(attempts.c.id == attempt.id).values(started_at=early))
        look(office, crew, campaign)
        office.hurry()
        crew.drain(queues=("sms", "notifications"))
        told.append(len(crew.mails.sent))
    age(office)
    assert decide(office, campaign, Decision.AGAIN) == 2
    office.hurry()
    crew.drain(queues=("sms", "notifications"))

    assert (told, len(crew.mails.sent), len(office.notices())) == ([1, 1, 1], 2, 2)
    assert (len(gateway.calls), office.reload(campaign).reopened) == (6, 3)


def test_resend_never_sends_what_is_not_valid_any_more(office, make_crew):
    campaign, crew = lose(office, make_crew, Scripted(lambda o: LOST), unknown_policy=UnknownPolicy.RESEND)
    age(office, 14_500)
    office.execute(sa.update(campaigns).values(valid_until=now() - timedelta(seconds=1)))

    look(office, crew, campaign)

    assert office.states(campaign) == {"unknown": 2}


def test_hold_waits_for_people_for_ever(office, make_crew):
    campaign, crew = lose(office, make_crew, Scripted(lambda o: LOST))
    age(office, 400_000)

    look(office, crew, campaign)

    assert office.states(campaign) == {"unknown": 2}


def test_the_chore_makes_one_job_for_each_campaign_with_unknown_recipients(office, make_crew):
    lose(office, make_crew, Scripted(lambda o: LOST))
    lose(office, make_crew, Scripted(lambda o: LOST))

    look_after_unknown(office.store)
    look_after_unknown(office.store)

    assert office.jobs("sms.look-up") == 2


def test_the_job_waits_for_the_first_question_and_ends_when_all_is_known(office, make_crew):
    campaign, crew = lose(office, make_crew, Asked(sent))
    look_after_unknown(office.store)
    crew.drain(queues=("default",))
    waits = office.jobs("sms.look-up")
    age(office)
    office.hurry()
    crew.drain(queues=("default",))
    office.hurry()
    crew.drain(queues=("default",))

    assert (waits, office.jobs("sms.look-up"), office.states(campaign)) == (1, 0, {"sent": 2})


def decide(office, campaign, decision, rows=None):
    """Decide as a person does."""
    return unknowns.decide(office.store, Choice(campaign.id, rows), decision, TERMS, by="ana@example.com")


def test_a_person_counts_one_as_sent_and_another_as_not_sent(office, make_crew):
    campaign, _ = lose(office, make_crew, Scripted(lambda o: LOST), count=3)
    age(office)

    assert decide(office, campaign, Decision.SENT, (1,)) == 1
    assert decide(office, campaign, Decision.NOT_SENT, (3,)) == 1

    after = office.reload(campaign)
    assert [recipient.state for recipient in office.recipients(campaign)] == ["sent", "unknown", "failed"]
    assert (after.spent, after.returned, after.held) == (1, 1, 1)
    assert "ana@example.com" in (office.attempts(campaign)[0].reason or "")


def test_a_person_sends_all_again_and_the_campaign_runs_once_more(office, make_crew):
    answers = iter([LOST, LOST])
    gateway = Scripted(lambda o: next(answers, Sent("r")))
    campaign, crew = lose(office, make_crew, gateway)
    age(office)

    assert decide(office, campaign, Decision.AGAIN) == 2
    crew.finish(office)

    after = office.reload(campaign)
    assert (office.states(campaign), after.spent, after.charged, after.status) == ({"sent": 2}, 2, 2, "completed")


def test_nobody_decides_before_the_call_is_over_for_certain(office, make_crew):
    campaign, _ = lose(office, make_crew, Scripted(lambda o: LOST))

    for decision in (Decision.SENT, Decision.AGAIN, Decision.NOT_SENT):
        with pytest.raises(TooEarly):
            decide(office, campaign, decision)
    assert office.states(campaign) == {"unknown": 2}


def test_ask_again_asks_at_once_also_when_it_was_asked_often(office, make_crew):
    campaign, crew = lose(office, make_crew, gateway := Asked(LOST, LOST, sent))
    age(office, 300_000)
    office.execute(sa.update(campaigns).values(valid_until=now() - timedelta(days=2)))
    look(office, crew, campaign)
    look(office, crew, campaign)
    asked = len(gateway.asked)

    assert decide(office, campaign, Decision.ASK) == 2
    crew.drain(queues=("default",))

    assert (asked, office.states(campaign), office.jobs("sms.look-up")) == (2, {"sent": 2}, 1)


def test_facts_say_how_many_can_be_decided_about(office, make_crew):
    campaign, crew = lose(office, make_crew, Asked(LOST), count=3)
    age(office)
    look(office, crew, campaign)
    first = office.recipients(campaign)[0]
    office.execute(sa.update(attempts).where(attempts.c.recipient_id == first.id).values(started_at=now()))

    with office.store.reading() as session:
        found = unknowns.facts(session, office.reload(campaign), TERMS)

    assert (found.count, found.credits, found.early, found.looked_up) == (3, 3, 1, 3)
    assert found.gateways == {"scripted"}


def test_the_list_goes_on_where_it_ended(office, make_crew):
    one, _ = lose(office, make_crew, Scripted(lambda o: LOST), count=3)
    two, _ = lose(office, make_crew, Scripted(lambda o: LOST), count=2)
    choice = [Choice(one.id), Choice(two.id)]
    with office.store.reading() as session:
        first = unknowns.listing(session, choice, limit=4)
        last = unknowns.listing(session, choice, (first[-1].campaign_id, first[-1].row), limit=4)

    assert [(row.campaign_id, row.row) for row in first + last] == [(one.id, n) for n in (1, 2, 3)] + [
        (two.id, n) for n in (1, 2)
    ]


def test_nothing_is_repeated_through_a_gateway_that_is_paused(office, make_crew):
    answers = iter([LOST, LOST])
    gateway = Scripted(lambda outgoing: next(answers, None) or sent(outgoing))
    gateway.traits = Traits(is_idempotent=True)
    campaign, _ = lose(office, make_crew, gateway)
    age(office)
    office.store.write(lambda session: breaker.pause(session, "scripted", "ben", "it moves house", now()))
    look(office, make_crew(gateway), campaign)
    held_back = len(gateway.calls)
    office.store.write(lambda session: breaker.resume(session, "scripted", "ben", now()))

    look(office, make_crew(gateway), campaign)

    assert (held_back, office.states(campaign)) == (2, {"sent": 2})


def test_repeats_take_tokens_of_the_gateways_rate(office, make_crew):
    gateway = Scripted(lambda outgoing: LOST)
    gateway.traits = Traits(is_idempotent=True)
    campaign, _ = lose(office, make_crew, gateway, count=6)
    age(office)
    limits = {"scripted": 4.0}
    crew = make_crew(gateway)
    crew.services.__dict__["_senders"] = Senders({"scripted": gateway}, 4, limits=limits)

    look(office, crew, campaign)

    assert len(gateway.calls) == 8, "half a second's worth of four a second, and not all six"


@pytest.mark.parametrize("what", ["a STOP", "a cancel", "a pause"])
def test_only_the_repeats_that_are_out_already_go_on_after(office, make_crew, what):
    def end(number):
        if what == "a STOP":
            numbers = {(office.team.id, row.number) for row in office.recipients(campaign)}
            office.store.write(lambda s: optouts.add_all(s, numbers, source="stop"))
        elif what == "a cancel":
            office.cancel(campaign)
        else:
            office.store.write(lambda s: pausing.pause(s, office.team.id, campaign.uuid))
        return Sent(number)

    gateway = Scripted(lambda outgoing: LOST)
    gateway.traits = Traits(is_idempotent=True)
    campaign, _ = lose(office, make_crew, gateway, count=32)
    office.execute(sa.update(campaigns).values(status=Status.PROCESSING, finished_at=None))
    office.execute(sa.text("DELETE FROM sms_gateways"))  # it hung, and is well again
    age(office)
    gateway.calls.clear()
    once = Lock()
    gateway.answer = lambda o: end(o.reference) if once.acquire(blocking=False) else Sent(o.reference)
    look(office, make_crew(gateway), campaign)

    assert len(gateway.calls) == THREADS
