"""Delivery reports as fast as they come, beside an empty view of the same processes; and a page meanwhile."""

import json
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa

from smsqueue.db import table_of
from smsqueue.gateways.callbacks import Address
from smsqueue.models import Attempt, Recipient, State
from tests.bench import audience
from tests.bench.figures import Run, percentile, ratios, say, show_limit, show_rates, show_ratio, timed
from tests.bench.race import reference
from tests.bench.send.kannel import Kannel
from tests.bench.send.terms import SETTINGS, Terms
from tests.bench.stage import Stage, until
from tests.bench.visitor import Visitor

REPORTS, CONNECTIONS, FEWER, LOOKS = 3_000, "16", "5", 100
"""Fewer connections bring about half as many reports a second as the empty view answers."""
SECRET = "benchmark-" + "8f1e2d3c4b5a69788796a5b4c3d2e1f0" * 2
DELIVERED, TYPE = "delivered", 1


def measure(terms: Terms) -> dict[str, float]:
    """Send a campaign through Kannel, then let all its reports come, in as many parts as there are rounds."""
    each, rounds = terms.of(REPORTS), terms.rounds
    print(f"\nDelivery reports, {each:,} a round, {rounds} rounds, two web processes of 12 threads, PostgreSQL")
    with Stage(terms.server.create(), dict(SETTINGS)) as stage, Kannel(stage.folder) as gateway:
        base = {"SMS_CALLBACK_BASE_URL": "https://sms.example.org", "SMS_CALLBACK_SECRET": SECRET}
        stage.settings.update(gateway.settings | base)
        user = audience.sign_up(stage, credit=10 * each * rounds)
        with stage.worker() as worker:
            campaign = audience.launch(stage, user, each * rounds)
            until(lambda: _count(stage, campaign.id, State.SENT) == each * rounds, worker)
        files = _written(stage, campaign.id, each)
        with stage.web("tests.bench.send.empty_view:app"), Visitor(stage.web_url) as visitor:
            return _compare(stage, visitor, campaign.uuid, files, each)


def _compare(stage: Stage, visitor: Visitor, uuid: UUID, files: list[Path], each: int) -> dict[str, float]:
    empty = stage.folder / "empty"
    empty.write_text("\n".join([_line("/empty")] * each))
    views, reports = list[Run](), list[Run]()
    quiet, busy, less = list[float](), list[float](), list[float]()
    for file in files:
        views.append(_ask(stage, empty, each))
        reports.append(_ask(stage, file, each))
    for file in files[: max(1, len(files) // 2)]:  # the same again: copies, which are most of what a retry brings
        quiet.append(_page_p95(visitor, uuid))
        busy.append(_page_p95_while(stage, visitor, uuid, file, CONNECTIONS))
        less.append(_page_p95_while(stage, visitor, uuid, file, FEWER))
    show_rates("an empty view", views, "calls/s")
    show_rates("delivery reports", reports, "calls/s")
    say("the campaign's page, p95", f"{min(quiet):.1f} ms alone, {max(busy):.1f} ms while reports come")
    show_limit("page p95, all the reports that fit", [b / a for a, b in zip(quiet, busy, strict=True)], 2, "×")
    show_limit("page p95, half as many", [b / a for a, b in zip(quiet, less, strict=True)], 2, "×")
    return {"reports_vs_empty_view": show_ratio("reports_vs_empty_view", ratios(reports, views), 0.4)}


def _ask(stage: Stage, file: Path, count: int) -> Run:
    found = reference("lean", stage.web_url, str(file), CONNECTIONS)
    return Run(count, found["seconds"], found["cpu_seconds"])


def _page_p95(visitor: Visitor, uuid: UUID) -> float:
    return percentile([1000 * timed(lambda: visitor.get(f"/sms/campaigns/{uuid}")) for _ in range(LOOKS)], 95)


def _page_p95_while(stage: Stage, visitor: Visitor, uuid: UUID, file: Path, connections: str) -> float:
    program = stage.program("-m", "tests.bench.references", "lean", stage.web_url, str(file), connections)
    times = list[float]()
    while program.process.poll() is None or not times:
        times.append(1000 * timed(lambda: visitor.get(f"/sms/campaigns/{uuid}")))
    program.wait()
    return percentile(times, 95) if len(times) > 1 else times[0]


def _count(stage: Stage, campaign_id: int, state: State) -> int:
    mine = sa.select(sa.func.count()).where(Recipient.campaign_id == campaign_id, Recipient.state == state)
    with stage.database.reading() as session:
        return session.scalar(mine) or 0


def _written(stage: Stage, campaign_id: int, each: int) -> list[Path]:
    """Write down the calls that Kannel would make, each reference's once, in files of so many."""
    attempts, recipients = table_of(Attempt), table_of(Recipient)
    joined = attempts.join(recipients, recipients.c.id == attempts.c.recipient_id)
    mine = sa.select(attempts.c.reference).select_from(joined).where(recipients.c.campaign_id == campaign_id)
    with stage.database.reading() as session:
        found = session.scalars(mine.order_by(attempts.c.id)).all()
    address = Address("", "kannel", SECRET)
    lines = [_line(f"{address.url_with_token(each)}?type={TYPE}&at=1795600000&why=") for each in found]
    files = []
    for start in range(0, len(lines), each):
        files.append(stage.folder / f"reports-{start}")
        files[-1].write_text("\n".join(lines[start : start + each]))
    return files


def _line(path: str) -> str:
    return json.dumps({"method": "GET", "path": path, "headers": {}, "body": ""})
