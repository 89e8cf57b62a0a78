"""A campaign of 5,000 through the simulated gateway, beside a bare `requests` pool that posts the same bodies.

Every rate is recipients by the seconds between the first and the last message in the gateway's own log.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import median

from smsqueue.models import Campaign, Status, User
from tests.bench import audience
from tests.bench.figures import Run, in_turn, ratios, say, show_rates, show_ratio
from tests.bench.stage import Server, Stage, until
from tests.outside import ROOT, Outside

RECIPIENTS, THREADS, ROUNDS = 5_000, 16, 3
LEAN_CONNECTIONS = {0: 16, 100: 192}
"""At 100 ms the gateway alone is asked over so many connections that their number is not what limits it."""
FAST_LOOKS = ("--sleep=0.1",)


@dataclass(frozen=True, slots=True)
class Scene:
    """What the runs of this part share."""

    stage: Stage
    user: User
    outside: Outside
    bodies: Path


def measure(server: Server) -> dict[str, float]:
    """Compare without latency and at 100 ms, there with two workers too."""
    print(f"\nCampaign of {RECIPIENTS:,}, {THREADS} threads in a worker, {ROUNDS} rounds")
    with Stage(server.create(), {"SMS_CONCURRENCY": str(THREADS)}) as stage:
        user = audience.sign_up(stage, credit=30 * RECIPIENTS)
        scene = Scene(stage, user, stage.outside(), stage.folder / "bodies")
        scene.bodies.write_bytes(b"\n".join(_body(index) for index in range(RECIPIENTS)))
        return _at(scene, 0, 0.75) | _at(scene, 100, 0.8)


def _at(scene: Scene, latency: int, wanted: float) -> dict[str, float]:
    scene.outside.settings(latency_ms=latency)
    print(f" gateway latency {latency} ms")
    names = ["bare requests session", "smsqueue, 1 worker"]
    runs: list[Callable[[], Run]] = [partial(_reference, scene, "pool", THREADS), partial(_workers, scene, 1)]
    if latency:
        names.append("smsqueue, 2 workers")
        runs.append(partial(_workers, scene, 2))
    pool, one, *two = found = in_turn(ROUNDS, *runs)
    for name, each in zip(names, found, strict=True):
        show_rates(name, each, "texts/s")
    _show_gateway(scene, latency, pool)
    key = f"campaign_vs_requests_{latency}ms"
    result = {key: show_ratio(key, ratios(one, pool), wanted)}
    if two:
        result["two_workers_100ms"] = show_ratio("two_workers_100ms", ratios(two[0], one), 1.6)
    return result


def _show_gateway(scene: Scene, latency: int, pool: list[Run]) -> None:
    alone = in_turn(ROUNDS, partial(_reference, scene, "lean", LEAN_CONNECTIONS[latency]))[0]
    show_rates("gateway alone, raw sockets", alone, "texts/s")
    times = median(run.rate for run in alone) / median(run.rate for run in pool)
    say("gateway alone ÷ requests session", f"{times:>9.2f}, wanted ≥ 3: {'enough' if times >= 3 else 'NOT ENOUGH'}")


def _reference(scene: Scene, name: str, connections: int) -> Run:
    taken = _Taken(scene.outside)
    arguments = [name, scene.outside.url, str(scene.bodies), str(connections)]
    command = [sys.executable, "-m", "tests.bench.references", *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return Run(RECIPIENTS, taken.seconds(), json.loads(done.stdout)["cpu_seconds"])


def _workers(scene: Scene, count: int) -> Run:
    """Send one campaign with so many workers that wait for it already."""
    with ExitStack() as stack:
        programs = [stack.enter_context(scene.stage.worker(*FAST_LOOKS)) for _ in range(count)]
        before = sum(program.cpu_seconds() for program in programs)
        taken = _Taken(scene.outside)
        campaign = audience.launch(scene.stage, scene.user, RECIPIENTS)
        until(lambda: _is_over(scene.stage, campaign.id), programs[0])
        cpu = sum(program.cpu_seconds() for program in programs) - before
    return Run(RECIPIENTS, taken.seconds(), cpu)


def _is_over(stage: Stage, campaign_id: int) -> bool:
    with stage.database.reading() as session:
        campaign = session.get_one(Campaign, campaign_id)
    if campaign.finished_at is None:
        return False
    assert (campaign.status, campaign.sent, campaign.held) == (Status.COMPLETED, RECIPIENTS, 0), campaign.counts
    return True


class _Taken:
    """What the gateway's log gains from now on."""

    def __init__(self, outside: Outside) -> None:
        self._log = outside.log
        self._from = self._log.stat().st_size if self._log.exists() else 0

    def seconds(self) -> float:
        """Return the time from the first to the last message, of which there must be one for each recipient."""
        with self._log.open("rb") as file:
            file.seek(self._from)
            lines = [json.loads(line) for line in file]
        assert len(lines) == len({line["to"] for line in lines}) == RECIPIENTS, len(lines)
        times = sorted(datetime.fromisoformat(line["time"]) for line in lines)
        return (times[-1] - times[0]).total_seconds()


def _body(index: int) -> bytes:
    """Return what a worker would post for a recipient."""
    values = {
        "reference": f"{index + 1}-1-0123abcd",
        "to": audience.number(index),
        "text": audience.TEXT,
        "sender": "smsqueue",
        "encoding": "gsm-7",
        "segments": 1,
        "validity_seconds": 14_400,
    }
    return json.dumps(values).encode()
