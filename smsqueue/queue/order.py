"""Whose turn it is: strict order of queues and priorities, and nobody waits for ever."""

from collections.abc import Callable, Sequence
from threading import Lock

from sqlalchemy.orm import Session

from smsqueue.queue.claim import LOWEST, Claim, claim_of, is_any_ready, priorities
from smsqueue.queue.control import Controls
from smsqueue.queue.groups import Groups
from smsqueue.queue.lulls import Lulls
from smsqueue.queue.workers import steady

TURN_SECONDS = 2.0
"""A job whose turn came by waiting yields to nobody for so long."""


class Order:
    """The order in which one worker asks its queues; any of its threads may ask.

    Strict, but for one rule: a queue that was not asked for `max_wait_seconds` is asked once, next; and every
    so often a less urgent job of a queue goes first, from each priority in turn. 0 makes the order strict.
    Paused queues are stepped over, and so is, for a while, what could do nothing (`lulls`).
    """

    def __init__(self, queues: Sequence[str], max_wait_seconds: float, clock: Callable[[], float] = steady) -> None:
        self.queues = list(queues)
        self.controls = Controls()
        """What operators ask for; the worker keeps it up to date."""
        self.groups = Groups()
        self.lulls = Lulls(clock)
        self._max_wait = max_wait_seconds
        self._clock = clock
        self._lock = Lock()
        self._asked = dict.fromkeys(queues, clock())
        self._lifted = dict.fromkeys(queues, clock())
        self._last_lifted: dict[str, int] = {}
        self._turns: dict[str, float] = {}
        """Until when claims, by their token, yield to nobody."""

    def take(self, session: Session, worker_id: int, limit: int, *, ceiling: int | None = None) -> list[Claim]:
        """Claim the jobs whose turn it is; with a ceiling, only jobs up to that priority number, in strict order."""
        queues = self._open_queues()
        overdue = [] if ceiling is not None else [q for q in self._overdue(self._asked) if q != queues[0]]
        for queue in (*overdue, *queues):
            if ceiling is not None:
                claims = self._claim(session, worker_id, queue, limit, ceiling=ceiling)
            else:
                claims = self._take_from(session, worker_id, queue, 1 if queue in overdue else limit)
                if claims and queue in overdue:
                    self._begin_turn(claims[0])
            if claims:
                return claims
        return []

    def straight(self) -> list[str]:
        """Name the queues in the order in which they are asked; none, when there is more to think of than that."""
        queues, limit_of = self._open_queues(), self.groups.limit_of
        if self._overdue(self._asked) or self._overdue(self._lifted) or self.lulls.seconds is not None:
            return []
        return [] if limit_of and any(limit_of(queue, "") for queue in queues) else queues

    def note_asked(self, queues: Sequence[str]) -> None:
        """Remember that these queues have been asked just now."""
        for queue in queues:
            self._note(self._asked, queue)

    def should_yield(self, session: Session, held: Claim) -> bool:
        """Say whether something waits that goes before the job in hand."""
        if self._has_turn(held):
            return False
        queues = self._open_queues()
        earlier = queues[: queues.index(held.queue)] if held.queue in queues else []
        for queue in (*earlier, *self._overdue(self._asked)):
            if queue != held.queue and self._is_any_ready(session, queue):
                return True
        if self.controls.pause_of(held.queue):
            return False
        return self._is_any_ready(session, held.queue, ceiling=held.priority - 1)

    def _take_from(self, session: Session, worker_id: int, queue: str, limit: int) -> list[Claim]:
        self._note(self._asked, queue)
        if queue not in self._overdue(self._lifted):
            return self._claim(session, worker_id, queue, limit)
        self._note(self._lifted, queue)
        levels = priorities(session, queue, ceiling=self.lulls.ceiling(queue))
        if not levels:
            return []
        first, *others = levels
        lifted = claim_of(session, worker_id, queue, 1, self._next_to_lift(queue, others), groups=self.groups)
        if not lifted:
            return claim_of(session, worker_id, queue, limit, [first], groups=self.groups)
        self._last_lifted[queue] = lifted[0].priority
        self._begin_turn(lifted[0])
        return lifted

    def _claim(
        self, session: Session, worker_id: int, queue: str, limit: int, *, ceiling: int | None = None
    ) -> list[Claim]:
        levels = priorities(session, queue, ceiling=self.lulls.ceiling(queue, ceiling))
        return claim_of(session, worker_id, queue, limit, levels, groups=self.groups)

    def _is_any_ready(self, session: Session, queue: str, *, ceiling: int | None = None) -> bool:
        levels = priorities(session, queue, ceiling=self.lulls.ceiling(queue, ceiling))
        return is_any_ready(session, queue, levels, self.groups)

    def _next_to_lift(self, queue: str, levels: list[int]) -> list[int]:
        """Put the least urgent first, but begin after the one that was lifted last: each comes in turn."""
        last = self._last_lifted.get(queue, LOWEST + 1)
        return sorted(levels, key=lambda level: (level >= last, -level))

    def _open_queues(self) -> list[str]:
        controls = self.controls
        return [queue for queue in self.queues if not controls.pause_of(queue)]

    def _overdue(self, since: dict[str, float]) -> list[str]:
        if not self._max_wait:
            return []
        now, queues = self._clock(), self._open_queues()
        with self._lock:
            return sorted((q for q in queues if now - since[q] >= self._max_wait), key=since.__getitem__)

    def _note(self, when: dict[str, float], queue: str) -> None:
        with self._lock:
            when[queue] = self._clock()

    def _begin_turn(self, held: Claim) -> None:
        now = self._clock()
        with self._lock:
            self._turns = {token: until for token, until in self._turns.items() if until > now}
            self._turns[held.token] = now + TURN_SECONDS

    def _has_turn(self, held: Claim) -> bool:
        with self._lock:
            return self._turns.get(held.token, 0.0) > self._clock()
