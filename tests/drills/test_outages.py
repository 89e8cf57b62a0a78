"""The gateway and the database go away in the middle of a campaign and come back."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial

import pytest
import sqlalchemy as sa

from smsqueue.models import Campaign
from tests.drills.crew import Scene, kinds, numbers, open_calls, scene
from tests.drills.judging import Findings, Kill, judge, log_lines
from tests.drills.verdicts import check, tell
from tests.drills.yard import bounce, seconds_until
from tests.outside import wait_until

CONCURRENCY, WORKERS, RECIPIENTS = 4, 2, 400
RESUMED_SECONDS = 10.0
SIMULATOR: dict[str, object] = {"latency_ms": 300}
DEFERRED = sa.text("SELECT count(*) FROM sms_attempts WHERE outcome = 'deferred'")
WORKER_IDS = sa.text("SELECT id FROM workers")
Loss = Callable[[Scene], list[Kill]]


@pytest.mark.drill
@pytest.mark.parametrize("kind", kinds("postgresql", "sqlite"))
def test_a_gateway_that_is_killed_leaves_only_its_open_calls_unknown(databases, tmp_path, kind):
    with scene(tmp_path, databases.ready(kind), simulator=SIMULATOR, **open_calls(CONCURRENCY)) as drill:
        findings, audit = lose_and_finish(drill, [lose_gateway, lose_gateway])
    # A thread whose call was cut may begin one more while the gateway's process dies: also that one was open.
    bound = 2 * 2 * WORKERS * CONCURRENCY
    tell("gateway killed", findings, audit[0], bound=bound, database=kind)
    check(findings, audit)
    assert findings.not_sent == []
    assert findings.unknown <= bound


@pytest.mark.drill
def test_a_database_that_restarts_is_outlived(databases, tmp_path):
    url = databases.ready("postgresql")
    resumed: list[float] = []
    with scene(tmp_path, url, simulator=SIMULATOR, **open_calls(CONCURRENCY)) as drill:
        losses = [partial(lose_database, resumed=resumed, mode=mode) for mode in ("fast", "immediate")]
        findings, audit = lose_and_finish(drill, losses)
    tell("database restarted", findings, audit[0], database="postgresql", resumed_seconds=max(resumed))
    check(findings, audit)
    assert max(resumed) <= RESUMED_SECONDS
    # What the gateway answered meanwhile was kept and written down afterwards.
    assert (findings.unknown, findings.not_sent) == (0, [])


def lose_gateway(drill: Scene) -> list[Kill]:
    """Kill the gateway until calls were refused for want of it, and start it again with the same log."""
    before = deferred(drill)
    at = datetime.now(UTC)
    drill.outside.kill()
    gone = datetime.now(UTC)
    wait_until(lambda: deferred(drill) > before, 60)
    drill.outside.start()
    with drill.crew.engine.connect() as connection:
        calling = frozenset(connection.execute(WORKER_IDS).scalars())
    return [Kill(at, gone, calling, pid=0, in_window=0)]


def lose_database(drill: Scene, resumed: list[float], mode: str) -> list[Kill]:
    """Stop PostgreSQL, in good order or as by a crash, start it again, and note when sending went on."""
    bounce(drill.crew.engine, mode)
    drill.office.store.dispose()
    before = accepted(drill)
    resumed.append(seconds_until(lambda: accepted(drill) > before))
    return []


def accepted(drill: Scene) -> int:
    """Count what the gateway has taken."""
    return len(log_lines(drill.outside.log))


def lose_and_finish(drill: Scene, losses: Sequence[Loss]) -> tuple[Findings, tuple[int, str]]:
    """Lose something in the middle of a campaign, more than once, and let the campaign end."""
    campaign = drill.office.campaign(numbers(RECIPIENTS), slice_rows=50)
    drill.crew.start(WORKERS)
    kills: list[Kill] = []
    for number, lose in enumerate(losses):
        wait_until(partial(is_done, drill, campaign, RECIPIENTS * (number + 1) // (len(losses) + 2)), 120)
        kills += lose(drill)
    wait_until(lambda: drill.office.is_closed(campaign), 240)
    return judge(drill.outside.log, drill.crew.engine, [campaign.id], kills), drill.crew.audit()


def is_done(drill: Scene, campaign: Campaign, count: int) -> bool:
    """Say whether so many recipients need nothing more."""
    return drill.office.done(campaign) >= count


def deferred(drill: Scene) -> int:
    """Count the attempts that were put off."""
    with drill.crew.engine.connect() as connection:
        return int(connection.execute(DEFERRED).scalar_one())
