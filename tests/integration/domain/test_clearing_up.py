"""Unknown recipients are cleared up with the simulator in a process of its own, judged by its log."""

from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsqueue.cli.services import ask_for_reports, look_after_unknown
from smsqueue.core.clock import now
from tests.domain_fixtures import fated
from tests.integration.domain.test_unknowns import age, campaigns
from tests.outside import wait_until

TROUBLE = {"fates": False, "p_lost_reply": 0.3, "p_500": 0.1, "p_cut": 0.1}
CALM = {"p_lost_reply": 0, "p_500": 0, "p_cut": 0, "lookup": False, "idempotent": False, "lookup_lag_ms": 0}


@pytest.fixture
def gateway(outside):
    """The simulator; it forgets afterwards what a test asked of it."""
    yield outside
    outside.settings(**CALM)


def hire(make_crew, gateway, **more):
    """Hire workers for the simulator."""
    return make_crew(SIMULATED_URL=gateway.url, SMS_READ_TIMEOUT="1", SMS_CONNECT_TIMEOUT="1", **more)


def clear_up(office, crew, campaign, turns=4):
    """Let time pass and the job run, until nobody is unknown."""
    for _ in range(turns):
        age(office, 700)
        look_after_unknown(office.store)
        office.hurry()
        crew.drain()
        if "unknown" not in office.states(campaign):
            return


def taken(gateway, office, campaign):
    """Count how often the gateway took a text for each of a campaign's numbers, by its log."""
    ours = {row.number for row in office.recipients(campaign)}
    references = {attempt.reference for attempt in office.attempts(campaign)}
    lines = [line for line in gateway.log_lines() if line["reference"] in references and not line["again"]]
    return Counter(line["to"] for line in lines if line["to"] in ours)


def check(office, gateway, campaign):
    """Compare what we say with what the gateway took: nobody unknown, nobody twice, nothing claimed wrongly."""
    found = taken(gateway, office, campaign)
    states = {row.number: row.state for row in office.recipients(campaign)}
    assert max(found.values()) == 1, "nobody is sent to twice"
    assert {number for number, state in states.items() if state in ("sent", "delivered")} == set(found)
    after = office.reload(campaign)
    assert (after.unknown, after.held) == (0, 0)


def test_look_ups_leave_nobody_unknown_and_nobody_is_sent_to_twice(office, gateway, make_crew):
    gateway.settings(**TROUBLE, lookup=True)
    crew = hire(make_crew, gateway, SIMULATED_LOOKUP="yes")
    campaign = office.launched(60)
    crew.drain()
    before = office.states(campaign)
    gateway.settings(**CALM | {"lookup": True})

    clear_up(office, crew, campaign)

    assert before.get("unknown"), "the test needs lost answers"
    check(office, gateway, campaign)


def test_the_same_reference_again_leaves_nobody_unknown_and_nobody_is_sent_to_twice(office, gateway, make_crew):
    gateway.settings(**TROUBLE, idempotent=True)
    crew = hire(make_crew, gateway, SIMULATED_IDEMPOTENT="yes")
    campaign = office.launched(60)
    crew.drain()
    before = office.states(campaign)

    clear_up(office, crew, campaign, turns=20)

    assert before.get("unknown"), "the test needs lost answers"
    assert office.states(campaign) == {"sent": 60}
    check(office, gateway, campaign)


def test_refusals_and_silence_of_each_kind_are_cleared_up_by_look_up(office, gateway, make_crew):
    gateway.settings(lookup=True)
    crew = hire(make_crew, gateway, SIMULATED_LOOKUP="yes")
    campaign = office.launched(fated("90", "91", "92", "93", "94", "80"))
    crew.drain()
    before = office.states(campaign)

    clear_up(office, crew, campaign)

    assert before == {"unknown": 5, "failed": 1}
    assert office.states(campaign) == {"sent": 3, "failed": 3}
    check(office, gateway, campaign)


@pytest.mark.databases("sqlite")
def test_a_look_up_that_knows_texts_only_later_is_not_believed_too_early(office, gateway, make_crew):
    # Asked 4 s after the call at the earliest, it lies for 3 s; what it really did not take is asked about twice.
    gateway.settings(**TROUBLE, lookup=True, lookup_lag_ms=3000)
    times = {"SMS_LEASE": "3", "SMS_HEARTBEAT": "0.5", "SMS_CONNECT_TIMEOUT": "0.5", "SMS_READ_TIMEOUT": "0.5"}
    crew = make_crew(SIMULATED_URL=gateway.url, SIMULATED_LOOKUP="yes", **times)
    campaign = office.launched(40)
    crew.drain()
    gateway.settings(**CALM | {"lookup": True, "lookup_lag_ms": 3000})

    def is_clear():
        look_after_unknown(office.store)
        crew.drain()
        return "unknown" not in office.states(campaign)

    wait_until(is_clear, 60)

    check(office, gateway, campaign)


def test_reports_that_were_lost_are_fetched_once_a_day(office, gateway, make_crew):
    gateway.settings(fates=True, p_report_lost=1, report_delay_ms=0)
    crew = hire(make_crew, gateway)
    campaign = office.launched(fated("10", "95", "96"))
    crew.drain()
    services = crew.services
    ask_for_reports(office.store, services)
    too_early = office.jobs("sms.fetch-reports")
    age(office, 90_000)
    office.execute(sa.update(campaigns).values(started_at=now() - timedelta(days=2)))

    ask_for_reports(office.store, services)
    ask_for_reports(office.store, services)
    crew.drain()

    assert too_early == 0
    assert office.states(campaign) == {"delivered": 1, "undelivered": 2}
    assert office.reload(campaign).spent == 3


@pytest.mark.parametrize(("ended", "jobs"), [(None, 1), (timedelta(days=3), 1), (timedelta(days=8), 0)])
def test_reports_are_fetched_also_of_a_campaign_that_began_long_ago(office, make_crew, gateway, ended, jobs):
    gateway.settings(p_report_lost=1)
    crew = hire(make_crew, gateway)
    office.launched(1)
    crew.drain()
    times = {"started_at": now() - timedelta(days=20), "finished_at": now() - ended if ended else None}
    office.execute(sa.update(campaigns).values(times))

    ask_for_reports(office.store, crew.services)

    assert office.jobs("sms.fetch-reports") == jobs
