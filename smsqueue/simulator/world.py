"""What the outside world remembers, and how it decides what becomes of a message."""

import random
import time
import uuid
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from smsqueue.simulator import fates
from smsqueue.simulator.fates import Answer, Fate
from smsqueue.simulator.messages import Message
from smsqueue.simulator.options import Options

SHOWN = 200


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that was taken: what a repeated call and a look-up are answered from."""

    id: str
    segments: int
    at: float


@dataclass(frozen=True, slots=True)
class Text:
    """A text on somebody's phone, as the page shows it."""

    message: Message
    time: datetime
    fate: str
    ends: str
    due: float

    @property
    def state(self) -> str:
        """Sent, until the network has told what became of it."""
        return self.ends if time.time() >= self.due else "sent"


@dataclass(frozen=True, slots=True)
class Mail:
    """A mail in the mailbox, as the page shows it."""

    number: int
    time: datetime
    sender: str
    to: tuple[str, ...]
    subject: str
    date: str
    message_id: str
    text: str
    html: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What happens to one call: the attempt-th to its number; `first` is the earlier result that it repeats."""

    attempt: int
    fate: Fate
    answer: Answer
    taken: bool
    first: Taken | None = None


class World:
    """The state of the simulator. Everything here runs in one thread, between two awaits."""

    def __init__(self, options: Options) -> None:
        seed = random.randrange(2**32) if options.seed is None else options.seed  # noqa: S311  # dice, no secret
        self.options = replace(options, seed=seed)
        self.texts: deque[Text] = deque(maxlen=SHOWN)
        self.mails: deque[Mail] = deque(maxlen=SHOWN)
        self.taken: dict[str, Taken] = {}
        self._ends: dict[str, tuple[str, float]] = {}
        """By the gateway's reference: what becomes of a text, and when that is so."""
        self._calls: dict[str, int] = {}
        self._random = random.Random(seed)  # noqa: S311  # dice, no secret
        self._run = uuid.uuid4().hex[:12]
        self._count = 0
        self._tokens = 0.0
        self._filled = 0.0

    def change(self, options: Options) -> None:
        """Go on with other settings; a new seed starts the dice anew."""
        if options.seed != self.options.seed and options.seed is not None:
            self._random.seed(options.seed)
        self.options = options

    def remember(self, lines: Iterable[dict[str, Any]]) -> None:
        """Read lines of an earlier run's log, so that a kill is no amnesia."""
        for line in lines:
            self._calls[line["to"]] = max(self._calls.get(line["to"], 0), line["attempt"])
            if line.get("id") and not line.get("again"):
                at = datetime.fromisoformat(line["time"]).timestamp()
                self.taken[line["reference"]] = Taken(line["id"], line["segments"], at)
                self._ends[line["id"]] = (fates.ends_of(line["fate"]), at)

    def judge(self, message: Message) -> Verdict:
        """Decide one call, and count it."""
        attempt = self._calls.get(message.to, 0) + 1
        self._calls[message.to] = attempt
        trouble = self._trouble(message.segments)
        if trouble:
            return Verdict(attempt, trouble, trouble.answer, taken=False)
        first = self.taken.get(message.reference) if self.options.idempotent else None
        fate = self._fate(message.to)
        answer = Answer.ACCEPT if first else fates.answer_to(fate, attempt)
        taken = first is not None or fates.is_taken(fate, attempt)
        if taken and answer is Answer.ACCEPT and self.happens(self.options.p_lost_reply):
            fate = replace(fate, name=fates.LOST_REPLY.name)
            answer = fates.LOST_REPLY.answer
        return Verdict(attempt, fate, answer, taken, first)

    def take(self, message: Message, fate: Fate) -> Taken:
        """Remember a message as taken, under a new id of the gateway."""
        self._count += 1
        taken = self.taken[message.reference] = Taken(f"{self._run}-{self._count}", message.segments, time.time())
        self._ends[taken.id] = (fate.ends, taken.at + self.options.report_delay_ms / 1000)
        return taken

    def state_of(self, id_: str) -> str | None:
        """Say what has become of a message by now, by the gateway's own reference; None: no such message."""
        ends, due = self._ends.get(id_, (None, 0.0))
        return "sent" if ends and time.time() < due else ends

    def forget(self, message: Message, taken: Taken) -> None:
        """Undo `take` when the log could not be written: then the message was not taken."""
        if self.taken.get(message.reference) is taken:
            del self.taken[message.reference], self._ends[taken.id]

    def deliver(self, message: Message, fate: Fate) -> None:
        """Put a text on the page of phones."""
        due = time.time() + self.options.report_delay_ms / 1000
        self.texts.appendleft(Text(message, datetime.now(UTC), fate.name, fate.ends, due))

    def happens(self, probability: float) -> bool:
        """Throw the dice."""
        return probability > 0 and self._random.random() < probability

    def delay_seconds(self) -> float:
        """How long this call's answer takes."""
        options = self.options
        jitter = self._random.random() * options.jitter_ms if options.jitter_ms else 0.0
        return (options.latency_ms + jitter) / 1000

    def _fate(self, number: str) -> Fate:
        fate = fates.fate_of(number) if self.options.fates else fates.NORMAL
        if fate.ends == "delivered" and self.happens(self.options.p_undelivered):
            fate = replace(fate, reports=("sent", "undelivered"), ends="undelivered")
        return fate

    def _trouble(self, segments: int) -> Fate | None:
        """The troubles that hit any number: none of these calls is taken."""
        options = self.options
        if options.down:
            return fates.DOWN
        if self._is_too_fast(segments) or self.happens(options.p_429):
            return fates.THROTTLED
        if self.happens(options.p_500):
            return fates.ERROR
        return fates.CUT if self.happens(options.p_cut) else None

    def _is_too_fast(self, segments: int) -> bool:
        """A bucket of one second of the rate; a text that is longer than what is left may overdraw it."""
        rate = self.options.rate
        if not rate:
            return False
        now = time.monotonic()
        self._tokens = min(rate, self._tokens + (now - self._filled) * rate)
        self._filled = now
        if self._tokens < 1 and self._tokens < rate:
            return True
        self._tokens -= segments
        return False
