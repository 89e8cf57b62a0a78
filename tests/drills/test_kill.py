"""Workers are killed all the time and a fifth of the answers is lost, and nobody gets a text twice.

`DRILL_SIZE=full` is the full size (10,000 recipients); `DRILL_SEED` repeats a run.
"""

import os
import time
from dataclasses import dataclass

import pytest

from smsqueue.models import Campaign
from tests.domain_fixtures import areas
from tests.drills.crew import Numbers, Scene, scene
from tests.drills.judging import Kill, judge
from tests.drills.verdicts import check, show_kill, tell
from tests.drills.watching import Watch
from tests.outside import rest, wait_until

IS_FULL = os.environ.get("DRILL_SIZE") == "full"
WORKERS, KILL_EVERY_SECONDS = 4, 2.0
CONCURRENCY = 16 if IS_FULL else 4
WINDOW = 2 * CONCURRENCY
SLICE_ROWS = 500 if IS_FULL else 50
TRIES = 50  # killed so often, a slice may lose its usual three without a single answer; giving up has its own tests
LONGEST_SECONDS = 600.0
TROUBLE: dict[str, object] = {"latency_ms": 400, "p_lost_reply": 0.2, "p_500": 0.05, "p_429": 0.05, "fates": "on"}
REFUSED_ONE_IN = 20


@dataclass(frozen=True)
class Form:
    """What the gateway can do about answers that were lost."""

    name: str
    ability: str = ""
    """A setting of the simulator and of the adapter."""
    unknown: int | None = None
    """How many may be unknown in the end; None: as many as answers were lost and windows were killed."""


HOLD = Form("hold")
LOOK_UP = Form("look-up", "SIMULATED_LOOKUP", unknown=0)
IDEMPOTENT = Form("idempotent", "SIMULATED_IDEMPOTENT", unknown=0)
CASES = [(HOLD, "postgresql", 1000), (HOLD, "sqlite", 300), (LOOK_UP, "postgresql", 300)]
CASES += [(IDEMPOTENT, "postgresql", 300)]


@pytest.mark.drill
@pytest.mark.parametrize(("form", "kind", "recipients"), CASES, ids=lambda value: getattr(value, "name", str(value)))
def test_nobody_gets_a_text_twice_though_a_worker_is_killed_every_two_seconds(
    databases, tmp_path, form, kind, recipients
):
    able: dict[str, object] = {form.ability: "yes"} if form.ability else {}
    simulator = TROUBLE | {name.removeprefix("SIMULATED_"): value for name, value in able.items()}
    settings = able | {"SMS_CONCURRENCY": CONCURRENCY, "SMS_WINDOW": WINDOW, "SMS_TRIES": TRIES}
    with scene(tmp_path, databases.ready(kind), simulator=simulator, **settings) as drill:
        print(f"\nkill drill, {form.name}, on {kind}: seed {drill.seed} (DRILL_SEED={drill.seed} repeats it)")
        began = time.monotonic()
        campaign = drill.office.campaign(mixed(10_000 if IS_FULL else recipients), slice_rows=SLICE_ROWS)
        with Watch(drill.crew.engine, campaign.id) as watch:
            kills = kill_until_closed(drill, campaign)
            closed = time.monotonic() - began
            if form.unknown is not None:
                wait_until(lambda: is_cleared_up(drill, campaign), LONGEST_SECONDS)
        seconds = time.monotonic() - began
        findings = judge(drill.outside.log, drill.crew.engine, [campaign.id], kills)
        audit = drill.crew.audit()
    in_the_dark = findings.silent + len(kills) * WINDOW
    bound = in_the_dark if form.unknown is None else form.unknown
    figures = {"seconds": seconds, "cleared_up_seconds": seconds - closed, "idle_in_transaction": watch.idle}
    figures |= {"polls": watch.polls, "untrue_polls": len(watch.untrue)}
    in_window = sum(kill.in_window > 0 for kill in kills)
    about = {"form": form.name, "database": kind, "seed": drill.seed, "recipients": campaign.total}
    tell("kill", findings, audit[0], bound=bound, kills=len(kills), kills_in_window=in_window, **about, **figures)
    check(findings, audit)
    # A look-up that comes after the end finds out who was surely not sent to: credited, for people to send again.
    assert len(findings.not_sent) <= (0 if form is HOLD else in_the_dark)
    assert 0 < findings.refused <= campaign.total // REFUSED_ONE_IN
    assert findings.unknown <= bound
    assert (watch.untrue, watch.idle) == ([], 0)
    assert in_window >= 5


def mixed(count: int) -> Numbers:
    """Make numbers of which every twentieth is refused by the gateway."""
    good = [f"{area}{last:02d}" for area in areas() for last in range(80)]
    bad = [f"{area}{last}" for area in areas() for last in (80, 82, 83)]
    return tuple(bad[n // REFUSED_ONE_IN] if n % REFUSED_ONE_IN == 0 else good[n] for n in range(count))


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
            show_kill(kills[-1], whole=whole)
            if whole:
                running[running.index(victim)] = crew.start()[0]
        assert time.monotonic() < deadline, f"not closed in time: {office.reload(campaign).counts}"
    return kills


def is_cleared_up(drill: Scene, campaign: Campaign) -> bool:
    """Say whether nothing waits and nothing is unknown."""
    counts = drill.office.reload(campaign)
    return counts.finished_at is not None and counts.queued + counts.sending + counts.unknown == 0
