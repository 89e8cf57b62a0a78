"""What a gateway's answer about an unknown recipient, or a campaign's rule, makes of it."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.bulk import update_many
from smsqueue.db import table_of
from smsqueue.domain import completion, delivery, questions, resolving
from smsqueue.domain.delivery import Applied
from smsqueue.domain.questions import Question
from smsqueue.domain.resolving import Terms
from smsqueue.domain.settlement import in_doubt
from smsqueue.gateways.base import NotFound, Outcome, Rejected, Sent, Traits
from smsqueue.models import Attempt, Campaign, Recipient, UnknownPolicy

recipients, attempts = table_of(Recipient), table_of(Attempt)
Said = Outcome | NotFound
MOST_ATTEMPTS = 5
"""A text that the gateway never seems to take is not tried for ever."""
TIMES_NOT_FOUND = 2
WAS_NOT_TAKEN = "The gateway does not know this message: it surely did not take it."
GIVEN_UP = "Nobody could tell whether it was sent: counted as not sent, as this campaign's rule says."


class Counts(Counter[str]):
    """How many were asked about, and what came of it."""

    @property
    def facts(self) -> dict[str, int]:
        """All of them, for the event."""
        return {name: self[name] for name in ("asked", "sent", "not_taken", "by_rule")}


@dataclass(frozen=True, slots=True)
class Answered:
    """What a gateway said about an attempt; None: it was not asked."""

    question: Question
    answer: Said | None
    traits: Traits

    def is_not_taken(self, now: datetime) -> bool:
        """Say whether it was surely not taken: this gateway is believed, was asked twice, and not too early."""
        enough = self.question.not_found + 1 >= TIMES_NOT_FOUND
        age = now - self.question.started_at
        late = age >= timedelta(seconds=self.traits.not_found_after_seconds)
        return isinstance(self.answer, NotFound) and self.traits.trusts_not_found and enough and late

    @property
    def refusal(self) -> Rejected | None:
        """Why the text is refused, if it is; a refusal of our account says nothing of what went before."""
        is_refused = isinstance(self.answer, Rejected) and self.answer.scope == "recipient"
        return self.answer if is_refused else None  # type: ignore[return-value]


def record(session: Session, campaign_id: int, told: Sequence[Answered], terms: Terms) -> tuple[Counts, Applied]:
    """Write down what gateways said; what is due after the commit is done by `delivery.follow_up`."""
    campaign, now = session.get_one(Campaign, campaign_id), resolving.today(session)
    _lock_all(session, told)
    locked = _locked(session, campaign, [each.question for each in told], now - terms.patience)
    # Whoever is not unknown any more: an acceptance counts all the same, above all when he is to be sent to again.
    taken = {each.question.attempt_id: each.answer for each in told if isinstance(each.answer, Sent)}
    known = [each for each in told if each.answer is not None and each.question.recipient_id in locked]
    others = _note(session, known, now)
    not_taken = [each for each in others if each.is_not_taken(now)]
    asked = {each.question.attempt_id for each in known} | taken.keys()
    counts = Counts(asked=len(asked), sent=len(taken), not_taken=len(not_taken))
    applied = delivery.accept(session, taken, now) if taken else Applied()
    _put_back(session, campaign, not_taken, locked, terms)
    counts["not_taken"] += _refuse(session, campaign, [each for each in others if each.refusal], locked)
    return counts, applied


def decide(session: Session, campaign_id: int, asked: Sequence[Question], terms: Terms) -> Counts:
    """Do with recipients who are unknown for too long what the campaign's rule says."""
    campaign, now = session.get_one(Campaign, campaign_id), resolving.today(session)
    locked = list(_locked(session, campaign, asked, now - terms.patience).values())
    if locked and campaign.unknown_policy == UnknownPolicy.RESEND:
        if not questions.may_resend(completion.locked(session, campaign.id), now):
            return Counts()  # cancelled at this moment, it may be
        return Counts(by_rule=resolving.send_again(session, campaign, locked, terms, extends=False))
    return Counts(by_rule=resolving.give_up(session, campaign, locked, GIVEN_UP, resolving.COUNTED_NOT_SENT))


def _lock_all(session: Session, told: Sequence[Answered]) -> None:
    """Lock in the order of ids, at once, whoever will be locked by parts."""
    ids = sorted({each.question.recipient_id for each in told})
    mine = sa.select(recipients.c.id).where(recipients.c.id.in_(ids)).order_by(recipients.c.id)
    session.execute(mine.with_for_update()).all()


def _locked(session: Session, campaign: Campaign, asked: Sequence[Question], before: datetime) -> dict[int, Any]:
    """Lock those that are unknown still, by the same attempt."""
    of = {question.recipient_id: question.attempt for question in asked}
    return {row.id: row for row in resolving.lock(session, campaign, sorted(of), before) if row.attempts == of[row.id]}


def _note(session: Session, known: Sequence[Answered], now: datetime) -> list[Answered]:
    """Count the questions; return those whose attempt nobody else has asked about meanwhile."""
    ids = [each.question.attempt_id for each in known]
    counted = sa.select(attempts.c.id, attempts.c.looked_up).where(attempts.c.id.in_(ids))
    looked = {row.id: row.looked_up for row in session.execute(counted)}
    fresh = [each for each in known if looked[each.question.attempt_id] == each.question.looked_up]
    rows = [
        {
            "id": each.question.attempt_id,
            "looked_up": each.question.looked_up + 1,
            "looked_up_at": now,
            "not_found": each.question.not_found + 1 if isinstance(each.answer, NotFound) else 0,
        }
        for each in fresh
    ]
    if rows:
        update_many(session, attempts, "id", rows)
    return fresh


def _put_back(
    session: Session, campaign: Campaign, not_taken: Sequence[Answered], locked: dict[int, Any], terms: Terms
) -> None:
    """Send to those again who were surely not sent to, while that makes sense: not when a later try came to nothing."""
    # Should a report say later that it was taken after all, the books know why there may be two.
    _end_attempts(session, not_taken, outcome="deferred", reason=WAS_NOT_TAKEN, is_repeated=True)
    rows = _known(session, not_taken, locked)
    is_last = {each.question.recipient_id: each.question.is_last for each in not_taken}
    others = [row for row in rows if is_last[row.id] and row.attempts < MOST_ATTEMPTS]
    ended = [row for row in rows if row not in others]
    resolving.give_up(session, campaign, ended, WAS_NOT_TAKEN, resolving.NOT_TAKEN)
    if not others:
        return
    campaign = completion.locked(session, campaign.id)  # it may be cancelled at this moment
    if campaign.unknown_policy == UnknownPolicy.RESEND and questions.may_resend(campaign, resolving.today(session)):
        resolving.send_again(session, campaign, others, terms, extends=False)
    else:
        resolving.put_back(session, campaign, others, WAS_NOT_TAKEN, terms)


def _refuse(session: Session, campaign: Campaign, refused: Sequence[Answered], locked: dict[int, Any]) -> int:
    """Fail those whose text was refused when it was handed over under the same reference again."""
    by_refusal: dict[Rejected, list[Answered]] = defaultdict(list)
    for each in refused:
        if each.refusal:
            by_refusal[each.refusal].append(each)
    for why, group in by_refusal.items():
        facts = {"reason": why.reason[:300], "code": why.code[:40]}
        _end_attempts(session, group, outcome="rejected", may_retry=why.may_retry, **facts)
        rows = _known(session, group, locked)
        resolving.give_up(session, campaign, rows, facts["reason"], facts["code"])
    return len(refused)


def _known(session: Session, told: Sequence[Answered], locked: dict[int, Any]) -> list[Any]:
    """Return those of whom everything is known now; the others have an attempt more of which nobody can tell."""
    ids = [each.question.recipient_id for each in told]
    doubted = in_doubt(session, ids)
    return [locked[id_] for id_ in ids if id_ not in doubted]


def _end_attempts(session: Session, told: Sequence[Answered], **values: Any) -> None:
    if told:
        ids = [each.question.attempt_id for each in told]
        theirs = sa.update(attempts).where(attempts.c.id.in_(ids), attempts.c.outcome == "unknown")
        session.execute(theirs.values(values))
