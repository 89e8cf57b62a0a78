"""Reports, look-ups, people, rules and frozen workers meet at unknown recipients, in any order and at once."""

from datetime import timedelta
from itertools import count

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smsqueue.core.clock import now
from smsqueue.db import table_of
from smsqueue.domain import answers, completion, delivery, questions, unknowns
from smsqueue.domain.answers import Answered
from smsqueue.domain.journal import Answer
from smsqueue.domain.paying import TAKEN_LATE
from smsqueue.domain.resolving import Terms
from smsqueue.domain.unknowns import Choice, Decision, TooEarly
from smsqueue.gateways.base import Deferred, NotFound, Rejected, Report, Sent, Traits, Unknown
from smsqueue.models import Attempt, Campaign, UnknownPolicy
from smsqueue.models.recipients import ACCEPTED
from tests.domain_workers import Scripted, at_once
from tests.integration.domain.test_closing import in_the_air, record
from tests.integration.domain.test_crashes import mark_crashed

attempts, campaigns = table_of(Attempt), table_of(Campaign)
TERMS = Terms(patience_seconds=60, wait_seconds=600)
BELIEVED = Traits(look_up="our reference", trusts_not_found=True, not_found_after_seconds=0)
LOOKS = (Sent("theirs"), NotFound(), Unknown("no answer"), Rejected("bad", "a bad number"))
TOLD = (Sent("theirs"), Rejected("bad", "a bad number"), Deferred(0, "unreachable", "not called"), Unknown("lost"))
ROWS = 3
_texts = count()


class Meeting:
    """A campaign whose recipients are all unknown, and everybody who may end that."""

    def __init__(self, office, policy=UnknownPolicy.HOLD):
        self.office = office
        text = f"Hello {next(_texts)}"  # the same words to the same number again and again would be held back
        self.campaign = office.launch(office.draft(ROWS, text=text))
        office.execute(sa.update(campaigns).where(campaigns.c.id == self.campaign.id).values(unknown_policy=policy))
        self.intents = in_the_air(office, self.campaign)
        mark_crashed(office, self.campaign)
        self.close()
        ids = [intent.recipient_id for intent in self.intents]
        older = sa.update(attempts).where(attempts.c.recipient_id.in_(ids))
        office.execute(older.values(started_at=now() - timedelta(seconds=700)))
        self.taken = set()
        """Recipients of whom somebody has said that the gateway took their text."""

    def close(self):
        """End the campaign when nobody waits."""
        self.office.store.write(lambda session: completion.close(session, self.campaign.id))

    def report(self, row, state):
        """The gateway tells what became of the first attempt."""
        intent = self.intents[row]
        report = Report(state=state, reference=intent.outgoing.reference)
        if state != "failed":
            self.taken.add(row)
        applied = self.office.store.write(lambda session: delivery.apply(session, "scripted", [report], now()))
        delivery.follow_up(self.office.store, applied)

    def look(self, row, answer):
        """A look-up is answered."""
        with self.office.store.reading() as session:
            mine = session.get_one(Campaign, self.campaign.id)
            asked = [q for q in questions.read(session, mine, row, 1, now()) if q.row == row + 1]
        if asked:
            told = [Answered(asked[0], answer, BELIEVED)]
            write = lambda session: answers.record(session, self.campaign.id, told, TERMS)  # noqa: E731
            _, applied = self.office.store.write(write)
            delivery.follow_up(self.office.store, applied)

    def decide(self, row, decision):
        """A person decides."""
        try:
            unknowns.decide(self.office.store, Choice(self.campaign.id, (row + 1,)), decision, TERMS, by="ana")
        except TooEarly:
            return

    def rule(self):
        """The campaign's rule ends what is unknown for long."""
        with self.office.store.reading() as session:
            mine = session.get_one(Campaign, self.campaign.id)
            asked = questions.read(session, mine, 0, ROWS, now())
            late = [q for q in asked if (at := questions.decides_at(mine, q, TERMS, now())) and at <= now()]
        self.office.store.write(lambda session: answers.decide(session, self.campaign.id, late, TERMS))

    def thaw(self, row, outcome):
        """The frozen worker comes back with what its call was answered."""
        if isinstance(outcome, Sent):
            self.taken.add(row)
        record(self.office, self.campaign, Answer(self.intents[row], outcome))


rows = st.integers(0, ROWS - 1)
steps = st.one_of(
    st.tuples(st.just("report"), rows, st.sampled_from(("sent", "delivered", "undelivered", "failed"))),
    st.tuples(st.just("look"), rows, st.sampled_from(LOOKS)),
    st.tuples(st.just("decide"), rows, st.sampled_from((Decision.SENT, Decision.AGAIN, Decision.NOT_SENT))),
    st.tuples(st.just("thaw"), rows, st.sampled_from(TOLD)),
    st.tuples(st.just("rule")),
    st.tuples(st.just("work")),
)


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(policy=st.sampled_from(list(UnknownPolicy)), order=st.lists(steps, max_size=8))
def test_in_any_order_each_credit_moves_once_and_no_acceptance_is_dropped(office, make_crew, policy, order):
    meeting, crew = Meeting(office, policy), make_crew(Scripted())
    for name, *arguments in [*order, ("work",)]:
        if name == "work":
            office.hurry()
            crew.drain(queues=("sms",))
        else:
            getattr(meeting, name)(*arguments)
        assert not office.problems()

    after = office.reload(meeting.campaign)
    prices = {row.row - 1: row for row in office.recipients(meeting.campaign)}
    assert after.charged - after.returned - after.spent == sum(
        row.price for row in prices.values() if row.state == "unknown"
    )
    dropped = {row for row in meeting.taken if prices[row].state not in ACCEPTED and prices[row].code != TAKEN_LATE}
    failed = {row for name, row, *more in (s for s in order if len(s) > 1) if (name, more) == ("report", ["failed"])}
    assert not dropped - failed


@pytest.mark.parametrize("seed", range(6))
def test_at_once_each_credit_moves_once(office, seed):
    meeting = Meeting(office, UnknownPolicy.GIVE_UP)
    works = [
        lambda: meeting.report(0, "delivered"),
        lambda: meeting.report(1, "sent"),
        lambda: meeting.look(0, NotFound()),
        lambda: meeting.look(1, Rejected("bad", "a bad number")),
        lambda: meeting.decide(0, Decision.AGAIN),
        lambda: meeting.decide(1, Decision.NOT_SENT),
        lambda: meeting.decide(2, Decision.SENT),
        lambda: meeting.decide(2, Decision.NOT_SENT),
        lambda: meeting.thaw(2, Deferred(0, "unreachable", "not called")),
        meeting.rule,
    ]

    errors = at_once(works[seed:] + works[:seed])

    assert errors == [None] * len(works)
    assert not office.problems()
    states = [row.state for row in office.recipients(meeting.campaign)]
    assert (states[0], states[1] in ACCEPTED) == ("delivered", True)
