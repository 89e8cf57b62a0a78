"""Retrying what failed of a campaign: only who was surely not accepted, once, for what had been credited."""

from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from smsqueue.cli.services import look_after_waiting
from smsqueue.core.clock import now
from smsqueue.domain import again, campaigns, credits, delivery, limits, optouts, stopping
from smsqueue.domain.again import NothingToRetry, Offer, OfferChanged
from smsqueue.domain.campaigns import OwnerDisabled
from smsqueue.domain.errors import NotEnoughCredits
from smsqueue.domain.journal import Answer
from smsqueue.domain.limits import OverCap
from smsqueue.domain.slices import NotRetryable
from smsqueue.gateways.base import Deferred, Outcome, Rejected, Report, Sent, Unknown
from smsqueue.models import Campaign, Recipient, Status, Team, User
from smsqueue.queue import claim, failed, workers
from tests.domain_fixtures import TERMS, plain
from tests.domain_workers import Scripted, at_once, race
from tests.integration.domain.test_closing import close, in_the_air, record
from tests.integration.domain.test_first_ten import answering, launched, on_hold
from tests.integration.domain.test_limits import rule

PASSING = Rejected("busy", "busy just now", may_retry=True)
FOR_GOOD = Rejected("landline", "a landline")


def ended(office, *outcomes):
    """Let a campaign end with these outcomes."""
    campaign = office.launched(len(outcomes), slice_rows=2)
    pairs = zip(in_the_air(office, campaign), outcomes, strict=True)
    record(office, campaign, *(Answer(intent, outcome) for intent, outcome in pairs))
    office.execute(sa.text("DELETE FROM jobs"))
    close(office, campaign)
    return campaign


def retry(office, campaign, shown=None):
    """Press Retry."""
    return office.store.write(
        lambda s: again.retry(s, office.team.id, campaign.uuid, TERMS, user_id=office.user.id, shown=shown)
    )


def offered(office, campaign):
    """Ask what a retry would do."""
    with office.store.reading() as session:
        return again.offer(session, session.get_one(Campaign, campaign.id))


def test_only_those_are_sent_to_again_whose_cause_may_pass(office, make_crew):
    campaign = ended(office, Sent("r"), PASSING, FOR_GOOD, Unknown("lost"), PASSING)
    before = office.balance()
    assert offered(office, campaign) == Offer(2, 2)

    assert retry(office, campaign) == Offer(2, 2)

    assert office.balance() == before - 2
    assert office.states(campaign) == {"sent": 1, "queued": 2, "failed": 1, "unknown": 1}
    gateway = Scripted()
    make_crew(gateway).finish(office)
    numbers = [recipient.number for recipient in office.recipients(campaign)]
    assert sorted(gateway.numbers) == sorted([numbers[1], numbers[4]])
    assert office.states(campaign) == {"sent": 3, "failed": 1, "unknown": 1}
    assert offered(office, campaign) is None


def test_the_campaign_ends_anew_with_one_notice_for_each_end(office, make_crew):
    campaign = ended(office, Sent("r"), PASSING)
    assert len(office.notices()) == 1
    retry(office, campaign)
    running = office.reload(campaign)
    assert (running.status, running.finished_at, running.reopened) == (Status.PROCESSING, None, 1)

    make_crew(Scripted()).finish(office)

    assert office.reload(campaign).status == Status.COMPLETED
    assert len(office.notices()) == 2


def test_two_clicks_are_one_retry(office):
    campaign = ended(office, PASSING, PASSING, Sent("r"))
    before = office.balance()

    errors = at_once([partial(retry, office, campaign)] * 4)

    assert [type(error) for error in errors if error] == [NothingToRetry] * 3
    assert office.balance() == before - 2
    assert office.reload(campaign).reopened == 1


def test_without_the_credits_nothing_changes_and_the_missing_amount_is_said(office):
    campaign = ended(office, PASSING, PASSING)
    office.store.write(lambda s: _spend(s, office, office.balance() - 1))

    with pytest.raises(NotEnoughCredits) as refused:
        retry(office, campaign)

    assert (refused.value.needed, refused.value.available) == (2, 1)
    assert office.states(campaign) == {"failed": 2}
    assert office.jobs("sms.send-bulk") == 0
    office.is_tampered = True


def _spend(session, office, amount):
    """Take credits out of the wallet in a way that the books know nothing of."""
    transaction = credits.record(session, "charge", office.team.id)
    credits.move(session, transaction, credits.wallet(office.team.id), credits.REVENUE, amount)


def test_another_number_than_was_shown_changes_nothing(office):
    campaign = ended(office, PASSING)
    with pytest.raises(OfferChanged):
        retry(office, campaign, Offer(2, 2))
    assert office.states(campaign) == {"failed": 1}


def test_who_opted_out_since_is_left_out(office):
    campaign = ended(office, PASSING, PASSING)
    number = office.recipients(campaign)[0].number
    office.store.write(lambda s: optouts.add_all(s, {(office.team.id, number)}, source="stop"))

    assert retry(office, campaign) == Offer(1, 1)

    assert [recipient.state for recipient in office.recipients(campaign)] == ["failed", "queued"]


@pytest.mark.parametrize("code", again.FOR_GOOD)
def test_who_may_have_got_it_is_left_alone(office, code):
    campaign = ended(office, PASSING)
    office.execute(sa.update(Recipient).values(code=code))
    assert offered(office, campaign) is None
    with pytest.raises(NothingToRetry):
        retry(office, campaign)


def test_a_refusal_of_our_account_may_pass_for_all(office, make_crew):
    campaign = office.launched(3)
    broke = Scripted(lambda _: Rejected("broke", "no credit with the gateway", scope="account"))
    make_crew(broke, SMS_CONCURRENCY="1").finish(office)
    assert office.reload(campaign).status == Status.FAILED
    assert offered(office, campaign) == Offer(3, 3)

    retry(office, campaign)
    make_crew(Scripted()).finish(office)

    ended_campaign = office.reload(campaign)
    assert (ended_campaign.status, ended_campaign.sent, ended_campaign.error) == (Status.COMPLETED, 3, None)


def test_what_expired_gets_its_time_again(office, make_crew):
    campaign = office.launched(2)
    office.execute(sa.update(Campaign).values(valid_until=office.reload(campaign).confirmed_at))
    make_crew(Scripted()).finish(office)
    assert office.states(campaign) == {"expired": 2}

    retry(office, campaign)
    make_crew(Scripted()).finish(office)

    assert office.states(campaign) == {"sent": 2}


def test_a_cancelled_campaign_is_not_retried(office):
    campaign = office.cancel(office.launched(2))
    with pytest.raises(NothingToRetry, match="clone it"):
        retry(office, campaign)


def test_the_campaign_of_somebody_disabled_is_not_retried(office):
    campaign = ended(office, PASSING)
    office.execute(sa.update(User).values(active=False))
    with pytest.raises(OwnerDisabled):
        retry(office, campaign)


@pytest.fixture
def given_up(office, store, make_crew):
    """A campaign of two slices, both of which spent their tries."""
    campaign = office.launched(4, slice_rows=2)
    working = store.write(lambda s: workers.register(s, ["sms"], 60))
    registry = make_crew(Scripted()).registry
    for _ in range(2):
        (held,) = store.write(lambda s: claim.claim(s, working, "sms", 1))
        store.write(lambda s, held=held: failed.fail(s, registry, held, "OSError: disk", "Traceback"))
    assert office.states(campaign) == {"failed": 4}
    return campaign


def test_retrying_the_campaign_first_takes_its_failed_jobs_along(office, store, make_crew, given_up):
    first, second = (job.uuid for job in office.failed_jobs())
    before = office.balance()
    crew = make_crew(Scripted())

    retry(office, given_up)

    assert office.failed_jobs() == []
    for uuid in (first, second):
        with pytest.raises(failed.NoSuchFailedJob):
            store.write(lambda s, uuid=uuid: failed.retry(s, crew.registry, uuid))
    assert office.balance() == before - 4
    crew.finish(office)
    assert office.reload(given_up).status == Status.COMPLETED
    assert len(crew.services.__dict__["_senders"].gateways["scripted"].calls) == 4


def test_retrying_a_failed_job_first_leaves_the_rest_to_the_campaigns_retry(office, store, make_crew, given_up):
    first, _second = (job.uuid for job in office.failed_jobs())
    before = office.balance()
    crew = make_crew(Scripted())

    store.write(lambda s: failed.retry(s, crew.registry, first))
    assert offered(office, given_up) == Offer(2, 2)
    retry(office, given_up)

    assert office.balance() == before - 4
    assert office.failed_jobs() == []
    crew.finish(office)
    assert office.states(given_up) == {"sent": 4}
    assert office.reload(given_up).status == Status.COMPLETED


def test_both_ways_at_once_charge_once(office, store, make_crew, given_up):
    uuids = [job.uuid for job in office.failed_jobs()]
    before = office.balance()
    crew = make_crew(Scripted())
    ways = [partial(retry, office, given_up)]
    ways += [partial(store.write, lambda s, uuid=uuid: failed.retry(s, crew.registry, uuid)) for uuid in uuids]

    errors = at_once(ways)

    expected = (NothingToRetry, NotRetryable, failed.NoSuchFailedJob)
    assert all(error is None or isinstance(error, expected) for error in errors), errors
    assert office.balance() == before - 4
    crew.finish(office)
    assert office.states(given_up) == {"sent": 4}


def test_the_rest_behind_first_ten_that_were_refused_may_be_sent(office, make_crew):
    draft = office.draft(14)
    office.execute(sa.update(Campaign).values(first_ten=True, first_ten_chosen=True))
    campaign = office.launch(office.reload(draft))
    refusing = Scripted(lambda _: replace(FOR_GOOD, may_retry=True))
    make_crew(refusing).finish(office)
    assert office.states(campaign) == {"failed": 10, "cancelled": 4}

    assert retry(office, campaign) == Offer(14, 14)
    make_crew(Scripted()).finish(office)

    assert office.states(campaign) == {"sent": 14}


def test_retrying_some_of_the_first_ten_leaves_the_rest_to_what_they_tell(office, make_crew):
    campaign = launched(office)
    (crew := make_crew(answering(*[PASSING] * 4, *[Unknown("lost")] * 6))).drain()
    assert retry(office, campaign).count == 4
    assert (on_hold(office), office.reload(campaign).released_at) == (3, None)

    crew.drain()
    look_after_waiting(office.store)
    crew.drain()

    assert (on_hold(office), office.states(campaign)) == (0, {"sent": 19, "unknown": 6})


def test_retrying_the_rest_as_well_lets_it_go(office, make_crew):
    campaign = launched(office)
    intents = in_the_air(office, campaign, 2)
    refusal = Rejected("auth", "wrong key", "account")
    record(office, campaign, Answer(intents[0], refusal))
    office.store.write(lambda s: stopping.stop_for_account(s, s.get_one(Campaign, campaign.id), refusal))
    assert office.states(campaign) == {"failed": 24, "sending": 1}

    assert retry(office, campaign).count == 24
    record(office, campaign, Answer(intents[1], Sent("r")))
    make_crew(Scripted()).finish(office)

    after = office.reload(campaign)
    assert office.states(campaign) == {"sent": 25}
    assert (after.status, after.error) == (Status.COMPLETED, None)


def test_why_it_failed_is_forgotten_also_while_a_call_is_open(office, make_crew):
    campaign = office.launched(3)
    intents = in_the_air(office, campaign, 2)
    refusal = Rejected("auth", "wrong key", "account")
    record(office, campaign, Answer(intents[0], refusal))
    office.store.write(lambda s: stopping.stop_for_account(s, s.get_one(Campaign, campaign.id), refusal))
    assert office.states(campaign) == {"failed": 2, "sending": 1}

    retry(office, campaign)
    record(office, campaign, Answer(intents[1], Sent("r")))
    make_crew(Scripted()).finish(office)

    after = office.reload(campaign)
    assert (after.status, after.error, office.states(campaign)) == (Status.COMPLETED, None, {"sent": 3})


def test_who_is_in_a_country_that_was_closed_since_is_left_out(office):
    campaign = ended(office, Sent("r"), PASSING)
    rule(office, countries="GB")

    assert offered(office, campaign) is None
    with pytest.raises(NothingToRetry):
        retry(office, campaign)


def test_what_the_first_ten_left_alone_counts_again_in_the_days_cap(office, make_crew):
    rule(office, daily_cap=30)
    campaign = launched(office)
    (crew := make_crew(answering(*[PASSING] * 10))).drain()
    assert office.states(campaign) == {"failed": 10, "cancelled": 15}
    office.launched(plain(60)[40:60])
    crew.drain()

    with pytest.raises(OverCap, match=r"30 are confirmed today, 0 are left, and this has 15"):
        retry(office, campaign)

    assert office.states(campaign) == {"failed": 10, "cancelled": 15}


def test_who_failed_today_is_in_the_days_cap_already(office):
    rule(office, daily_cap=2)
    campaign = ended(office, PASSING, PASSING)
    assert retry(office, campaign) == Offer(2, 2)


def test_a_retry_on_another_day_counts_in_that_days_cap(office):
    campaign = ended(office, *[PASSING] * 3, Sent("r"))
    office.execute(sa.update(Campaign).values(confirmed_at=now() - timedelta(days=1, minutes=1)))
    rule(office, daily_cap=2)
    with pytest.raises(OverCap):
        retry(office, campaign)
    rule(office, daily_cap=4)
    retry(office, campaign)

    office.launched(1)
    with pytest.raises(OverCap, match="4 are confirmed today, 0 are left, and this has 1"):
        office.launched(1)


@pytest.fixture
def of_yesterday(office):
    """A campaign of yesterday: two of its five were taken, and three may be sent to again; five are allowed a day."""
    campaign = ended(office, Sent("r"), *[PASSING] * 3, Sent("r"))
    office.execute(sa.update(Campaign).values(confirmed_at=now() - timedelta(days=1)))
    office.execute(sa.update(Recipient).values(updated_at=now() - timedelta(days=1)))
    rule(office, daily_cap=5)
    return campaign


def used(office):
    """Count whom the team has sent to today."""
    with office.store.reading() as session:
        team = session.get_one(Team, office.team.id)
        return limits.used_between(session, team, *limits.day_of(team, now()))


def test_who_is_sent_to_again_and_cancelled_is_not_in_the_days_cap(office, of_yesterday):
    retry(office, of_yesterday)
    assert used(office) == 3

    office.cancel(of_yesterday)

    assert used(office) == 0


def test_who_fails_twice_a_day_is_in_its_cap_once(office, of_yesterday):
    for _ in range(2):
        retry(office, of_yesterday)
        record(office, of_yesterday, *(Answer(intent, PASSING) for intent in in_the_air(office, of_yesterday)))
        office.execute(sa.text("DELETE FROM jobs"))
        close(office, of_yesterday)
        assert used(office) == 3


def test_who_was_taken_yesterday_as_is_known_today_is_not_in_the_days_cap(office, of_yesterday):
    told = [Report(state="delivered", reference=attempt.reference) for attempt in office.attempts(of_yesterday)]

    office.store.write(lambda session: delivery.apply(session, "scripted", told, now()))

    assert (office.states(of_yesterday), used(office)) == ({"delivered": 5}, 0)


@pytest.mark.databases("postgresql", "mariadb")  # SQLite has one writer at a time
def test_a_campaign_that_is_cancelled_at_the_same_moment_stays_cancelled(office, store):
    campaign = office.launched(4, slice_rows=2)
    said: list[Outcome] = [Sent("r"), PASSING, PASSING, Deferred(0, "throttled", "busy")]
    pairs = zip(in_the_air(office, campaign), said, strict=True)
    record(office, campaign, *(Answer(intent, outcome) for intent, outcome in pairs))
    assert office.states(campaign) == {"sent": 1, "failed": 2, "queued": 1}

    with pytest.raises(NothingToRetry):
        race(
            store,
            lambda s: campaigns.cancel(s, office.team.id, campaign.uuid),
            lambda s: again.retry(s, office.team.id, campaign.uuid, TERMS, user_id=office.user.id),
        )

    assert office.reload(campaign).status == Status.CANCELLED
    assert office.states(campaign) == {"sent": 1, "failed": 2, "cancelled": 1}
