"""A campaign is paused in the middle, its workers are killed, others come, it is resumed: nobody left, none twice."""

import pytest

from smsqueue.domain import pausing
from tests.drills.crew import Scene, kinds, numbers, open_calls, scene
from tests.drills.judging import judge, log_lines
from tests.drills.verdicts import check, tell
from tests.outside import rest, wait_until

MANY, CONCURRENCY, WORKERS = 1200, 4, 2
WINDOW = 2 * CONCURRENCY
QUIET_SECONDS = 12.0
"""Longer than a slice of a paused campaign rests before it looks again."""


def taken(drill: Scene) -> int:
    """Count what the gateway has taken by now."""
    return len(log_lines(drill.outside.log))


@pytest.mark.drill
@pytest.mark.parametrize("kind", kinds("postgresql", "mariadb", "sqlite"))
def test_a_campaign_that_is_paused_through_kills_and_resumed_reaches_everybody_once(databases, tmp_path, kind):
    simulator: dict[str, object] = {"latency_ms": 80}
    with scene(tmp_path, databases.ready(kind), simulator=simulator, **open_calls(CONCURRENCY)) as drill:
        campaign = drill.office.campaign(numbers(MANY), slice_rows=100)
        where = (campaign.team_id, campaign.uuid)
        first = drill.crew.start(WORKERS)
        wait_until(lambda: taken(drill) >= 200, 60)
        drill.office.store.write(lambda session: pausing.pause(session, *where))
        at_pause = taken(drill)
        kills = [drill.crew.kill(first[0], whole=True)]
        wait_until(lambda: drill.office.reload(campaign).sending <= kills[0].in_window, 30)
        late = taken(drill) - at_pause
        kills.append(drill.crew.kill(first[1], whole=True))
        drill.crew.wait_for(drill.crew.start(WORKERS))
        quiet = taken(drill)
        rest(QUIET_SECONDS)
        during = taken(drill) - quiet
        drill.office.store.write(lambda session: pausing.resume(session, *where))
        wait_until(lambda: drill.office.is_closed(campaign), 120)
        findings = judge(drill.outside.log, drill.crew.engine, [campaign.id], kills)
        audit = drill.crew.audit()
    bound = sum(kill.in_window for kill in kills)
    tell("pause", findings, audit[0], bound=bound, database=kind, calls_after_pause=late, calls_while_paused=during)
    check(findings, audit)
    assert late <= WORKERS * WINDOW
    assert during == 0
    assert findings.unknown <= WORKERS * WINDOW
    assert not findings.not_sent
