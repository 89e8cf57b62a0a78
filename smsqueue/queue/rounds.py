"""What a worker does now and then beside its jobs: looking round, counting, chores."""

from collections.abc import Callable, Sequence

from sqlalchemy.orm import Session

from smsqueue.db import Database
from smsqueue.queue import control, history, workers
from smsqueue.queue.control import Controls
from smsqueue.queue.events import emit_once_committed
from smsqueue.queue.history import Tally
from smsqueue.queue.workers import steady

LOOK_SECONDS = 1
HURRY_SECONDS = 10
"""Where a job has just come, dead workers may wait for so long."""
TALLY_SECONDS = 10
CHORES_SECONDS = 60


class Rounds:
    """The worker's clock for all that is not a job. `controls` is what operators wanted when it last looked."""

    def __init__(self, database: Database, queues: Sequence[str], chores: Sequence[Callable[[], None]]) -> None:
        self.controls = Controls()
        self.tally = Tally()
        self._database, self._queues, self._chores = database, queues, chores
        self._looked = self._buried = float("-inf")
        self._flushed = self._chored = steady()

    @property
    def is_time_to_look(self) -> bool:
        """Say whether `look` would look."""
        return steady() - self._looked >= LOOK_SECONDS

    def look(self, session: Session, worker_id: int, *, in_a_hurry: bool) -> bool:
        """At most once a second: does an operator want something, are there dead workers? Say whether it looked."""
        now = steady()
        if now - self._looked < LOOK_SECONDS:
            return False
        self._looked = now
        self.controls = control.read(session)
        if now - self._buried >= (HURRY_SECONDS if in_a_hurry else LOOK_SECONDS):
            self._buried = now
            for dead in workers.bury_expired(session):
                emit_once_committed(session, "worker.buried", worker_id=dead, by=worker_id)
        return True

    def do_chores(self) -> None:
        """Write down every ten seconds what was counted, and do every minute what any worker may do."""
        if steady() - self._flushed >= TALLY_SECONDS:
            self._flushed = steady()
            self.tally.flush(self._database)
        if steady() - self._chored >= CHORES_SECONDS:
            self._chored = steady()
            history.chores(self._database, self._queues)
            for chore in self._chores:
                chore()
