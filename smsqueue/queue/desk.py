"""What one worker holds, and the transactions by which it takes jobs, finishes them and gives them back."""

from collections.abc import Callable, Sequence
from itertools import groupby

from sqlalchemy.orm import Session

from smsqueue.db import Database
from smsqueue.queue import claim as claims
from smsqueue.queue import express, workers
from smsqueue.queue.claim import Claim
from smsqueue.queue.events import emit, is_heard
from smsqueue.queue.order import Order


class Desk:
    """The database's side of a worker's jobs. Only the main thread uses it, but for `hand_back`.

    `look_round(session)` comes before each claim, in its transaction, and says whether anything may be claimed;
    `may_hurry()` says so where no look is due.
    """

    def __init__(
        self,
        database: Database,
        order: Order,
        look_round: Callable[[Session], bool],
        may_hurry: Callable[[], bool] = lambda: False,
    ) -> None:
        self.worker_id = 0
        self.finished: list[Claim] = []
        """Done, and to be deleted with the next claim."""
        self._database, self._order, self._look_round, self._may_hurry = database, order, look_round, may_hurry
        self._is_fast = database.engine.dialect.name == "postgresql"

    def exchange(self, limit: int, *, ceiling: int | None = None) -> list[Claim]:
        """Finish what is done, look round, and take up to `limit` jobs, in one transaction."""

        def turn(session: Session) -> list[Claim]:
            self.finish(session)
            if not self._look_round(session) or limit <= 0:
                return []
            return self._order.take(session, self.worker_id, limit, ceiling=ceiling)

        found = self._hurry(limit) if ceiling is None else []
        if not found:
            found = self._database.write(turn)
        self._forget_finished()
        if found:
            emit("jobs.claimed", worker_id=self.worker_id, ids=[held.id for held in found])
        return found

    def _hurry(self, limit: int) -> list[Claim]:
        """Do all by one statement, if this is the common case on PostgreSQL; nothing is claimed when it is not."""
        is_one_batch = len({held.token for held in self.finished}) <= 1
        if not (self._is_fast and is_one_batch and limit > 0 and self._may_hurry()):
            return []
        queues = self._order.straight()
        found = express.exchange(self._database, self.finished, self.worker_id, queues, limit) if queues else []
        if found:
            self._order.note_asked(queues[: queues.index(found[0].queue) + 1])
        return found

    def finish(self, session: Session) -> None:
        """Delete what is done."""
        for _, group in groupby(self.finished, key=lambda held: held.token):
            claims.finish(session, list(group))

    def hand_back(self, many: Sequence[Claim]) -> None:
        """Give back what was not begun."""
        self._database.write(lambda session: hand_back(session, many))

    def take_stock(self, running: Sequence[Claim]) -> None:
        """Give back all but what runs: after an outage nobody knows which claims were committed before it."""
        known = [*self.finished, *running]
        self._database.write(lambda session: claims.hand_back_all(session, self.worker_id, but=known))

    def sign_off(self, waiting: Sequence[Claim], reason: str, jobs_done: int) -> None:
        """Finish what is done, give back what was not begun, and write down why this worker stops."""

        def last_words(session: Session) -> None:
            self.finish(session)
            hand_back(session, waiting)
            workers.sign_off(session, self.worker_id, reason, jobs_done)

        self._database.write(last_words)
        self._forget_finished()

    def _forget_finished(self) -> None:
        if self.finished:
            emit("jobs.finished", worker_id=self.worker_id, count=len(self.finished), kind=self.finished[0].kind)
        for held in self.finished if is_heard("job.batched") else ():
            emit("job.batched", job_id=held.id, kind=held.kind)
        self.finished = []


def hand_back(session: Session, many: Sequence[Claim]) -> None:
    """Free jobs that were not begun; the claims do not count as tries."""
    for _, group in groupby(many, key=lambda held: held.token):
        claims.hand_back(session, list(group))
