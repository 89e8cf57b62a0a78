"""RQ on Redis, in one process: `… URL COUNT`. Done jobs are not kept; a fork for each job is slower by far."""

import json
import sys
import time

import redis
from rq import Queue, SimpleWorker


def noop(number: int) -> None:
    """Do nothing."""


def _now(broker: redis.Redis) -> float:
    seconds, micros = broker.time()
    return float(seconds + micros / 1e6)


def work(url: str, count: int) -> dict[str, float]:
    """Fill the queue and empty it."""
    from tests.bench.queue.peers import rq_peer  # noqa: PLC0415 - by a name that the job can be found by

    broker = redis.Redis.from_url(url)
    broker.flushdb()
    queue = Queue(connection=broker)
    more = {"result_ttl": 0}
    queue.enqueue_many([Queue.prepare_data(rq_peer.noop, (number,), **more) for number in range(count)])
    worker = SimpleWorker([queue], connection=broker)
    cpu, began = time.process_time(), _now(broker)
    worker.work(burst=True, logging_level="CRITICAL")
    seconds, cpu = _now(broker) - began, time.process_time() - cpu
    assert queue.count == 0, f"{queue.count} are left"
    assert queue.failed_job_registry.count == 0, "some have failed"
    broker.flushdb()
    return {"count": count, "seconds": seconds, "cpu_seconds": cpu}


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], int(sys.argv[2]))))
