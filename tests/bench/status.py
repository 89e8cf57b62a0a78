"""A campaign page's poll while a worker sends, with a million recipients stored."""

import time
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain import campaigns, credits
from smsqueue.models import Campaign, Kind, User
from tests.bench import audience
from tests.bench.figures import percentile, say, show_limit
from tests.bench.stage import Server, Stage, until
from tests.bench.visitor import Visitor

RECIPIENTS, ROUNDS, REQUESTS = 1_000_000, 3, 300
LATENCIES = (100, 0)
"""Without latency the worker and the gateway want both cores: the harder case, and the one that counts here."""
TOKEN = "benchmark"
INSERT = """INSERT INTO sms_recipients
    (campaign_id, row, source_row, number, encoding, segments, price, state, attempts)
    SELECT :campaign, n, n, '+1201' || (2000000 + n), 'gsm-7', 1, 1, 'queued', 0 FROM generate_series(1, :count) AS n"""


def measure(server: Server) -> dict[str, float]:
    """Poll one request after the other, signed in, while a worker sends the campaign."""
    print(f"\nStatus over HTTP, {RECIPIENTS:,} recipients stored, a worker sending, {ROUNDS} × {REQUESTS} requests")
    result = 0.0
    with Stage(server.create()) as stage:
        outside = stage.outside()
        uuid = _campaign(stage, audience.sign_up(stage, credit=RECIPIENTS))
        with stage.web(), Visitor(stage.web_url) as visitor, stage.worker() as worker:
            for latency in LATENCIES:
                outside.settings(latency_ms=latency)
                until(lambda: _sent(visitor, uuid), worker)
                result = _at(visitor, uuid, latency)
    return {"status_1m_p95_ms": result}


def _at(visitor: Visitor, uuid: UUID, latency: int) -> float:
    before, began = _sent(visitor, uuid), time.perf_counter()
    rounds = [[_ask(visitor, uuid) for _ in range(REQUESTS)] for _ in range(ROUNDS)]
    rate = (_sent(visitor, uuid) - before) / (time.perf_counter() - began)
    assert rate > 0, "the worker did not send"
    everything = [value for values in rounds for value in values]
    say(f"gateway latency {latency} ms", f"median {percentile(everything, 50):.1f} ms, {rate:,.0f} texts/s meanwhile")
    return show_limit(f"status_1m_p95_ms at {latency} ms", [percentile(values, 95) for values in rounds], 50, "ms")


def _ask(visitor: Visitor, uuid: UUID) -> float:
    began = time.perf_counter()
    visitor.get(f"/sms/campaigns/{uuid}/status")
    return 1000 * (time.perf_counter() - began)


def _sent(visitor: Visitor, uuid: UUID) -> int:
    sent: int = visitor.get(f"/sms/campaigns/{uuid}/status").json()["counts"]["sent"]
    return sent


def _campaign(stage: Stage, user: User) -> UUID:
    """Store a checked draft of a million recipients, then confirm it as its page does."""

    def draft(session: Session) -> Campaign:
        numbers = {"rows": RECIPIENTS, "checked_rows": RECIPIENTS, "total": RECIPIENTS, "segments": RECIPIENTS}
        campaign = Campaign(
            team_id=user.team_id,
            user_id=user.id,
            kind=Kind.BULK,
            name="A million",
            text=audience.TEXT,
            token=TOKEN,
            checked_at=now(),
            price=RECIPIENTS,
            countries={"US": RECIPIENTS},
            **numbers,
        )
        session.add(campaign)
        session.flush()
        session.execute(sa.text(INSERT), {"campaign": campaign.id, "count": RECIPIENTS})
        return campaign

    campaign = stage.database.write(draft)
    with stage.database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")
    stage.database.write(lambda s: campaigns.launch(s, user.team_id, campaign.uuid, TOKEN, audience.TERMS))
    with stage.database.reading() as session:
        assert credits.held(session, user.team_id) == RECIPIENTS
    return campaign.uuid
