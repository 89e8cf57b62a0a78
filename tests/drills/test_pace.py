"""The pace of a gateway, judged by its own log: how fast texts come, who goes first, and what an outage leaves."""

import json
import statistics
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from smsqueue.domain import accounts, credits
from tests.drills.crew import Office, Scene, kinds, numbers, scene
from tests.drills.judging import log_lines, moment
from tests.outside import rest, wait_until

RATE = 20
ROWS = 50
FIFTH = 0.2
MANY = 100_000


@pytest.mark.drill
@pytest.mark.parametrize("database", kinds("postgresql", "mariadb", "sqlite"))
def test_no_stretch_of_time_sees_more_than_the_rate_and_little_of_it_is_left_unused(databases, tmp_path, database):
    settings = {"SIMULATED_MAX_PER_SECOND": RATE}
    with scene(tmp_path, databases.ready(database), simulator={"latency_ms": 50}, **settings) as drill:
        drill.crew.wait_for(drill.crew.start(3))
        campaign = drill.office.campaign(numbers(25 * RATE), slice_rows=60)
        wait_until(lambda: drill.office.is_closed(campaign), 90)
        times = taken_at(drill)
    used = (len(times) - RATE / 2) / (times[-1] - times[0]) / RATE
    print(f"\nRESULT {json.dumps({'drill': 'pace', 'database': database, 'used': round(used, 3), **burst(times)})}")
    assert burst(times)["over_rate_s"] <= 1.0
    assert used >= 0.95


@pytest.mark.drill
def test_single_texts_do_not_wait_behind_bulk_at_ten_a_second(databases, tmp_path):
    settings = {"SIMULATED_MAX_PER_SECOND": 10}
    with scene(tmp_path, databases.ready("postgresql"), simulator={"latency_ms": 50}, **settings) as drill:
        campaign = drill.office.campaign(numbers(MANY), slice_rows=50)
        drill.crew.wait_for(drill.crew.start())
        wait_until(lambda: drill.office.done(campaign) >= 30, 60)
        waits = sorted(send_single(drill, f"+1907555{last:04d}") for last in range(150, 170))
        bulk = drill.office.done(campaign)
        times = taken_at(drill)
    p95 = waits[int(len(waits) * 0.95) - 1]
    facts = {"drill": "lane", "rows": MANY, "p95_s": p95, "median_s": statistics.median(waits), **burst(times, 10)}
    print(f"\nRESULT {json.dumps(facts)}")
    assert bulk < MANY
    assert p95 < 1.0
    assert burst(times, 10)["over_rate_s"] <= 1.0


@pytest.mark.drill
def test_ten_texts_of_another_team_do_not_wait_for_a_large_campaign(databases, tmp_path):
    settings = {"SIMULATED_MAX_PER_SECOND": 10}
    with scene(tmp_path, databases.ready("postgresql"), simulator={"latency_ms": 50}, **settings) as drill:
        large = drill.office.campaign(numbers(MANY), slice_rows=20)
        drill.crew.wait_for(drill.crew.start(2))
        wait_until(lambda: drill.office.done(large) >= 30, 60)
        launched = datetime.now(UTC)
        theirs = other_team(drill.office).campaign([f"+1907555{last:04d}" for last in range(150, 160)])
        wait_until(lambda: drill.office.is_closed(theirs), 60)
        last = max(moment(line["time"]) for line in lines(drill) if line["to"].startswith("+1907555"))
    seconds = (last - launched).total_seconds()
    print(f"\nRESULT {json.dumps({'drill': 'fair', 'rows': MANY, 'seconds': round(seconds, 1)})}")
    assert seconds <= 10


@pytest.mark.drill
def test_a_gateway_that_asks_for_less_gets_less_within_ten_seconds_and_more_again_by_itself(databases, tmp_path):
    with scene(tmp_path, databases.ready("postgresql"), simulator={"latency_ms": 20}, SMS_CONCURRENCY=8) as drill:
        campaign = drill.office.campaign(numbers(20_000))
        drill.crew.wait_for(drill.crew.start(2))
        wait_until(lambda: drill.office.done(campaign) >= 500, 60)
        before = calls(drill)
        rest(3)
        usual = (calls(drill) - before) / 3
        drill.outside.settings(p_429=1.0)
        rest(10)
        before = calls(drill)
        rest(3)
        stormy = (calls(drill) - before) / 3
        drill.outside.settings(p_429=0.0)
        calm = datetime.now(UTC)
        came_back = drill.office.done(campaign)
        wait_until(lambda: drill.office.done(campaign) >= came_back + usual, 80)
    back = round((datetime.now(UTC) - calm).total_seconds())
    facts = {"drill": "storm", "usual": round(usual), "stormy": round(stormy, 1), "back_s": back}
    print(f"\nRESULT {json.dumps(facts)}")
    assert stormy <= FIFTH * usual


@pytest.mark.drill
@pytest.mark.parametrize(("latency", "many"), [(100, 9_000), (1000, 1_800)])
def test_calls_at_once_follow_the_gateways_latency(databases, tmp_path, latency, many):
    with scene(tmp_path, databases.ready("postgresql"), simulator={"latency_ms": latency}) as drill:
        drill.crew.wait_for(drill.crew.start())
        campaign = drill.office.campaign(numbers(many))
        wait_until(lambda: drill.office.is_closed(campaign), 120)
        times = taken_at(drill)
    late = [time for time in times if times[-1] - 10 <= time < times[-1] - 2]
    in_flight = len(late) / 8 * latency / 1000
    print(f"\nRESULT {json.dumps({'drill': 'places', 'latency_ms': latency, 'in_flight': round(in_flight, 1)})}")
    assert in_flight >= (0.9 * 64 if latency == 1000 else 0.9 * 16)


@pytest.mark.drill
def test_an_outage_only_delays_and_sending_goes_on_soon_after_it(databases, tmp_path):
    with scene(tmp_path, databases.ready("postgresql"), simulator={"latency_ms": 50}) as drill:
        campaign = drill.office.campaign(numbers(6_000), slice_rows=ROWS)
        drill.crew.wait_for(drill.crew.start(2))
        wait_until(lambda: drill.office.done(campaign) >= 300, 60)
        drill.outside.kill()
        wait_until(lambda: is_open(drill), 30)
        before = jobs_claimed(drill)
        rest(10)
        spun = jobs_claimed(drill) - before
        drill.outside.start()
        back, done = datetime.now(UTC), drill.office.done(campaign)
        wait_until(lambda: drill.office.done(campaign) > done + 200, 60)
        seconds = (datetime.now(UTC) - back).total_seconds()
        unknown, most = drill.office.reload(campaign).unknown, most_attempts(drill)
    facts = {"drill": "outage", "resumed_s": round(seconds, 1), "claims": spun, "unknown": unknown, "attempts": most}
    print(f"\nRESULT {json.dumps(facts)}")
    assert seconds <= 30
    assert spun <= 6_000 / ROWS, "workers spun: a slice was looked at more than once in ten seconds, on average"


def lines(drill: Scene) -> list[dict[str, Any]]:
    """What the gateway took."""
    return log_lines(drill.outside.log)


def taken_at(drill: Scene) -> list[float]:
    """When the gateway took texts, as seconds, in order."""
    return sorted(moment(line["time"]).timestamp() for line in lines(drill))


def calls(drill: Scene) -> int:
    """How many calls the gateway has had, taken or not."""
    return len(lines(drill)) + len(drill.outside.refused_lines())


def burst(times: list[float], rate: float = RATE) -> dict[str, float]:
    """By how many seconds of rate the fullest stretch of any length was over the rate."""
    worst, lowest = 0.0, float("inf")
    for index, time in enumerate(times):
        lowest = min(lowest, index - time * rate)
        worst = max(worst, index + 1 - time * rate - lowest)
    return {"over_rate_s": round(worst / rate, 3)}


def send_single(drill: Scene, number: str) -> float:
    """Send one SMS about once a second; the seconds from its commit to its line in the gateway's log."""
    rest(drill.dice.uniform(0.3, 0.8))
    drill.office.single(number)
    launched = datetime.now(UTC)
    wait_until(lambda: any(line["to"] == number for line in lines(drill)), 60)
    (arrived,) = (moment(line["time"]) for line in lines(drill) if line["to"] == number)
    return max(timedelta(0), arrived - launched).total_seconds()


def other_team(office: Office) -> Office:
    """Make a second team with a person of its own."""

    def make(session):
        team = accounts.create_team(session, "Other", "US", "*")
        credits.grant(session, team.id, 1_000, reason="for a drill")
        return team, accounts.create_user(session, email="other@example.com", password_hash="x", team=team)

    return Office(office.store, *office.store.write(make))


def is_open(drill: Scene) -> bool:
    """Say whether the breaker is open."""
    with drill.office.store.reading() as session:
        return bool(session.scalar(sa.text("SELECT count(*) FROM sms_gateways WHERE opened_at IS NOT NULL")))


def most_attempts(drill: Scene) -> int:
    """The most attempts that a recipient has had."""
    with drill.office.store.reading() as session:
        return int(session.scalar(sa.text("SELECT max(attempts) FROM sms_recipients")) or 0)


def jobs_claimed(drill: Scene) -> int:
    """How often workers have claimed jobs, by their own words."""
    return sum(worker.log.read_text(errors="replace").count("claimed the jobs") for worker in drill.crew.workers)
