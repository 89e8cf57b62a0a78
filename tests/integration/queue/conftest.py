"""What the tests of the queue engine share."""

from collections.abc import Iterator

import pytest

from smsqueue.db import Database
from tests.integration.queue.kit import Bench


@pytest.fixture
def bench(store: Database) -> Iterator[Bench]:
    """A bench to run small jobs on, on each database in turn."""
    bench = Bench(store)
    stop = bench.listen()
    yield bench
    stop()
