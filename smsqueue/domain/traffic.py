"""What a worker knows of its gateways' breakers and rates, and how many texts it may start through one of them now.

Read again at most once a second, by whichever slice is at work. Where nobody has set a rate and every gateway answers,
nothing else is asked of the database.
"""

from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import ceil
from threading import Lock

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.domain import breaker, pace
from smsqueue.domain.breaker import Standing
from smsqueue.domain.intents import Intent
from smsqueue.domain.journal import Answer
from smsqueue.domain.pace import Bucket
from smsqueue.gateways.base import Deferred
from smsqueue.queue.events import emit_once_committed
from smsqueue.queue.workers import steady

LOOK_SECONDS = 1.0
SHUT_SECONDS = 3.0
"""So often is looked whether a gateway that was shut is open again."""
SOON_SECONDS = 0.25
MEASURED_SECONDS = 3.0
MEASURED_ANSWERS = 30
"""The last answers are those of so many seconds, and so many at least."""
MANY_THROTTLED = 8
THROTTLED_SHARE = 0.5
"""Only where so many of the last answers ask for less does the rate fall: a few are noise, and wait for their time."""


@dataclass(frozen=True, slots=True)
class Pass:
    """What may be started through a gateway now."""

    room: int = 0
    segments: int | None = None
    buckets: tuple[Bucket, ...] = ()
    is_probe: bool = False


@dataclass(frozen=True, slots=True)
class Batch:
    """Answers of a gateway that came together."""

    at: float
    answers: int
    segments: int
    throttled: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What a slice would like to start: so many recipients, from a sender, so far ahead of the clock.

    `free` calls would begin at once: where there is a rate, not much more is started, or it would be counted now and
    called later, when others are.
    """

    room: int
    free: int
    sender: str
    ahead_seconds: float


class Traffic:
    """One worker's view; several slices of it may ask at once."""

    def __init__(
        self, limits: Mapping[str, float | None], *, sender_limit: float = 0, call_seconds: float = 25
    ) -> None:
        self._limits = {name: limit if limit and limit < pace.NO_LIMIT else None for name, limit in limits.items()}
        self._sender_limit = sender_limit
        self._call = timedelta(seconds=call_seconds)
        self._standings: dict[str, Standing] = {}
        self._lowered: Collection[str] = ()
        """Names of rates that throttling has lowered."""
        self._looked = float("-inf")
        self._dry: dict[tuple[str, float], float] = {}
        """Until when, by our own clock, a gateway's tokens are used up for those who may be so far ahead."""
        self._recent: dict[str, deque[Batch]] = defaultdict(deque)
        self._lock = Lock()

    def look(self, session: Session) -> None:
        """Learn how the gateways stand, if the last look is some time ago."""
        if steady() - self._looked < LOOK_SECONDS:
            return
        self._looked = steady()
        self._standings = breaker.read(session)
        self._lowered = set(session.scalars(sa.select(pace.rates.c.name).where(pace.rates.c.throttled_at.isnot(None))))

    def standing(self, name: str) -> Standing:
        """Return how a gateway stood at the last look."""
        return self._standings.get(name) or Standing(name)

    def is_usable(self, name: str, now: datetime) -> bool:
        """Say whether texts may go through a gateway of ours, be it one as a probe."""
        return name in self._limits and self.standing(name).is_usable(now)

    @property
    def open_gateways(self) -> frozenset[str]:
        """Gateways whose breaker is open: what waits for them waits for nothing else."""
        return frozenset(name for name, standing in self._standings.items() if standing.opened_at)

    def note(self, session: Session, answers: Sequence[Answer], now: datetime) -> None:
        """Learn from answers: who cannot be reached, who asks for less."""
        for name in {answer.intent.gateway for answer in answers}:
            mine = [answer for answer in answers if answer.intent.gateway == name]
            if breaker.note(session, self.standing(name), mine, now):
                self._looked = float("-inf")
                self.look(session)
            self._measure(session, name, mine)

    def let_in(self, session: Session, gateway: str, wish: Wish, now: datetime) -> Pass:
        """Say how much may be started through a gateway; what is limited is locked until the transaction ends."""
        if steady() < self._dry.get((gateway, wish.ahead_seconds), 0.0):
            return Pass()
        found = Pass(wish.room)
        if self.standing(gateway).opened_at:
            if not breaker.claim_probe(session, gateway, now, now + self._call):
                return Pass()
            found = Pass(1, is_probe=True)
        limits = self._rates(gateway, wish.sender)
        buckets = tuple(pace.ask(session, limits)) if limits else ()
        if not buckets:
            return found
        free = min(bucket.free(wish.ahead_seconds) for bucket in buckets)
        if not free:
            wait = max(bucket.wait_seconds(wish.ahead_seconds) for bucket in buckets)
            self._dry[gateway, wish.ahead_seconds] = steady() + wait
        soon = ceil(min(bucket.per_second for bucket in buckets) * SOON_SECONDS)
        room = min(found.room, wish.free + soon) if free else 0
        return replace(found, room=room, segments=free, buckets=buckets)

    def let_out(self, session: Session, gateway: str, granted: Pass, began: Sequence[Intent], now: datetime) -> None:
        """Take what was really started."""
        pace.take(session, granted.buckets, sum(intent.outgoing.segments for intent in began))
        if granted.is_probe and not began:
            breaker.give_back_probe(session, gateway, now)

    def wait_seconds(self, gateways: Collection[str], ahead_seconds: float, now: datetime) -> float:
        """How long until one of these gateways may be worth another try; 0: at once."""
        return min((self._wait(name, ahead_seconds, now) for name in gateways), default=SHUT_SECONDS)

    def why(self, gateways: Collection[str]) -> str:
        """Say why nothing goes through any of these gateways now."""
        told = [words for name in gateways if (words := self.standing(name).words)]
        return told[0] if told else "the gateway's rate is used up for the moment"

    def _wait(self, name: str, ahead_seconds: float, now: datetime) -> float:
        standing = self.standing(name)
        if not standing.is_usable(now):
            probe_at = standing.probe_at if standing.paused_at is None else None
            return min(SHUT_SECONDS, max(0.05, (probe_at - now).total_seconds())) if probe_at else SHUT_SECONDS
        return max(0.0, self._dry.get((name, ahead_seconds), 0.0) - steady())

    def _rates(self, gateway: str, sender: str) -> dict[str, float | None]:
        """Name the rates that hold for a gateway and a sender, each with what the settings say."""
        of_gateway, of_sender = rate_of(gateway), f"sender:{gateway}:{sender}"[:60]
        found: dict[str, float | None] = {}
        if self._limits.get(gateway) or of_gateway in self._lowered:
            found[of_gateway] = self._limits.get(gateway)
        if self._sender_limit:
            found[of_sender] = self._sender_limit
        return found

    def _measure(self, session: Session, name: str, answers: Sequence[Answer]) -> None:
        """Slow a gateway down where many of its last answers ask for that."""
        now, throttled = steady(), [pause for answer in answers if (pause := _pause(answer)) is not None]
        segments = sum(answer.intent.outgoing.segments for answer in answers)
        with self._lock:
            recent = self._recent[name]
            recent.append(Batch(now, len(answers), segments, len(throttled)))
            _forget_the_old(recent, now)
            if not throttled or not _is_too_fast(recent):
                return
            measured = sum(batch.segments for batch in recent) / max(1.0, now - recent[0].at)
            recent.clear()
        limit = self._limits.get(name)
        rate = pace.slow_down(session, rate_of(name), limit, measured=measured, pause_seconds=max(throttled))
        if rate is not None:
            self._looked = float("-inf")
            emit_once_committed(session, "gateway.throttled", gateway=name, per_second=round(rate, 2))


def rate_of(gateway: str) -> str:
    """Name the row of a gateway's rate."""
    return f"gateway:{gateway}"


def _pause(answer: Answer) -> float | None:
    """Return for how long an answer asks us to wait, if it says that we are too fast."""
    outcome = answer.outcome
    return outcome.after_seconds if isinstance(outcome, Deferred) and outcome.cause == "throttled" else None


def _forget_the_old(recent: deque[Batch], now: float) -> None:
    left = sum(batch.answers for batch in recent)
    while recent[0].at < now - MEASURED_SECONDS and left - recent[0].answers >= MEASURED_ANSWERS:
        left -= recent.popleft().answers


def _is_too_fast(recent: Collection[Batch]) -> bool:
    throttled = sum(batch.throttled for batch in recent)
    return throttled >= MANY_THROTTLED and throttled >= THROTTLED_SHARE * sum(batch.answers for batch in recent)
