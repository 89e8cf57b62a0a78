"""Whose turn it is: strict order of queues and priorities, and nobody waits for ever."""

from collections.abc import Callable, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.queue.claim import Claim, claim, ready
from smsqueue.queue.dispatch import jobs
from smsqueue.queue.workers import steady

_any_ready = sa.select(sa.literal(1)).where(jobs.c.queue == sa.bindparam("queue"), ready).limit(1)
_more_urgent = _any_ready.where(jobs.c.priority < sa.bindparam("priority", type_=sa.Integer))
_last_priority = sa.select(sa.func.max(jobs.c.priority)).where(jobs.c.queue == sa.bindparam("queue"), ready)


class Order:
    """The order in which one worker asks its queues.

    Strict, but for one rule: a queue that was not asked for `max_wait_seconds` is asked once, next; and every
    so often a queue's least urgent job goes first. 0 makes the order strict.
    """

    def __init__(self, queues: Sequence[str], max_wait_seconds: float, clock: Callable[[], float] = steady) -> None:
        self.queues = list(queues)
        self._max_wait = max_wait_seconds
        self._clock = clock
        self._asked = dict.fromkeys(queues, clock())
        self._lifted = dict.fromkeys(queues, clock())

    def take(self, session: Session, worker_id: int, limit: int) -> list[Claim]:
        """Claim the jobs whose turn it is."""
        overdue = self._overdue(self._asked)
        for queue in (*overdue, *self.queues):
            self._asked[queue] = self._clock()
            claims = self._take_from(session, worker_id, queue, 1 if queue in overdue else limit)
            if claims:
                return claims
        return []

    def should_yield(self, session: Session, held: Claim) -> bool:
        """Say whether something waits that goes before the job in hand."""
        earlier = self.queues[: self.queues.index(held.queue)] if held.queue in self.queues else []
        if any(_has(session, queue) for queue in (*earlier, *self._overdue(self._asked)) if queue != held.queue):
            return True
        urgent = session.execute(_more_urgent, {"queue": held.queue, "priority": held.priority}).first()
        return urgent is not None

    def _take_from(self, session: Session, worker_id: int, queue: str, limit: int) -> list[Claim]:
        if queue in self._overdue(self._lifted):
            self._lifted[queue] = self._clock()
            last = session.execute(_last_priority, {"queue": queue}).scalar()
            return claim(session, worker_id, queue, 1, priority=last) if last is not None else []
        return claim(session, worker_id, queue, limit)

    def _overdue(self, since: dict[str, float]) -> list[str]:
        if not self._max_wait:
            return []
        now = self._clock()
        return sorted((q for q in self.queues if now - since[q] >= self._max_wait), key=since.__getitem__)


def _has(session: Session, queue: str) -> bool:
    return session.execute(_any_ready, {"queue": queue}).first() is not None
