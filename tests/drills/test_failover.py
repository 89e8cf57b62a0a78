"""Two gateways: what the first surely did not take goes through the second, and nobody ever stands in both logs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa

from smsqueue.models import Campaign
from tests.drills.crew import Scene, kinds, numbers, scene
from tests.drills.judging import Findings, Kill, judge, log_lines
from tests.drills.verdicts import check, tell
from tests.outside import Outside, wait_until

CONCURRENCY, WORKERS, RECIPIENTS = 4, 2, 600
OPEN_CALLS = 2 * WORKERS * CONCURRENCY
WORKER_IDS = sa.text("SELECT id FROM workers")
UNKNOWN = sa.text(
    "SELECT r.number FROM sms_recipients r JOIN sms_attempts a ON a.recipient_id = r.id"
    " WHERE a.outcome = 'unknown' AND a.gateway = 'simulated'"
)
DECLARED = """
throttled = { status = [429] }
not_sent = { status = [503], json = "taken", equals = false }
refused = { status = [400] }

[request]
url = "URL/messages"

[request.json]
reference = "{reference}"
to = "{to}"
text = "{text}"
sender = "{from}"
encoding = "gsm-7"
segments = 1
validity_seconds = 60

[accepted]
when = { status = [201], json = "reference", pattern = "." }
reference = "reference"
"""


@dataclass
class Pair:
    """A drill with two gateways, each a simulator of its own; the second is one that an operator declares."""

    drill: Scene
    second: Outside
    folder: Path

    @property
    def first(self) -> Outside:
        """The gateway that is asked first."""
        return self.drill.outside

    def taken(self, outside: Outside) -> int:
        """Count what a gateway has taken."""
        return len(outside.log_lines()) if outside.log.exists() else 0

    def launch(self) -> Campaign:
        """Start workers and a campaign."""
        campaign = self.drill.office.campaign(numbers(RECIPIENTS), slice_rows=50)
        self.drill.crew.start(WORKERS)
        return campaign

    def judge(self, campaign: Campaign, kills: list[Kill]) -> Findings:
        """Judge by both logs together."""
        both = self.folder / "both.log"
        for name in ("simulated.log", "simulated.refused.log"):
            logs = [outside.log.with_name(name) for outside in (self.first, self.second)]
            both.with_name(name.replace("simulated", "both")).write_text(
                "".join(log.read_text() for log in logs if log.exists())
            )
        return judge(both, self.drill.crew.engine, [campaign.id], kills)

    def in_both(self) -> set[str]:
        """List the numbers that stand in both logs."""
        one, other = ({line["to"] for line in log_lines(outside.log)} for outside in (self.first, self.second))
        return one & other


@contextmanager
def pair(folder: Path, url: str, first: dict[str, object]) -> Iterator[Pair]:
    """Set up both gateways and workers that know them."""
    (folder / "second").mkdir()
    with Outside(folder / "second", fates="off", latency_ms=50) as second:
        file = folder / "gateway.toml"
        file.write_text(DECLARED.replace("URL", second.url))
        settings = {
            "SMS_GATEWAY_FALLBACK": "http",
            "HTTP_GATEWAY_FILE": file,
            "HTTP_GATEWAY_PLAIN_HOSTS": "127.0.0.1",
            "SMS_CONCURRENCY": CONCURRENCY,
            "SMS_CONCURRENCY_MAX": CONCURRENCY,
        }
        with scene(folder, url, simulator={"latency_ms": 50, **first}, **settings) as drill:
            yield Pair(drill, second, folder)


def close(pair: Pair, campaign: Campaign, kills: list[Kill], name: str) -> Findings:
    """Wait for the end, and see that both logs and the books are right."""
    wait_until(lambda: pair.drill.office.is_closed(campaign), 180)
    findings, audit = pair.judge(campaign, kills), pair.drill.crew.audit()
    shares = {"first": pair.taken(pair.first), "second": pair.taken(pair.second)}
    bound = findings.silent + len(kills) * OPEN_CALLS
    tell(name, findings, audit[0], bound=bound, seed=pair.drill.seed, in_both=len(pair.in_both()), **shares)
    assert pair.in_both() == set()
    check(findings, audit)
    assert findings.unknown <= bound
    return findings


@pytest.mark.drill
@pytest.mark.parametrize("kind", kinds("postgresql", "sqlite", "mariadb"))
def test_the_second_takes_over_from_a_gateway_that_dies_and_gives_back_when_it_lives(databases, tmp_path, kind):
    with pair(tmp_path, databases.ready(kind), {}) as both:
        campaign = both.launch()
        wait_until(lambda: both.taken(both.first) >= 100, 60)
        kill = lose_first(both)
        before = both.taken(both.first)
        wait_until(lambda: both.taken(both.second) >= 100, 60)
        both.first.start()
        # The first is the one that is preferred: as soon as a probe comes through, it has its share again.
        wait_until(lambda: both.taken(both.first) >= before + 50 or both.drill.office.is_closed(campaign), 60)
        assert both.taken(both.first) >= before + 50
        close(both, campaign, [kill], f"R12 {kind}")
        texts_of_second = {line["to"] for line in both.second.log_lines()}
        with both.drill.crew.engine.connect() as connection:
            assert texts_of_second.isdisjoint(connection.execute(UNKNOWN).scalars())


@pytest.mark.drill
def test_answers_that_are_lost_never_reach_the_second(databases, tmp_path):
    lossy: dict[str, object] = {"p_lost_reply": 0.1, "p_cut": 0.1, "p_500": 0.1}
    with pair(tmp_path, databases.ready("postgresql"), lossy) as both:
        campaign = both.launch()
        wait_until(lambda: both.taken(both.first) >= 150, 60)
        both.first.settings(down=True)
        wait_until(lambda: both.taken(both.second) >= 50, 60)
        both.first.settings(down=False)
        findings = close(both, campaign, [], "R12 lost answers")
        assert findings.unknown > 0
        silent = {line["to"] for line in both.first.refused_lines() if line["fate"] in ("cut", "error")}
        assert silent.isdisjoint({line["to"] for line in both.second.log_lines()})


@pytest.mark.drill
def test_a_gateway_that_asks_for_less_keeps_its_texts(databases, tmp_path):
    with pair(tmp_path, databases.ready("postgresql"), {"p_429": 0.2}) as both:
        campaign = both.launch()
        findings = close(both, campaign, [], "R12 throttled")
        assert findings.unknown == 0
        assert both.taken(both.second) == 0


def lose_first(both: Pair) -> Kill:
    """Kill the first gateway, and say whose calls were open."""
    at = datetime.now(UTC)
    both.first.kill()
    with both.drill.crew.engine.connect() as connection:
        calling = frozenset(connection.execute(WORKER_IDS).scalars())
    return Kill(at, datetime.now(UTC), calling, pid=0, in_window=0)
