"""procrastinate: `… URL COUNT CONCURRENCY never|always`; `always` deletes each job as soon as it is done."""

import asyncio
import json
import logging
import sys
import time
from typing import Any

import procrastinate
import psycopg

SPAN = """SELECT extract(epoch FROM max(at) FILTER (WHERE type = 'succeeded')
    - min(at) FILTER (WHERE type = 'started'))::float8 FROM procrastinate_events"""
CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"
LEFT = "SELECT count(*) FROM procrastinate_jobs WHERE status <> 'succeeded'"


def _ask(url: str, statement: str) -> Any:
    with psycopg.connect(url, autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
        return row[0] if row else None


async def work(url: str, count: int, concurrency: int, delete_jobs: str) -> dict[str, float]:
    """Make the tables, fill the queue, and work until it is empty."""
    app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=url))

    @app.task(name="noop")
    async def noop(number: int) -> None:
        """Do nothing."""

    async with app.open_async():
        if not _ask(url, "SELECT to_regclass('procrastinate_jobs')"):
            await app.schema_manager.apply_schema_async()
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("TRUNCATE procrastinate_jobs CASCADE")
        await noop.batch_defer_async(*({"number": number} for number in range(count)))
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
        cpu, began = time.process_time(), _ask(url, CLOCK)
        await app.run_worker_async(wait=False, concurrency=concurrency, delete_jobs=delete_jobs)
        ended = _ask(url, CLOCK)
        cpu = time.process_time() - cpu
    assert _ask(url, LEFT) == 0, "not all are done"
    # Deleted jobs take their events along: then the worker's start and end must do.
    seconds = ended - began if delete_jobs == "always" else _ask(url, SPAN)
    return {"count": count, "seconds": seconds, "cpu_seconds": cpu}


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    print(json.dumps(asyncio.run(work(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))))
