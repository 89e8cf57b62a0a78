"""The heartbeat: a thread with a connection of its own that renews the worker's lease."""

import random
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy.exc import DBAPIError

from smsqueue.db import Database, first_line
from smsqueue.queue import workers
from smsqueue.queue.events import emit

RETRY_SECONDS = 1.0


class Lease:
    """A worker's hold on all its jobs, and what is known of it on this side.

    `words` are told with each beat, and `relieve` is done after it, by the thread that beats.
    """

    def __init__(
        self,
        database: Database,
        worker_id: int,
        lease_seconds: float,
        heartbeat_seconds: float,
        *,
        words: Callable[[], dict[str, Any]] = dict,
        relieve: Callable[[], object] = lambda: None,
    ) -> None:
        self.worker_id = worker_id
        self.seconds = lease_seconds
        self.is_lost = False
        self._database = database
        self._heartbeat_seconds = heartbeat_seconds
        self._words, self._relieve = words, relieve
        self._confirmed = workers.steady()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat_on, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat."""
        self._thread.start()

    def stop(self) -> None:
        """End the beating; the lease then runs out unless the worker signs off."""
        self._over.set()
        self._thread.join(timeout=5)

    def covers(self, seconds: float) -> bool:
        """Say whether something that takes `seconds` and starts now ends while nobody else can take our jobs."""
        return not self.is_lost and workers.steady() - self._confirmed < self.seconds - seconds

    @property
    def is_fresh(self) -> bool:
        """Say whether no two beats are missing: then the lease surely covers a call, and nobody took our jobs."""
        return not self.is_lost and workers.steady() - self._confirmed < 2 * self._heartbeat_seconds

    def beat(self) -> None:
        """Renew the lease once."""
        asked = workers.steady()  # before the question: the answer may take its time
        words = self._words()
        alive = self._database.write(lambda session: workers.beat(session, self.worker_id, self.seconds, **words))
        if alive:
            self._confirmed = asked
        else:
            self.is_lost = True
            emit("worker.lost", worker_id=self.worker_id)

    def _beat_on(self) -> None:
        wait = self._heartbeat_seconds
        while not self._over.wait(wait) and not self.is_lost:
            try:
                self.beat()
                self._relieve()
                wait = self._heartbeat_seconds
            except DBAPIError as error:
                wait = RETRY_SECONDS * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret
                emit("heartbeat.missed", worker_id=self.worker_id, reason=first_line(error))
