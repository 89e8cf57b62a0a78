"""pgqueuer: `… URL COUNT BATCH CONCURRENCY`, with its own asyncpg driver and uvloop, as its command runs it.

A concurrency of 0 sets no limit.
"""

import json
import logging
import sys
import time
from datetime import timedelta

import asyncpg
import uvloop
from pgqueuer import PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.types import QueueExecutionMode

SPAN = """SELECT extract(epoch FROM max(created) FILTER (WHERE status = 'successful')
    - min(created) FILTER (WHERE status = 'picked'))::float8 FROM pgqueuer_log"""
DONE = "SELECT count(*) FROM pgqueuer_log WHERE status = 'successful'"


async def work(url: str, count: int, batch: int, concurrency: int) -> dict[str, float]:
    """Make the tables, fill the queue, and work until it is empty."""
    connection = await asyncpg.connect(url)
    driver = AsyncpgDriver(connection)
    if not await connection.fetchval("SELECT to_regclass('pgqueuer')"):
        await Queries(driver).install()
    await connection.execute("TRUNCATE pgqueuer, pgqueuer_log, pgqueuer_statistics")
    await Queries(driver).enqueue(["noop"] * count, [b'{"number": 1}'] * count, [0] * count)
    await connection.execute("VACUUM ANALYZE")
    queue = PgQueuer(driver)

    @queue.entrypoint("noop", concurrency_limit=concurrency)
    async def noop(job: Job) -> None:
        """Do no more than the others do, who decode what a job carries."""
        json.loads(job.payload or b"")

    cpu = time.process_time()
    await queue.run(batch_size=batch, mode=QueueExecutionMode.drain, dequeue_timeout=timedelta(seconds=1))
    cpu = time.process_time() - cpu
    connection = await asyncpg.connect(url)
    done, seconds = await connection.fetchval(DONE), await connection.fetchval(SPAN)
    await connection.close()
    assert done == count, f"{done} of {count}"
    return {"count": count, "seconds": seconds, "cpu_seconds": cpu}


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    print(json.dumps(uvloop.run(work(sys.argv[1], *(int(number) for number in sys.argv[2:])))))
