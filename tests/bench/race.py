"""One campaign through a gateway of this machine, beside bare programs that post the same requests to it.

Every rate is recipients by the seconds between the first and the last message in the gateway's own log.
"""

import json
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Protocol

from smsqueue.models import Campaign, Status, User
from tests.bench import audience
from tests.bench.figures import Run, in_turn, say, show_rates
from tests.bench.stage import Stage, until
from tests.outside import ROOT

FAST_LOOKS = ("--sleep=0.1",)


class Gateway(Protocol):
    """A gateway in a process of its own."""

    log: Path

    @property
    def url(self) -> str:
        """Its address."""


@dataclass(frozen=True, slots=True)
class Race:
    """What the runs beside each other share: the same recipients, the same requests, the same number of threads."""

    stage: Stage
    user: User
    gateway: Gateway
    requests: Path
    recipients: int
    threads: int

    @classmethod
    def prepare(
        cls, stage: Stage, user: User, gateway: Gateway, requests: list[dict[str, object]], threads: int
    ) -> "Race":
        """Write down the requests, one for each recipient."""
        file = stage.folder / "requests"
        file.write_text("\n".join(json.dumps(each) for each in requests))
        return cls(stage, user, gateway, file, len(requests), threads)

    def bare(self, name: str = "pool", connections: int = 0) -> Run:
        """Post the requests by a bare program, over so many connections: as many as threads, if nothing is said."""
        taken = Taken(self.gateway.log)
        found = reference(name, self.gateway.url, str(self.requests), str(connections or self.threads))
        return Run(self.recipients, taken.seconds(self.recipients), found["cpu_seconds"])

    def ours(self, workers: int = 1) -> Run:
        """Send one campaign with so many workers, which wait for it already."""
        with ExitStack() as stack:
            programs = [stack.enter_context(self.stage.worker(*FAST_LOOKS)) for _ in range(workers)]
            before = sum(program.cpu_seconds() for program in programs)
            taken = Taken(self.gateway.log)
            campaign = audience.launch(self.stage, self.user, self.recipients)
            until(lambda: self._is_over(campaign.id), programs[0])
            cpu = sum(program.cpu_seconds() for program in programs) - before
        return Run(self.recipients, taken.seconds(self.recipients), cpu)

    def show_gateway(self, rounds: int, connections: int, pool: list[Run]) -> None:
        """Print how fast the gateway is alone: it must not be what is measured."""
        alone = in_turn(rounds, lambda: self.bare("lean", connections))[0]
        show_rates("gateway alone, raw sockets", alone, "texts/s")
        times = median(run.rate for run in alone) / median(run.rate for run in pool)
        say(
            "gateway alone ÷ requests session", f"{times:>9.2f}, wanted ≥ 3: {'enough' if times >= 3 else 'NOT ENOUGH'}"
        )

    def _is_over(self, campaign_id: int) -> bool:
        with self.stage.database.reading() as session:
            campaign = session.get_one(Campaign, campaign_id)
        if campaign.finished_at is None:
            return False
        assert (campaign.status, campaign.sent, campaign.held) == (Status.COMPLETED, self.recipients, 0), (
            campaign.counts
        )
        return True


class Taken:
    """What a gateway's log gains from now on."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._from = log.stat().st_size if log.exists() else 0

    def seconds(self, recipients: int) -> float:
        """Return the time from the first to the last message, of which there must be one for each recipient."""
        times = self.times(recipients)
        return (times[-1] - times[0]).total_seconds()

    def times(self, recipients: int) -> list[datetime]:
        """Return when each message was taken, in order; there must be one for each recipient."""
        with self._log.open("rb") as file:
            file.seek(self._from)
            lines = [json.loads(line) for line in file]
        assert len(lines) == len({line["to"] for line in lines}) == recipients, len(lines)
        return sorted(datetime.fromisoformat(line["time"]) for line in lines)


def reference(name: str, *arguments: str) -> dict[str, float]:
    """Run one of the bare programs and return what it printed."""
    command = [sys.executable, "-m", "tests.bench.references", name, *arguments]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def to_simulator(count: int) -> list[dict[str, object]]:
    """Return what a worker would post to the simulator, for so many recipients."""
    return [_request("/messages", {"Content-Type": "application/json"}, _body(index)) for index in range(count)]


def to_kannel(count: int, username: str, password: str) -> list[dict[str, object]]:
    """Return what a worker would post to Kannel."""
    fixed = {"X-Kannel-Username": username, "X-Kannel-Password": password, "X-Kannel-From": "smsqueue"}
    fixed |= {"X-Kannel-Coding": "0", "X-Kannel-Validity": "240", "Content-Type": "text/plain; charset=UTF-8"}
    return [
        _request("/cgi-bin/sendsms", fixed | {"X-Kannel-To": audience.number(index)}, audience.TEXT)
        for index in range(count)
    ]


def _request(path: str, headers: dict[str, str], body: str) -> dict[str, object]:
    return {"method": "POST", "path": path, "headers": headers, "body": body}


def _body(index: int) -> str:
    values = {
        "reference": f"{index + 1}-1-0123abcd",
        "to": audience.number(index),
        "text": audience.TEXT,
        "sender": "smsqueue",
        "encoding": "gsm-7",
        "segments": 1,
        "validity_seconds": 14_400,
    }
    return json.dumps(values)
