"""The breaker of a gateway: what opens it, who may try it, what closes it; and what a slice makes of all that."""

from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from smsqueue.cli.services import end_overdue
from smsqueue.core.clock import now
from smsqueue.domain import breaker, expiring
from smsqueue.domain.breaker import FAILURES, Standing
from smsqueue.domain.intents import NOT_CALLED, Intent
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Deferred, Outgoing, Rejected, Sent, Unknown
from smsqueue.models import Campaign, GatewayState, Status, Team
from smsqueue.queue.models import JobRow
from tests.domain_workers import Held, Scripted, at_once
from tests.outside import wait_until

AWAY = Deferred(0, "unreachable", "nobody there")
SILENT = Unknown("no answer")
THERE = [Sent("r"), Rejected("landline", "no"), Deferred(1, "throttled", "slowly")]
COME = timedelta(seconds=60)


def answers(*outcomes):
    """Answers of the gateway `g`, in this order."""
    outgoing = Outgoing("1-1-0", "+12015550100", "Hi", "gsm-7", 1, "us", 60)
    return [Answer(Intent(1, 1, 1, outgoing, gateway="g"), outcome) for outcome in outcomes]


@pytest.fixture
def hear(office):
    """Let the breaker of `g` hear outcomes, as a worker with a fresh look would; return how it stands then."""

    def note(*outcomes):
        def use_case(session):
            standing = breaker.read(session).get("g") or Standing("g")
            breaker.note(session, standing, answers(*outcomes), now())
            return breaker.read(session).get("g") or Standing("g")

        return office.store.write(use_case)

    return note


def test_it_opens_after_so_many_calls_in_a_row_that_came_to_nothing_whoever_made_them(hear):
    assert hear(*[AWAY] * (FAILURES - 1)).opened_at is None
    standing = hear(SILENT)

    assert standing.opened_at is not None
    assert not standing.is_usable(now())
    assert standing.is_usable(now() + COME)
    assert standing.words.startswith("Gateway g cannot be reached since ")


@pytest.mark.parametrize("answer", THERE)
def test_any_answer_in_between_counts_anew_and_closes_it(hear, answer):
    hear(*[AWAY] * (FAILURES - 1))
    assert hear(answer).failures == 0
    hear(*[AWAY] * FAILURES)
    assert hear(answer).opened_at is None


def test_calls_that_were_not_made_say_nothing_of_the_gateway(hear):
    assert hear(*[Deferred(0, "unreachable", NOT_CALLED)] * 50).failures == 0


def test_nothing_is_written_while_all_goes_well(hear, office):
    hear(Sent("r"), AWAY, Sent("r"), SILENT, Sent("r"), AWAY)

    with office.store.reading() as session:
        assert breaker.read(session) == {}


@pytest.mark.parametrize(
    "answer", [Unknown("302", is_misdirected=True), Rejected("http_307", "it redirects", "account")]
)
def test_an_answer_that_sends_us_elsewhere_pauses_it_with_the_reason(hear, answer):
    standing = hear(answer)

    assert standing.paused_at is not None
    assert "its address must be wrong" in standing.words


def test_of_many_workers_only_one_gets_the_probe(hear, office):
    hear(*[AWAY] * FAILURES)
    later, got = now() + COME, []

    def ask():
        got.append(office.store.write(partial(breaker.claim_probe, name="g", now=later, until=later + COME)))

    assert at_once([ask] * 6) == [None] * 6
    assert sorted(got) == [False] * 5 + [True]


def test_a_paused_gateway_is_not_even_probed_and_goes_on_when_it_is_resumed(hear, office):
    hear(*[AWAY] * FAILURES)
    office.store.write(partial(breaker.pause, name="g", author="ann", reason="it is broken", now=now()))
    later = now() + COME

    assert not office.store.write(partial(breaker.claim_probe, name="g", now=later, until=later + COME))
    assert office.store.write(partial(breaker.resume, name="g", author="ann", now=later))
    assert office.store.write(partial(breaker.claim_probe, name="g", now=later, until=later + COME))


@pytest.mark.databases("sqlite")
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.sampled_from([AWAY, SILENT, *THERE]), min_size=1, max_size=12), max_size=12))
def test_it_is_open_exactly_when_the_last_calls_in_a_row_came_to_nothing(office, hear, batches):
    office.execute(sa.delete(GatewayState))
    row, is_open = 0, False
    for batch in batches:
        standing = hear(*batch)
        for outcome in batch:
            row = row + 1 if outcome in (AWAY, SILENT) else 0
        is_answered = any(outcome in THERE for outcome in batch)
        trailing = next((i for i, outcome in enumerate(reversed(batch)) if outcome in THERE), len(batch))
        # Few failures after an answer are not written down: they are lost when the next batch goes on with them.
        row = row if not is_answered or trailing >= FAILURES else 0
        is_open = row >= FAILURES or (is_open and not is_answered)
        assert (standing.opened_at is not None) == is_open


def test_while_it_is_open_nobody_is_called_nobody_spends_a_try_and_one_probe_lets_all_go_on(office, make_crew):
    there: list[bool] = []

    def answer(outgoing):
        return Sent(outgoing.reference) if there else AWAY

    gateway = Scripted(answer)
    campaign = office.launched(60, slice_rows=20)
    crew = make_crew(gateway, SMS_CONCURRENCY="4", SMS_WINDOW="8")
    crew.drain()
    called = len(gateway.calls)
    assert called < 20
    crew.drain()
    assert len(gateway.calls) <= called + 1  # the probe, if it was due

    there.append(True)
    crew.finish(office)

    assert office.states(campaign) == {"sent": 60}
    assert not office.failed_jobs()
    assert max(row.attempts for row in office.recipients(campaign)) <= 4


def test_a_campaign_whose_time_is_over_while_its_gateway_is_away_ends_as_a_whole(office, make_crew):
    campaign = office.launched(60, slice_rows=5, validity_seconds=-1)

    with office.store.reading() as session:
        assert expiring.overdue(session) == [campaign.id]
    assert office.store.write(partial(expiring.end_overdue, campaign_id=campaign.id)) == 60

    assert office.states(campaign) == {"expired": 60}
    assert office.balance() == 1000
    make_crew(Scripted()).drain()
    assert office.rows(JobRow) == []


def test_a_campaign_that_could_not_start_before_its_time_was_over_ends_as_well(office):
    draft = office.draft(3)
    office.execute(sa.update(Campaign).values(scheduled_for=now() + timedelta(hours=1), validity_seconds=60))
    campaign = office.launch(draft)
    past = {"scheduled_for": now() - timedelta(hours=1), "valid_until": now() - timedelta(minutes=59)}
    office.execute(sa.update(Campaign).values(past))

    end_overdue(office.store)

    after = office.reload(campaign)
    assert (after.status, after.expired, office.balance()) == (Status.FAILED, 3, 1000)


def test_a_team_with_a_limit_has_no_more_slices_at_work_than_that(office, make_crew, tmp_path):
    office.execute(sa.update(Team).values(max_slices=1))
    gateway = Held()
    office.launched(40, slice_rows=5)
    crews = [make_crew(gateway, SMS_CONCURRENCY="2", SMS_WINDOW="4") for _ in range(2)]
    working = [crew.start() for crew in crews]
    wait_until(lambda: len(gateway.calls) == 2)
    held = [job for job in office.rows(JobRow) if job.worker_id is not None]
    gateway.let_go()
    for each in working:
        each.ended()

    assert len(held) == 1
