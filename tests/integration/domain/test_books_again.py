"""The books add up, too, when people retry what failed and clone campaigns, in whatever order, and all at once."""

from contextlib import suppress
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import rule, run_state_machine_as_test

from smsqueue.core.clock import now
from smsqueue.db import Database, build_engine
from smsqueue.domain import again, campaigns, cloning, closing, delivery, intents, stopping
from smsqueue.domain.again import NothingToRetry
from smsqueue.domain.campaigns import OwnerDisabled
from smsqueue.domain.cloning import NothingToClone
from smsqueue.domain.counting import Changes
from smsqueue.domain.errors import NotEnoughCredits
from smsqueue.domain.intents import Portion
from smsqueue.domain.journal import Answer
from smsqueue.domain.reopening import StillOpen
from smsqueue.domain.slices import NotRetryable
from smsqueue.gateways.base import Rejected, Report, Sent
from smsqueue.models import Campaign
from smsqueue.queue import claim, failed, workers
from tests.domain_fixtures import RULES, TERMS
from tests.domain_workers import Scripted, at_once
from tests.integration.domain.test_books import Books, which
from tests.integration.domain.test_closing import SENDER, record


class BooksAgain(Books):
    """The same office, whose people send again."""

    @rule(number=which)
    def retry_failed(self, number: int) -> None:
        """Somebody retries what failed, with credits or without; nobody who may have the text is sent to."""
        if self.known:
            campaign = self.known[number % len(self.known)]
            with suppress(NothingToRetry, NotEnoughCredits, OwnerDisabled):
                self.store.write(lambda s: again.retry(s, campaign.team_id, campaign.uuid, TERMS, user_id=None))

    @rule(number=which)
    def clone(self, number: int) -> None:
        """Somebody clones a campaign."""
        if self.known:
            source = self.known[number % len(self.known)]
            with suppress(NothingToClone):
                copy = self.store.write(
                    lambda s: cloning.clone(s, source.team_id, source.uuid, self.office.user, RULES)
                )
                self.known.append(copy)

    @rule(number=which)
    def look_at_the_sheet(self, number: int) -> None:
        """Somebody looks at a closing sheet: it adds up at any time."""
        mine = [each for each in self.known if self.office.reload(each).status != "draft"]
        if mine:
            with self.store.snapshot() as session:
                found = closing.sheet(session, session.get_one(Campaign, mine[number % len(mine)].id))
            assert found.adds_up, found.problems


@pytest.mark.databases("sqlite")
def test_books_add_up_whatever_is_sent_again(database):
    store = Database(build_engine(database.url))
    machine = type("TheseBooks", (BooksAgain,), {"store": store})
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    how = settings(max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=checks)
    run_state_machine_as_test(machine, settings=how)
    store.dispose()


@pytest.mark.parametrize("turn", range(3))
def test_each_credit_comes_back_at_most_once_whatever_is_fired_together(office, store, make_crew, turn):
    """A slice was given up, one text was refused, one accepted; then everything that moves credits happens at once."""
    campaign = office.launched(6, slice_rows=2)
    registry = make_crew(Scripted()).registry
    working = store.write(lambda s: workers.register(s, ["sms"], 60))
    (held,) = store.write(lambda s: claim.claim(s, working, "sms", 1))
    store.write(lambda s: failed.fail(s, registry, held, "OSError: disk", "Traceback"))
    (job,) = office.failed_jobs()
    refused, taken = Rejected("busy", "busy", may_retry=True), Sent("g")
    begun = _begin(office, campaign, (3, 4))
    record(office, campaign, Answer(begun[0], refused), Answer(begun[1], taken))
    told = Report(state="failed", reference=begun[1].outgoing.reference, gateway_reference="g")
    ways = [
        lambda s: delivery.apply(s, "scripted", [told], now()),
        lambda s: delivery.apply(s, "scripted", [told], now()),
        lambda s: again.retry(s, office.team.id, campaign.uuid, TERMS, user_id=None),
        lambda s: failed.retry(s, registry, job.uuid),
        lambda s: campaigns.cancel(s, office.team.id, campaign.uuid),
    ]

    errors = at_once([partial(store.write, way) for way in ways[turn:] + ways[:turn]])

    expected = (NothingToRetry, NotRetryable, StillOpen, failed.NoSuchFailedJob, campaigns.NotRunning)
    assert all(error is None or isinstance(error, expected) for error in errors), errors
    ended = office.reload(campaign)
    price = sum(each.price for each in office.recipients(campaign) if each.state in ("queued", "sending", "sent"))
    assert ended.charged - ended.returned == price
    assert office.balance() == 1000 - price


def _begin(office, campaign, rows):
    """Mark these rows as being sent, as a worker does."""

    def start(session):
        mine = session.get_one(Campaign, campaign.id)
        stopping.start(session, mine, now())
        changes = Changes()
        began = intents.start(session, mine, rows, SENDER, changes, portion=Portion(2), now=now())
        changes.write(session, mine.id)
        return began

    return office.store.write(start)
