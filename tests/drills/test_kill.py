"""Workers are killed all the time and a fifth of the answers is lost, and nobody gets a text twice.

`DRILL_SIZE=full` is the full size (10,000 recipients); `DRILL_SEED` repeats a run.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from smsqueue.models import Campaign
from tests.domain_fixtures import areas
from tests.drills.crew import IS_FULL, Numbers, Scene, open_calls, scene
from tests.drills.judging import Kill, judge, taken_but_unknown
from tests.drills.verdicts import check, show_kill, tell
from tests.drills.watching import Watch
from tests.kannel import free_ports
from tests.outside import rest, wait_until
from tests.processes import Process

WORKERS, KILL_EVERY_SECONDS = 4, 2.0
CONCURRENCY = 16 if IS_FULL else 4
WINDOW = 2 * CONCURRENCY
SLICE_ROWS = 500 if IS_FULL else 50
TRIES = 50  # killed so often, a slice may lose its usual three without a single answer; giving up has its own tests
LONGEST_SECONDS = 1500.0 if IS_FULL else 500.0
TROUBLE: dict[str, object] = {"p_lost_reply": 0.2, "p_500": 0.05, "p_429": 0.05}
SIMULATOR: dict[str, object] = {"latency_ms": 400, "fates": "on", "report_delay_ms": 500, **TROUBLE}
REPORTS: dict[str, object] = {"p_report_lost": 0.1, "p_report_twice": 0.1, "p_report_swapped": 0.1}
REFUSED_ONE_IN = 20
SECRET = "of-no-use-anywhere-else-" * 2


@dataclass(frozen=True)
class Form:
    """What the gateway can do about answers that were lost."""

    name: str
    ability: str = ""
    """A setting of the simulator and of the adapter."""
    is_cleared_up: bool = True
    """Nobody stays unknown; else as many may as answers were lost and windows were killed."""

    @property
    def settings(self) -> dict[str, object]:
        """What the workers and the simulator are told."""
        return {self.ability: "yes"} if self.ability else {}


HOLD = Form("hold", is_cleared_up=False)
REPORTED = Form("reports", is_cleared_up=False)
LOOK_UP = Form("look-up", "SIMULATED_LOOKUP")
IDEMPOTENT = Form("idempotent", "SIMULATED_IDEMPOTENT")
CASES = [(HOLD, "postgresql", 1000), (HOLD, "sqlite", 300), (REPORTED, "postgresql", 300)]
CASES += [(LOOK_UP, "postgresql", 300), (IDEMPOTENT, "postgresql", 300)]


@pytest.mark.drill
@pytest.mark.parametrize(("form", "kind", "recipients"), CASES, ids=lambda value: getattr(value, "name", str(value)))
def test_nobody_gets_a_text_twice_though_a_worker_is_killed_every_two_seconds(
    databases, tmp_path, form, kind, recipients
):
    simulator = SIMULATOR | {name.removeprefix("SIMULATED_"): value for name, value in form.settings.items()}
    settings = form.settings | open_calls(CONCURRENCY) | {"SMS_TRIES": TRIES, "SMS_CALLBACK_SECRET": SECRET}
    with scene(tmp_path, databases.ready(kind), simulator=simulator, **settings) as drill, reports(drill, form):
        print(f"\nkill drill, {form.name}, on {kind}: seed {drill.seed} (DRILL_SEED={drill.seed} repeats it)")
        began = time.monotonic()
        campaign = drill.office.campaign(mixed(10_000 if IS_FULL else recipients), slice_rows=SLICE_ROWS)
        with Watch(drill.crew.engine, campaign.id) as watch:
            kills = kill_until_closed(drill, campaign)
            closed = time.monotonic() - began
            clear_up(drill, form, campaign)
        seconds = time.monotonic() - began
        findings = judge(drill.outside.log, drill.crew.engine, [campaign.id], kills)
        in_the_dark = findings.silent + len(kills) * WINDOW
        figures = {"seconds": seconds, "cleared_up_seconds": seconds - closed, "idle_in_transaction": watch.idle}
        figures |= {"polls": watch.polls, "untrue_polls": len(watch.untrue), **reported(drill, campaign)}
        audit = drill.crew.audit()
    in_window = sum(kill.in_window > 0 for kill in kills)
    bound = 0 if form.is_cleared_up else in_the_dark
    about = {"form": form.name, "database": kind, "seed": drill.seed, "recipients": campaign.total}
    tell("kill", findings, audit[0], bound=bound, kills=len(kills), kills_in_window=in_window, **about, **figures)
    check(findings, audit)
    # A look-up that comes after the end finds out who was surely not sent to: credited, for people to send again.
    assert len(findings.not_sent) <= (in_the_dark if form.is_cleared_up else 0)
    assert 0 < findings.refused <= campaign.total // REFUSED_ONE_IN
    assert findings.unknown <= bound
    assert (watch.untrue, watch.idle) == ([], 0)
    assert in_window >= recipients // 200 + 1, "hardly anybody died at work"


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


@contextmanager
def reports(drill: Scene, form: Form) -> Iterator[None]:
    """Let a web process take delivery reports, of which some are lost, doubled or swapped; only if the form says so."""
    if form is not REPORTED:
        yield
        return
    (port,) = free_ports(1)
    bind = ("--bind", f"127.0.0.1:{port}", "--threads", "4", "--no-control-socket")
    mine = ("DATABASE_", "SMS_", "SIMULATED_")
    known = {name: value for name, value in drill.crew.environ.items() if name.startswith(mine)}
    base = f"http://127.0.0.1:{port}"
    with Process("-m", "gunicorn", "wsgi:app", *bind, **known, SMS_CALLBACK_BASE_URL=base) as web:
        web.wait_for("Booting worker", 60)
        url = f"{base}/callbacks/simulated/report"
        drill.outside.settings(callback_url=url, callback_secret=SECRET, **REPORTS)
        yield


def clear_up(drill: Scene, form: Form, campaign: Campaign) -> None:
    """Wait until nothing is unknown that can be found out; where a few dice decide, the gateway gets well for it."""
    if IS_FULL and form.is_cleared_up:
        wait_until(lambda: drill.office.reload(campaign).unknown <= campaign.total // 1000, LONGEST_SECONDS)
    if form.is_cleared_up or not IS_FULL:
        drill.outside.settings(**dict.fromkeys(TROUBLE, 0))
    if form.is_cleared_up:
        wait_until(lambda: is_cleared_up(drill, campaign), LONGEST_SECONDS)
    if form is REPORTED:
        few = campaign.total // 50  # of a text both reports may be lost
        wait_until(lambda: reported(drill, campaign)["unknown_though_taken"] <= few, LONGEST_SECONDS)


def is_cleared_up(drill: Scene, campaign: Campaign) -> bool:
    """Say whether nothing waits and nothing is unknown."""
    counts = drill.office.reload(campaign)
    return counts.finished_at is not None and counts.queued + counts.sending + counts.unknown == 0


def reported(drill: Scene, campaign: Campaign) -> dict[str, int]:
    """Count who was delivered to, and who is unknown although the gateway took the text."""
    unknown = taken_but_unknown(drill.outside.log, drill.crew.engine, campaign.id)
    return {"delivered": drill.office.reload(campaign).delivered, "unknown_though_taken": unknown}
