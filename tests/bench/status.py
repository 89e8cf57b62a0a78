"""A campaign page's poll while a worker sends, with a million recipients stored."""

import time
from uuid import UUID

from tests.bench import audience
from tests.bench.figures import percentile, say, show_limit
from tests.bench.stage import Server, Stage, until
from tests.bench.visitor import Visitor

RECIPIENTS, ROUNDS, REQUESTS = 1_000_000, 3, 300
LATENCIES = (100, 0)
"""Without latency the worker and the gateway want both cores: the harder case, and the one that counts here."""


def measure(server: Server) -> dict[str, float]:
    """Poll one request after the other, signed in, while a worker sends the campaign."""
    print(f"\nStatus over HTTP, {RECIPIENTS:,} recipients stored, a worker sending, {ROUNDS} × {REQUESTS} requests")
    result = 0.0
    with Stage(server.create()) as stage:
        outside = stage.outside()
        uuid = audience.store(stage, audience.sign_up(stage, credit=RECIPIENTS), RECIPIENTS)
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
