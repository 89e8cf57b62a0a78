"""Storing 100,000 jobs, beside a bare INSERT … SELECT unnest(…) of the same rows into the same table."""

import json
import time
from collections.abc import Callable

import psycopg

from smsqueue.queue.dispatch import enqueue_many
from tests.bench.figures import Run, in_turn, ratios, show_rates, show_ratio
from tests.bench.queue.jobs import SafeJob
from tests.bench.queue.terms import Terms, plain
from tests.bench.stage import Stage

COUNT = 100_000
INSERT = """INSERT INTO jobs (uuid, queue, kind, payload, priority, attempts, available_at, created_at)
    SELECT gen_random_uuid()::text, 'default', 'bench.safe', payload, 0, 0, now.us, now.us
    FROM unnest(%s::text[]) AS payload, (SELECT (extract(epoch FROM now()) * 1000000)::bigint AS us) AS now"""


def measure(terms: Terms) -> dict[str, float | None]:
    """Compare on PostgreSQL; both make the payloads, too."""
    count = terms.of(COUNT)
    print(f"\nStoring {count:,} jobs in one transaction")
    with Stage(terms.server.create()) as stage:
        ours, reference = in_turn(terms.rounds, lambda: _ours(stage, count), lambda: _bare(stage, count))
    show_rates("smsqueue, enqueue_many", ours, "jobs/s")
    show_rates("bare INSERT … SELECT unnest(…)", reference, "jobs/s")
    return {"enqueue_vs_limit": show_ratio("enqueue_vs_limit", ratios(ours, reference), 0.5)}


def _ours(stage: Stage, count: int) -> Run:
    return _timed(
        stage,
        count,
        lambda: stage.database.write(lambda session: enqueue_many(session, (SafeJob(number=n) for n in range(count)))),
    )


def _bare(stage: Stage, count: int) -> Run:
    with psycopg.connect(plain(stage.url), autocommit=True) as connection:
        return _timed(stage, count, lambda: connection.execute(INSERT, (_payloads(count),)))


def _payloads(count: int) -> list[str]:
    return [json.dumps({"kind": "bench.safe", "version": 1, "data": {"number": n}}) for n in range(count)]


def _timed(stage: Stage, count: int, action: Callable[[], object]) -> Run:
    with psycopg.connect(plain(stage.url), autocommit=True) as connection:
        connection.execute("TRUNCATE jobs")
        connection.execute("CHECKPOINT")
    began, cpu = time.perf_counter(), time.process_time()
    action()
    return Run(count, time.perf_counter() - began, time.process_time() - cpu)
