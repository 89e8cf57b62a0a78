"""What a worker knows of its gateways' breakers and rates, and how many texts it may start through one of them now.

Read again at most once a second, by whichever slice is at work. Where nobody has set a rate and every gateway answers,
nothing else is asked of the database.
"""

import random
from collections import defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from math import ceil
from threading import Lock

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import after_commit
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
LONGEST_MEASURED_SECONDS = 30.0
"""The last answers are those of so many seconds, and so many at least, unless they are older than that."""
GATHERED_SECONDS = 0.25
"""Answers that are noted together have come within so long."""
LONGEST_DRY_SECONDS = 10.0
"""What the rate of a gateway owes is looked at again after so long: somebody may have raised it."""
LOOKS_PER_SECOND = 10
LONGEST_PUT_OFF_SECONDS = 27.0
"""Slices that are put off since they cannot go are looked at again so often, all in all, or after so long."""
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

    `free` calls would begin at once; less than 0: so many wait already. Where there is a rate, not much more is
    started, or it would be counted now and called later, when others are.
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
        self._full: dict[tuple[str, float], float] = {}
        """Until when, likewise, it is no use to look again, since enough calls wait for a thread."""
        self._booked: dict[tuple[frozenset[str], float], float] = {}
        """Up to when there are slices enough that will look for some gateways."""
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
        for name in sorted({answer.intent.gateway for answer in answers}):
            mine = [answer for answer in answers if answer.intent.gateway == name]
            if breaker.note(session, self.standing(name), mine, now):
                self._looked = float("-inf")
                self.look(session)
                self._looked = float("-inf")  # what was seen is not committed, and may never be
            self._measure(session, name, mine)

    def let_in(self, session: Session, gateway: str, wish: Wish, now: datetime) -> Pass:
        """Say how much may be started through a gateway; what is limited is locked until the transaction ends."""
        if steady() < self._dry.get((gateway, wish.ahead_seconds), 0.0):
            return Pass()
        is_probe = self.standing(gateway).opened_at is not None
        if is_probe and not breaker.claim_probe(session, gateway, now, now + self._call):
            return Pass()
        granted = self._admit(session, gateway, replace(wish, room=1) if is_probe else wish)
        if is_probe and not granted.room:
            breaker.give_back_probe(session, gateway, now)
        return replace(granted, is_probe=is_probe)

    def _admit(self, session: Session, gateway: str, wish: Wish) -> Pass:
        limits = self._rates(gateway, wish.sender)
        buckets = tuple(pace.ask(session, limits)) if limits else ()
        if not buckets:
            return Pass(wish.room)
        free = min(bucket.free(wish.ahead_seconds) for bucket in buckets)
        if not free:
            wait = max(bucket.wait_seconds(wish.ahead_seconds) for bucket in buckets)
            self._dry[gateway, wish.ahead_seconds] = steady() + min(wait, LONGEST_DRY_SECONDS)
        soon = ceil(min(bucket.per_second for bucket in buckets) * SOON_SECONDS)
        soon += wish.ahead_seconds > pace.BULK_AHEAD_SECONDS  # bulk that waits for a thread leaves a place to codes
        room = max(0, min(wish.room, wish.free + soon))
        if not room:
            self._full[gateway, wish.ahead_seconds] = steady() + SOON_SECONDS
        return Pass(room if free else 0, segments=free, buckets=buckets)

    def let_out(self, session: Session, gateway: str, granted: Pass, began: Sequence[Intent], now: datetime) -> None:
        """Take what was really started."""
        pace.take(session, granted.buckets, sum(intent.outgoing.segments for intent in began))
        if granted.is_probe and not began:
            breaker.give_back_probe(session, gateway, now)

    def wait_seconds(self, gateways: Collection[str], ahead_seconds: float, now: datetime) -> float:
        """How long until one of these gateways may be worth another try; 0: at once."""
        return min((self._wait(name, ahead_seconds, now) for name in gateways), default=SHUT_SECONDS)

    def put_off_seconds(self, gateways: Collection[str], ahead_seconds: float, wait: float) -> float:
        """Say for how long to put off a slice that waits for these: the longer, the more of them there are."""
        of = frozenset(gateways), ahead_seconds
        with self._lock:
            now = steady()
            booked = max(self._booked.get(of, now), now) + 1 / LOOKS_PER_SECOND
            self._booked[of] = min(booked, now + LONGEST_PUT_OFF_SECONDS)
            longest = max(wait, self._booked[of] - now)
        return wait + longest * random.uniform(0.5, 1)  # noqa: S311 - so that not all wake at once, no secret

    def why(self, gateways: Collection[str]) -> str:
        """Say why nothing goes through any of these gateways now."""
        told = [words for name in gateways if (words := self.standing(name).words)]
        return told[0] if told else "the gateway's rate is used up for the moment"

    def _wait(self, name: str, ahead_seconds: float, now: datetime) -> float:
        standing = self.standing(name)
        if not standing.is_usable(now):
            probe_at = standing.probe_at if standing.paused_at is None else None
            return min(SHUT_SECONDS, max(0.05, (probe_at - now).total_seconds())) if probe_at else SHUT_SECONDS
        of = name, ahead_seconds
        return max(0.0, max(self._dry.get(of, 0.0), self._full.get(of, 0.0)) - steady())

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
        batch = Batch(now, len(answers), segments, len(throttled))
        with self._lock:
            recent = _with(self._recent[name], batch) if throttled else ()
        is_over = _is_too_fast(recent)
        after_commit(session, partial(self._keep, name, batch, is_over=is_over))
        if not is_over:
            return
        facts = {"measured": _speed(recent, now), "pause_seconds": max(throttled)}
        rate = pace.slow_down(session, rate_of(name), self._limits.get(name), **facts)
        if rate is not None:
            self._looked = float("-inf")
            emit_once_committed(session, "gateway.throttled", gateway=name, per_second=round(rate, 2))

    def _keep(self, name: str, batch: Batch, *, is_over: bool) -> None:
        """Remember answers once they are on disk; after a slow-down it is measured anew."""
        with self._lock:
            self._recent[name] = deque() if is_over else _with(self._recent[name], batch)


def rate_of(gateway: str) -> str:
    """Name the row of a gateway's rate."""
    return f"gateway:{gateway}"


def _pause(answer: Answer) -> float | None:
    """Return for how long an answer asks us to wait, if it says that we are too fast."""
    outcome = answer.outcome
    return outcome.after_seconds if isinstance(outcome, Deferred) and outcome.cause == "throttled" else None


def _with(earlier: Collection[Batch], batch: Batch) -> deque[Batch]:
    """Return the last answers when these have come: what is too old is no longer among them."""
    recent = deque([*earlier, batch])
    left = sum(each.answers for each in recent)
    while (age := batch.at - recent[0].at) > MEASURED_SECONDS:
        if age <= LONGEST_MEASURED_SECONDS and left - recent[0].answers < MEASURED_ANSWERS:
            break
        left -= recent.popleft().answers
    return recent


def _speed(recent: Collection[Batch], now: float) -> float:
    """How many segments a second have gone lately."""
    lately = [batch for batch in recent if batch.at >= now - MEASURED_SECONDS]
    return sum(batch.segments for batch in lately) / (now - lately[0].at + GATHERED_SECONDS)


def _is_too_fast(recent: Collection[Batch]) -> bool:
    throttled = sum(batch.throttled for batch in recent)
    return throttled >= MANY_THROTTLED and throttled >= THROTTLED_SHARE * sum(batch.answers for batch in recent)
