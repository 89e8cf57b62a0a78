"""What is not valid any more ends also where nobody looks at its slices."""

from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import again, expiring, settlement
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Rejected
from smsqueue.models import Campaign
from tests.domain_fixtures import TERMS
from tests.domain_workers import Working, race, waiting
from tests.integration.domain.test_closing import in_the_air, record
from tests.outside import wait_until


@pytest.fixture
def overdue(office):
    """A campaign whose time is over: of its three recipients one waits, and two were refused for now."""
    campaign = office.launched(3)
    passing = Rejected("busy", "busy just now", may_retry=True)
    record(office, campaign, *(Answer(intent, passing) for intent in in_the_air(office, campaign, room=2)))
    office.execute(sa.update(Campaign).values(valid_until=now() - timedelta(seconds=1)))
    return campaign


def test_who_waits_in_a_campaign_whose_time_is_over_expires(office, overdue):
    assert office.store.write(partial(expiring.end_overdue, campaign_id=overdue.id)) == 1
    assert office.states(overdue) == {"failed": 2, "expired": 1}
    assert office.balance() == 1000


@pytest.mark.databases("postgresql", "mariadb")  # SQLite has one writer at a time
def test_whoever_is_sent_to_again_at_that_moment_does_not(office, store, overdue):
    def retry(session):
        again.retry(session, office.team.id, overdue.uuid, TERMS, user_id=office.user.id)

    race(store, retry, partial(expiring.end_overdue, campaign_id=overdue.id))

    assert office.states(overdue) == {"queued": 3}


@pytest.mark.databases("postgresql", "mariadb")  # SQLite has one writer at a time
def test_who_expires_is_no_deadlock_with_who_is_paid_for(office, store, repeated, monkeypatch):
    campaign = office.launched(2)
    (intent,) = in_the_air(office, campaign, 1)
    office.execute(sa.update(Campaign).values(valid_until=now()))
    end_waiting, running = settlement.end_waiting, list[Working]()

    def while_another_is_refused(*args, **options):
        count = end_waiting(*args, **options)
        if not running:
            running.append(Working(lambda: record(office, campaign, Answer(intent, Rejected("1", "refused")))))
            wait_until(lambda: waiting(store))
        return count

    monkeypatch.setattr(expiring, "end_waiting", while_another_is_refused)
    assert store.write(partial(expiring.end_overdue, campaign_id=campaign.id)) == 1
    running[0].ended()

    assert (repeated, office.states(campaign)) == ([], {"failed": 1, "expired": 1})
