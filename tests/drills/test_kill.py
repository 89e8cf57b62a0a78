"""Workers are killed all the time, and nobody gets a text twice."""

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from smsqueue.models import Campaign
from tests.drills.crew import Scene, numbers, scene
from tests.drills.judging import Findings, Kill, judge
from tests.outside import rest

WORKERS, KILL_EVERY_SECONDS, CONCURRENCY = 3, 2.0, 4
WINDOW = 2 * CONCURRENCY
TRIES = 20  # killed so often, a slice may lose its usual three without a single answer; giving up has its own tests
LONGEST_SECONDS = 600.0
SHORTEST_SECONDS = {2000: 60.0}
KILLS_IN_WINDOW = 10


@pytest.mark.drill
@pytest.mark.parametrize(("kind", "recipients"), [("postgresql", 2000), ("sqlite", 800)])
def test_nobody_gets_a_text_twice_though_a_worker_is_killed_every_two_seconds(databases, tmp_path, kind, recipients):
    url = databases.ready(kind)
    simulator: dict[str, object] = {"latency_ms": 400, "p_lost_reply": 0.05}
    with scene(tmp_path, url, simulator=simulator, SMS_CONCURRENCY=CONCURRENCY, SMS_TRIES=TRIES) as drill:
        print(f"\nkill drill on {kind}: seed {drill.seed} (DRILL_SEED={drill.seed} repeats it)")
        began = time.monotonic()
        campaign = drill.office.campaign(numbers(recipients))
        kills = kill_until_closed(drill, campaign)
        seconds = time.monotonic() - began
        findings = judge(drill.outside.log, drill.crew.engine, [campaign.id], kills)
        code, said = drill.crew.audit()
    report(findings, kills, code, seconds=seconds, seed=drill.seed, database=kind, recipients=recipients)
    assert findings.accepted_twice == []
    assert findings.left_waiting == []
    assert findings.not_sent == []
    assert findings.unexplained == []
    assert findings.contradictions == []
    assert code == 0, said
    assert findings.unknown <= findings.lost_replies + len(kills) * WINDOW
    assert sum(kill.in_window > 0 for kill in kills) >= KILLS_IN_WINDOW
    assert seconds >= SHORTEST_SECONDS.get(recipients, 0)


def kill_until_closed(drill: Scene, campaign: Campaign) -> list[Kill]:
    """Kill a worker, by chance alone or with its parent, every two seconds; start it again; until all is sent."""
    crew, office = drill.crew, drill.office
    running = crew.start(WORKERS)
    crew.wait_for(running)
    kills: list[Kill] = []
    deadline = time.monotonic() + LONGEST_SECONDS
    while not office.is_closed(campaign):
        rest(KILL_EVERY_SECONDS)
        # On a busy machine a start takes longer than the time between two kills: only who works can die at work.
        working = [worker for worker in running if crew.id_of(worker)]
        if working and not office.is_closed(campaign):
            victim, whole = drill.dice.choice(working), drill.dice.random() < 0.3
            kills.append(crew.kill(victim, whole=whole))
            show(kills[-1], whole=whole)
            if whole:
                running[running.index(victim)] = crew.start()[0]
        assert time.monotonic() < deadline, f"not closed in time: {office.reload(campaign).counts}"
    return kills


def show(kill: Kill, *, whole: bool) -> None:
    """Print one kill."""
    who = "worker and parent" if whole else "worker"
    print(f"{kill.at:%H:%M:%S.%f} SIGKILL {who}, pid {kill.pid}: {kill.in_window} rows in sending")


def report(findings: Findings, kills: list[Kill], audit_code: int, **more: Any) -> None:
    """Print the result as one line of JSON."""
    result = {
        "drill": "kill",
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "kills": len(kills),
        "kills_in_window": sum(kill.in_window > 0 for kill in kills),
        "accepted": findings.accepted,
        "accepted_twice": len(findings.accepted_twice),
        "left_waiting": len(findings.left_waiting),
        "not_sent": len(findings.not_sent),
        "unknown": findings.unknown,
        "unknown_bound": findings.lost_replies + len(kills) * WINDOW,
        "unknown_unexplained": len(findings.unexplained),
        "lost_replies": findings.lost_replies,
        "contradictions": len(findings.contradictions),
        "ledger_clean": audit_code == 0,
    }
    result |= {name: round(value, 1) if isinstance(value, float) else value for name, value in more.items()}
    print(f"RESULT {json.dumps(result)}")
