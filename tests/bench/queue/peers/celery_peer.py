"""Celery on Redis, prefork: `… URL COUNT PREFETCH CONCURRENCY`. Results are not kept."""

import json
import os
import resource
import subprocess
import sys
import time

import redis
from celery import Celery

URL = "BENCH_REDIS"
QUEUE, UNACKED = "celery", "unacked"
HURRY = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "CRITICAL")
app = Celery("noop", broker=os.environ.get(URL, "redis://127.0.0.1/"))
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)


@app.task(name="noop")
def noop(number: int) -> None:
    """Do nothing."""


def _now(broker: redis.Redis) -> float:
    seconds, micros = broker.time()
    return float(seconds + micros / 1e6)


def _watch(broker: redis.Redis, count: int) -> float:
    """Return the seconds from the moment when the first job was taken to the one when the last was done."""
    began = 0.0
    while True:
        waiting, held, now = broker.llen(QUEUE), broker.hlen(UNACKED), _now(broker)
        if not began and waiting < count:
            began = now
        if began and not waiting and not held:
            return now - began
        time.sleep(0.005)


def work(url: str, count: int, prefetch: int, concurrency: int) -> dict[str, float]:
    """Fill the queue and have a worker empty it."""
    broker = redis.Redis.from_url(url)
    broker.flushdb()
    app.conf.broker_url = url
    with app.producer_or_acquire() as producer:
        for number in range(count):
            noop.apply_async((number,), producer=producer)
    options = ["--pool", "prefork", "--concurrency", str(concurrency), "--prefetch-multiplier", str(prefetch)]
    command = [sys.executable, "-m", "celery", "-A", __spec__.name, "worker", *options, *HURRY]
    worker = subprocess.Popen(command, env={**os.environ, URL: url}, stdout=subprocess.DEVNULL)
    seconds = _watch(broker, count)
    worker.terminate()
    worker.wait(timeout=30)
    broker.flushdb()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {"count": count, "seconds": seconds, "cpu_seconds": usage.ru_utime + usage.ru_stime}


if __name__ == "__main__":
    print(json.dumps(work(sys.argv[1], *(int(number) for number in sys.argv[2:]))))
