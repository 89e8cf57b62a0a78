"""A worker as `flask sms work` starts it, parent and child with logs and all, for jobs that do nothing."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path

from smsqueue.db import Database, build_engine
from smsqueue.observe import logs
from smsqueue.queue.job import Job, Policy
from smsqueue.queue.link import PIPES, ParentLink
from smsqueue.queue.registry import Registry
from smsqueue.queue.runner import Run
from smsqueue.queue.stops import Stops
from smsqueue.queue.supervisor import Supervisor
from smsqueue.queue.worker import Options, Worker


@dataclass(frozen=True, kw_only=True)
class NoopJob(Job):
    """Nothing; repeating it does no harm."""

    kind, policy = "bench.noop", Policy(repeatable=True)
    number: int


def do_nothing(_job: NoopJob, _run: Run) -> None:
    """Do nothing."""


def main() -> int:
    """Work until no job is left."""
    database = Database(build_engine(os.environ["DATABASE_URL"]))
    registry, stops = Registry(), Stops()
    registry.register(NoopJob, do_nothing)
    stops.install()
    pipes = os.environ.pop(PIPES, None)
    if pipes is None:
        command = [sys.executable, "-m", "tests.bench.noop_worker"]
        return Supervisor(command, database, registry, grace=10, stops=stops).run()
    link = ParentLink(pipes)
    stops.watch(link.lifeline)
    logs.start("text", Path(os.environ["SMS_INSTANCE"]) / "sms.log")
    worker = Worker(database, registry, Options(["default"]), stops, link=link)
    return worker.run().code


if __name__ == "__main__":
    raise SystemExit(main())
