"""Whatever people, workers and gateways do, and in whatever order: the books add up after each step."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.db import Database, build_engine
from smsqueue.domain import campaigns, completion, credits, delivery, intents, journal, slices, stopping
from smsqueue.domain.counting import Changes
from smsqueue.domain.errors import NotEnoughCredits
from smsqueue.domain.intents import Intent, Portion, Sender
from smsqueue.domain.jobs import SendBulkSmsJob
from smsqueue.domain.journal import Answer
from smsqueue.domain.slices import NotRetryable
from smsqueue.domain.stopping import NotRunning
from smsqueue.gateways.base import Deferred, Ending, Outcome, Rejected, Report, Sent, Unknown
from smsqueue.models import Campaign, LedgerEntry, Recipient, Status
from smsqueue.models.recipients import ACCEPTED, HELD
from tests.domain_fixtures import LONG_AGO, Office

SLICE = 2
SENDER = Sender(worker_id=1, token="t" * 32, gateway="scripted", sender="us")
OUTCOMES: list[Outcome] = [
    Sent("r"),
    Rejected("bad", "a bad number"),
    Rejected("broke", "no credit", scope="account"),
    Deferred(0, "throttled", "later"),
    Deferred(20_000, "unreachable", "away"),
    Unknown("lost"),
]
MOVES = {
    Status.DRAFT: {Status.PENDING},
    Status.PENDING: {Status.PROCESSING, Status.PAUSED, Status.CANCELLED, Status.COMPLETED, Status.FAILED},
    Status.PROCESSING: {Status.PAUSED, Status.COMPLETED, Status.FAILED, Status.CANCELLED},
    Status.PAUSED: {Status.PENDING, Status.PROCESSING, Status.COMPLETED, Status.FAILED, Status.CANCELLED},
    Status.COMPLETED: {Status.PROCESSING},
    Status.FAILED: {Status.PROCESSING},
    Status.CANCELLED: set(),
}
"""Where a campaign may go; it is opened again when somebody is sent to again."""
ENDINGS: list[Ending] = ["sent", "delivered", "undelivered", "expired", "failed", "cancelled"]
which = st.integers(0, 5)


class Books(RuleBasedStateMachine):
    """An office, its campaigns, and a gateway that answers anything at any time."""

    store: Database

    @initialize(balance=st.integers(0, 12))
    def open(self, balance: int) -> None:
        """Begin with nothing but an office."""
        with self.store.engine.begin() as connection:
            for table in reversed(Campaign.metadata.sorted_tables):
                connection.execute(table.delete())
        self.office = Office.open(self.store, "Office", balance)
        self.granted = balance
        self.known: list[Campaign] = []
        self.seen: dict[int, str] = {}
        self.air: list[tuple[Campaign, Intent]] = []
        self.called: list[Intent] = []

    @rule(amount=st.integers(1, 9))
    def grant(self, amount: int) -> None:
        """An operator grants credits."""
        self.store.write(lambda session: credits.grant(session, self.office.team.id, amount, reason="more"))
        self.granted += amount

    @rule(count=st.integers(1, 5))
    def launch(self, count: int) -> None:
        """Somebody writes a campaign and confirms it, with credits or without."""
        draft = self.office.draft(count)
        self.known.append(draft)
        with suppress(NotEnoughCredits, campaigns.OwnerDisabled):
            self.office.launch(draft, slice_rows=SLICE)

    @rule(number=which, part=which, room=st.integers(1, 3))
    def start(self, number: int, part: int, room: int) -> None:
        """A worker takes a slice and calls some of it."""

        def begin(session: Session, campaign: Campaign) -> None:
            stopping.start(session, campaign, now())
            rows = self.rows(campaign, part)
            if stopping.end_what_may_not_go(session, campaign, rows, now()):
                return
            session.execute(sa.update(Recipient).values(not_before=None))
            changes = Changes()
            began = intents.start(session, campaign, rows, SENDER, changes, portion=Portion(room), now=now())
            changes.write(session, campaign.id)
            self.air += [(campaign, intent) for intent in began]
            self.called += began

        self.on_launched(number, begin)

    @rule(picks=st.lists(st.tuples(which, st.sampled_from(OUTCOMES)), min_size=1, max_size=3), twice=st.booleans())
    def answer(self, picks: list[tuple[int, Outcome]], twice: bool) -> None:
        """The gateway answers some calls, perhaps long after somebody else took the slice."""
        for pick, outcome in picks:
            if self.air:
                campaign, intent = self.air.pop(pick % len(self.air))
                for _ in range(1 + twice):
                    self.record(campaign, Answer(intent, outcome))

    def record(self, campaign: Campaign, answer: Answer) -> None:
        """Write down one answer."""

        def write(session: Session) -> None:
            mine, changes = session.get_one(Campaign, campaign.id), Changes()
            journal.record(session, mine, [answer], changes, now=now())
            if isinstance(answer.outcome, Rejected) and answer.outcome.scope == "account":
                stopping.stop_for_account(session, mine, answer.outcome)
            changes.write(session, campaign.id)

        self.store.write(write)

    @rule(told=st.lists(st.tuples(which, st.sampled_from(ENDINGS), st.booleans()), min_size=1, max_size=4))
    def report(self, told: list[tuple[int, Ending, bool]]) -> None:
        """The gateway reports on calls, in any order, before its answers or after, perhaps against our account."""
        if not self.called:
            return
        reports = [
            Report(
                state=state,
                reference=self.called[-1 - pick % len(self.called)].outgoing.reference,
                scope="account" if is_ours and state == "undelivered" else "recipient",
                opted_out=is_ours and state == "failed",
            )
            for pick, state, is_ours in told
        ]
        applied = self.store.write(lambda session: delivery.apply(session, "scripted", reports, now()))
        delivery.follow_up(self.store, applied)

    @rule(number=which, part=which)
    def crash(self, number: int, part: int) -> None:
        """A worker died: the next one takes its slice."""
        self.on_launched(
            number, lambda session, campaign: journal.mark_crashed(session, campaign, self.rows(campaign, part), now())
        )

    @rule(number=which, part=which)
    def give_up(self, number: int, part: int) -> None:
        """A slice spent its tries."""
        self.on_launched(
            number, lambda session, campaign: slices.on_failed(session, self.job(campaign, part), "too many tries")
        )

    @rule(number=which, part=which)
    def clear(self, number: int, part: int) -> None:
        """An operator clears the queue."""
        self.on_launched(number, lambda session, campaign: slices.on_cleared(session, self.job(campaign, part)))

    @rule(number=which, part=which)
    def retry(self, number: int, part: int) -> None:
        """An operator retries a failed job, with credits or without."""
        with suppress(NotEnoughCredits, NotRetryable):
            self.on_launched(number, lambda session, campaign: slices.on_retried(session, self.job(campaign, part), 60))

    @rule(number=which)
    def cancel(self, number: int) -> None:
        """Somebody cancels, also what cannot be cancelled (any more)."""
        if self.known:
            campaign = self.known[number % len(self.known)]
            with suppress(NotRunning):
                self.office.cancel(campaign)

    @rule(number=which, part=which)
    def expire(self, number: int, part: int) -> None:
        """A campaign's time is over when its slice is looked at."""

        def end(session: Session, campaign: Campaign) -> None:
            campaign.valid_until = now() - LONG_AGO
            session.flush()
            stopping.end_what_may_not_go(session, campaign, self.rows(campaign, part), now())

        self.on_launched(number, end)

    @rule(active=st.booleans())
    def set_active(self, active: bool) -> None:
        """The person may not, or may again, sign in."""
        self.store.write(lambda session: campaigns.set_active(session, self.office.user.id, active))

    @rule()
    def close(self) -> None:
        """Whoever looks closes what is over."""
        with self.store.reading() as session:
            found = completion.open_without_rows(session)
        for campaign_id in found:
            self.store.write(partial(completion.close, campaign_id=campaign_id))

    @invariant()
    def the_books_add_up(self) -> None:
        """No law is broken, and the wallet is what was granted without what is paid for or held."""
        problems = self.office.problems()
        assert not problems, problems
        with self.store.reading() as session:
            bound = sa.select(sa.func.coalesce(sa.func.sum(Recipient.price), 0)).join(
                Campaign, Campaign.id == Recipient.campaign_id
            )
            launched = bound.where(Campaign.status != Status.DRAFT, Recipient.state.in_((*HELD, *ACCEPTED)))
            assert self.office.balance() == self.granted - int(session.scalar(launched) or 0) >= 0
            assert not session.scalar(sa.select(sa.func.sum(LedgerEntry.amount)))

    @invariant()
    def counts_add_up_and_only_allowed_moves_are_made(self) -> None:
        """Each campaign is as big as ever, and came here by a way that there is."""
        for campaign in self.office.rows(Campaign):
            before = self.seen.get(campaign.id, campaign.status)
            assert campaign.status == before or Status(campaign.status) in MOVES[Status(before)]
            if campaign.status != Status.DRAFT:
                assert sum(campaign.counts.values()) == campaign.total
            if campaign.status in (Status.COMPLETED, Status.FAILED):
                assert campaign.finished_at is not None
                assert campaign.queued + campaign.sending == 0
            self.seen[campaign.id] = campaign.status

    def on_launched(self, number: int, work: Callable[[Session, Campaign], Any]) -> None:
        """Do something with one of the campaigns that were launched."""
        mine = [each for each in self.known if self.office.reload(each).status != Status.DRAFT]
        if mine:
            wanted = mine[number % len(mine)].id
            self.store.write(lambda session: work(session, session.get_one(Campaign, wanted)))

    def rows(self, campaign: Campaign, part: int) -> tuple[int, int]:
        """Name the rows of one slice."""
        first = 1 + SLICE * (part % -(-campaign.total // SLICE))
        return first, min(first + SLICE - 1, campaign.total)

    def job(self, campaign: Campaign, part: int) -> SendBulkSmsJob:
        """Make the job of one slice."""
        first, last = self.rows(campaign, part)
        return SendBulkSmsJob(campaign_id=campaign.id, first_row=first, last_row=last)


def play(machine: type[Books], url: str, examples: int, steps: int = 20) -> None:
    """Play so many random lives of an office on a database."""
    store = Database(build_engine(url))
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    how = settings(max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(type("TheseBooks", (machine,), {"store": store}), settings=how)
    store.dispose()


@pytest.mark.databases("sqlite", "postgresql")
def test_books_add_up_whatever_happens(database):
    play(Books, database.url, 16 if database.kind == "sqlite" else 5)  # fewer where each step goes over a wire
