"""Clearing up unknown recipients: their gateway is asked about them, again and again, and at the end a rule decides.

The calls happen outside of any transaction. What an answer changes is decided under lock: a report, a person and
another look-up may come at the same time.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain import answers, delivery, questions, resolving
from smsqueue.domain.answers import Answered, Counts, Said
from smsqueue.domain.questions import Question
from smsqueue.domain.repeating import let_through
from smsqueue.domain.resolving import Terms
from smsqueue.domain.traffic import Traffic
from smsqueue.domain.turns import CHUNK, THREADS, Turn, traits_of
from smsqueue.gateways.base import Gateway, LooksUp, Sent, Unknown
from smsqueue.models import Campaign
from smsqueue.queue.events import emit
from smsqueue.queue.runner import Run, Snooze

LONGEST_SNOOZE_SECONDS = 3600.0
SHUT = timedelta(seconds=3)
"""So long is waited when a gateway takes nothing just now."""
KEPT = timedelta(days=7)
"""So long after they stopped being valid a campaign's unknown texts are looked after; later only people ask."""
BOTH = Unknown("The gateway gives the same message for two attempts.")


def campaigns_with_unknown(session: Session, most: int = 1000) -> list[int]:
    """Return the campaigns whose unknown recipients are to be looked after."""
    recent = Campaign.valid_until > resolving.today(session) - KEPT
    found = sa.select(Campaign.id).where(Campaign.unknown > 0, recent).order_by(Campaign.id.desc()).limit(most)
    return list(session.scalars(found))


def can_look_up(gateway: Gateway) -> bool:
    """Say whether a gateway can be asked about an attempt, as it is set up."""
    return isinstance(gateway, LooksUp) and traits_of(gateway).look_up != "none"


@dataclass(frozen=True, slots=True)
class Askable:
    """Which gateways tell whether they took a text, by a look-up or when they are handed the same text again."""

    by_look_up: frozenset[str] = frozenset()
    by_repeat: frozenset[str] = frozenset()

    @classmethod
    def among(cls, gateways: Mapping[str, Gateway]) -> "Askable":
        """Ask the gateways themselves."""
        found = frozenset(name for name, gateway in gateways.items() if can_look_up(gateway))
        again = frozenset(name for name, gateway in gateways.items() if traits_of(gateway).is_idempotent)
        return cls(found, again - found)


class Clearing:
    """One turn of clearing up a campaign."""

    def __init__(
        self, run: Run, gateways: Mapping[str, Gateway], terms: Terms, campaign_id: int, traffic: Traffic
    ) -> None:
        self._run, self._gateways, self._terms, self._campaign_id = run, gateways, terms, campaign_id
        self._traffic = traffic
        self._campaign = Campaign()
        self._soonest: datetime | None = None
        self._counts = Counts()
        self._now = now()

    def work(self, *, once: bool = False) -> Snooze | None:
        """Ask about all that is due, and do what is due by rule; say when to go on, None when nobody is unknown."""
        after, left, reason = 0, 0, ""
        with Turn(self._run) as turn:
            while not reason and (chunk := self._read(after)):
                after, left = chunk[-1].row, left + len(chunk)
                self._treat(chunk, turn)
                reason = turn.reason_to_stop()
        if any(self._counts.values()):
            emit("unknowns.asked", campaign_id=self._campaign_id, **self._counts.facts)
        if reason:
            return Snooze(0, reason)
        return None if once or not left else self._rest()

    def _read(self, after: int) -> list[Question]:
        with self._run.database.reading() as session:
            self._now = resolving.today(session)
            self._campaign = session.get_one(Campaign, self._campaign_id)
            found = questions.read(session, self._campaign, after, CHUNK, self._now)
        # What has to go out once more is read just before: people may opt out, cancel or pause meanwhile.
        return found[:THREADS] if any(self._is_repeated(question) for question in found) else found

    def _treat(self, chunk: Sequence[Question], turn: Turn) -> None:
        due = [question for question in chunk if self._is_due(question)]
        if due and (due := self._let_through(due)):
            self._ask(due, turn)
        late = [question for question in chunk if self._is_decided(question)]
        if late:
            decide = partial(answers.decide, campaign_id=self._campaign_id, asked=late, terms=self._terms)
            self._counts += self._run.database.write(decide)

    def _let_through(self, due: list[Question]) -> list[Question]:
        """Leave out what would have to be sent once more and may not go out just now."""
        again = [question for question in due if self._is_repeated(question)]
        if not again:
            return due
        passing = self._run.database.write(partial(let_through, traffic=self._traffic, wanted=again))
        if len(passing) < len(again):
            self._is_time(self._now + SHUT)
        return [question for question in due if question in passing or question not in again]

    def _ask(self, due: Sequence[Question], turn: Turn) -> None:
        with self._run.database.reading() as session:
            bound = questions.bound_to_others(session, due)
        said = turn.ask(partial(self._call, bound=bound), due)
        told = [self._answered(question, answer) for question, answer in zip(due, said, strict=True)]
        write = partial(answers.record, campaign_id=self._campaign_id, told=_only_once(told), terms=self._terms)
        counts, applied = self._run.database.write(write)
        delivery.follow_up(self._run.database, applied)
        self._counts += counts

    def _call(self, question: Question, bound: Collection[str]) -> Said | None:
        """Ask about an attempt; where each reference is taken once, the same text again is the question."""
        gateway = self._gateways[question.gateway]
        if not self._run.lease.covers(gateway.connect_seconds + gateway.read_seconds):
            return None
        if isinstance(gateway, LooksUp) and can_look_up(gateway):
            return gateway.look_up(question.outgoing, question.started_at, bound=bound)
        return gateway.send(question.outgoing)

    def _answered(self, question: Question, answer: Said | None) -> Answered:
        return Answered(question, answer, traits_of(self._gateways[question.gateway]))

    def _is_repeated(self, question: Question) -> bool:
        gateway = self._gateways.get(question.gateway)
        return gateway is not None and not can_look_up(gateway)

    def _is_due(self, question: Question) -> bool:
        gateway = self._gateways.get(question.gateway)
        if gateway is None or not (can_look_up(gateway) or (question.may_repeat and traits_of(gateway).is_idempotent)):
            return False
        until = questions.asks_until(self._campaign, question, self._terms)
        return self._is_time(question.asked_at(until, self._terms))

    def _is_decided(self, question: Question) -> bool:
        return self._is_time(questions.decides_at(self._campaign, question, self._terms, self._now))

    def _is_time(self, moment: datetime | None) -> bool:
        """Say whether a moment has come; one that has not is remembered."""
        if moment is None or moment <= self._now:
            return moment is not None
        self._soonest = min(moment, self._soonest or moment)
        return False

    def _rest(self) -> Snooze:
        """Wait for the next question or decision; those that only people can decide are looked at once an hour."""
        wait = float(questions.PAUSES[0]) if self._counts else LONGEST_SNOOZE_SECONDS
        if self._soonest:
            wait = min(wait, (self._soonest - self._now).total_seconds())
        return Snooze(max(wait, 1.0), "unknown recipients are asked about again")


def _only_once(told: Sequence[Answered]) -> list[Answered]:
    """Let no two attempts have the same reference of a gateway: then nobody knows whose it is."""
    names = [_name(each) for each in told]
    counts = Counter(names)
    pairs = zip(told, names, strict=True)
    return [replace(each, answer=BOTH) if name and counts[name] > 1 else each for each, name in pairs]


def _name(each: Answered) -> tuple[str, str] | None:
    if isinstance(each.answer, Sent) and each.answer.reference:
        return each.question.gateway, each.answer.reference
    return None
