"""For tests: run what is in the queue here and now, without processes."""

from collections.abc import Sequence
from typing import Any

from smsqueue.db import Database
from smsqueue.queue.registry import Registry
from smsqueue.queue.stops import Stops
from smsqueue.queue.worker import Ending, Options, Worker


def drain(database: Database, registry: Registry, queues: Sequence[str], **options: Any) -> Ending:
    """Run every job that is ready, in this process, until none is left."""
    worker = Worker(database, registry, Options(queues, memory_mib=0, **options), Stops())
    return worker.run()
