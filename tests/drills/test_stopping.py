"""Workers are told to stop, and frozen, in the middle of their work."""

import os
import signal
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from tests.drills.crew import Scene, Worker, kinds, numbers, open_calls, scene
from tests.drills.judging import Kill, judge, log_lines, moment
from tests.drills.verdicts import check, tell
from tests.outside import wait_until

GRACE_SECONDS = 9.0  # SMS_CONNECT_TIMEOUT 1 + SMS_READ_TIMEOUT 3 + 5
BEGUN = sa.text("SELECT started_at FROM sms_attempts WHERE worker_id = :worker")
REFERENCES = sa.text("SELECT reference FROM sms_attempts WHERE worker_id = :worker")
CLAIMS = sa.text("SELECT count(*) FROM jobs WHERE worker_id = :worker")
SPENT = sa.text("SELECT count(*) FROM jobs WHERE reserved_at IS NULL AND attempts > 0")
CONCURRENCY = 4


def to_parent(worker: Worker) -> None:
    """Ask as `kill` does."""
    os.kill(worker.process.pid, signal.SIGTERM)


def to_group_twice(worker: Worker) -> None:
    """Ask as a service manager and a terminal together would: everybody, twice."""
    os.killpg(worker.process.pid, signal.SIGTERM)
    os.killpg(worker.process.pid, signal.SIGINT)


@pytest.mark.drill
@pytest.mark.parametrize("kind", kinds("postgresql", "sqlite"))
def test_a_worker_that_is_told_to_stop_loses_nothing(databases, tmp_path, kind):
    simulator: dict[str, object] = {"latency_ms": 700}
    with scene(tmp_path, databases.ready(kind), simulator=simulator, **open_calls(CONCURRENCY)) as drill:
        campaign = drill.office.campaign(numbers(240), slice_rows=40)
        stops = [stop_one(drill, way) for way in (to_parent, to_group_twice, to_parent)]
        with drill.crew.engine.connect() as connection:
            spent = connection.execute(SPENT).scalar_one()
        drill.crew.start()
        wait_until(lambda: drill.office.is_closed(campaign), 240)
        findings = judge(drill.outside.log, drill.crew.engine, [campaign.id], [])
        audit = drill.crew.audit()
    result: dict[str, Any] = {
        "exit_codes": [stop["code"] for stop in stops],
        "exit_seconds_max": max(stop["seconds"] for stop in stops),
        "late_calls": sum(stop["late_calls"] for stop in stops),
        "late_claims": sum(stop["late_claims"] for stop in stops),
        "in_window": [stop["in_window"] for stop in stops],
        "tries_spent": spent,
    }
    tell("stop", findings, audit[0], database=kind, **result)
    check(findings, audit)
    assert all(result["in_window"]), "the drill asks nothing of a worker that is idle"
    assert result["exit_codes"] == [0, 0, 0]
    assert result["exit_seconds_max"] <= GRACE_SECONDS
    assert (result["late_calls"], result["late_claims"], spent) == (0, 0, 0)
    assert (findings.unknown, findings.not_sent) == (0, [])


def stop_one(drill: Scene, ask: Callable[[Worker], None]) -> dict[str, Any]:
    """Start a worker, stop it in the middle of a window, and say how it went."""
    crew = drill.crew
    (worker,) = crew.start()
    wait_until(lambda: crew.in_hand(crew.id_of(worker)) >= CONCURRENCY, 120)
    worker_id, in_window = crew.id_of(worker), crew.in_hand(crew.id_of(worker))
    told, began = datetime.now(UTC), time.monotonic()
    ask(worker)
    code = worker.process.wait(GRACE_SECONDS + 10)
    with crew.engine.connect() as connection:
        begun = [moment(value) for value in connection.execute(BEGUN, {"worker": worker_id}).scalars()]
        claims = connection.execute(CLAIMS, {"worker": worker_id}).scalar_one()
    return {
        "code": code,
        "seconds": round(time.monotonic() - began, 1),
        "late_calls": sum(at > told + timedelta(seconds=1) for at in begun),
        "late_claims": claims,
        "in_window": in_window,
    }


@pytest.mark.drill
@pytest.mark.parametrize("kind", kinds("postgresql", "sqlite"))
def test_a_frozen_worker_calls_nobody_when_it_wakes(databases, tmp_path, kind):
    # Many tries: a slice whose holders freeze one after the other before any answer would be given up after three.
    settings: dict[str, object] = {"SMS_LEASE": 5, "SMS_HEARTBEAT": 1, "SMS_READ_TIMEOUT": 1.5, "SMS_TRIES": 20}
    simulator: dict[str, object] = {"latency_ms": 300}
    with scene(tmp_path, databases.ready(kind), simulator=simulator, **open_calls(CONCURRENCY), **settings) as drill:
        campaign = drill.office.campaign(numbers(700), slice_rows=100)
        drill.crew.wait_for(drill.crew.start(2))
        sleeps = [freeze_one(drill, drill.crew.workers[number % 2]) for number in range(4)]
        wait_until(lambda: drill.office.is_closed(campaign), 240)
        kills = [kill for kill, _, _ in sleeps]
        findings = judge(drill.outside.log, drill.crew.engine, [campaign.id], kills)
        audit = drill.crew.audit()
    result: dict[str, Any] = {
        "in_window": [kill.in_window for kill in kills],
        "intents_after_waking": sum(intents for _, intents, _ in sleeps),
        "calls_after_waking": sum(calls for _, _, calls in sleeps),
    }
    bound = sum(result["in_window"])
    tell("freeze", findings, audit[0], bound=bound, database=kind, **result)
    check(findings, audit)
    assert all(result["in_window"]), "the drill asks nothing of a worker that is idle"
    assert result["intents_after_waking"] == 0
    # A thread may have been frozen between its last look at the lease and its first byte.
    assert result["calls_after_waking"] <= len(kills)
    # What waited for a thread when the worker froze is surely not sent, and credited: others had its slice by then.
    assert len(findings.not_sent) <= bound


def freeze_one(drill: Scene, worker: Worker) -> tuple[Kill, int, int]:
    """Freeze a worker until others have taken its work, wake it, and count what it began and called as it woke."""
    crew = drill.crew
    wait_until(lambda: crew.in_hand(crew.id_of(worker)) >= CONCURRENCY, 120)
    before = crew.id_of(worker)
    kill = crew.freeze(worker)
    wait_until(lambda: crew.id_of(worker) is None, 60)  # somebody has declared it lost
    wait_until(lambda: crew.in_hand(before) == 0, 60)  # and somebody has its slice
    woke = datetime.now(UTC)
    os.kill(kill.pid, signal.SIGCONT)
    wait_until(lambda: crew.id_of(worker), 60)
    with crew.engine.connect() as connection:
        begun = [moment(value) for value in connection.execute(BEGUN, {"worker": before}).scalars()]
        references = set(connection.execute(REFERENCES, {"worker": before}).scalars())
    calls = [line for line in log_lines(drill.outside.log) if line["reference"] in references]
    return kill, sum(at > kill.until for at in begun), sum(moment(line["time"]) >= woke for line in calls)
