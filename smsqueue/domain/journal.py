"""The journal of sending: the intent is on disk before a call, the outcome after it.

A crash in between leaves `sending`, which is turned into an honest `unknown` and never sent again by itself.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from secrets import token_hex
from typing import Any, assert_never

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.bulk import insert_many, update_many
from smsqueue.db import changed, table_of
from smsqueue.domain import credits, journal_postgresql
from smsqueue.domain.counting import Changes
from smsqueue.domain.optouts import has_opted_out
from smsqueue.domain.settlement import Rows, in_rows
from smsqueue.gateways.base import Deferred, Outcome, Outgoing, Rejected, Sent, Unknown
from smsqueue.models import Attempt, Campaign, Recipient, State, Status, User

recipients, attempts, campaigns, users = (table_of(model) for model in (Recipient, Attempt, Campaign, User))
LONGEST_WAIT_SECONDS = 60
CRASHED = "the worker stopped before the gateway's answer was recorded"
_going_on = (
    sa.select(sa.literal(1))
    .where(
        campaigns.c.id == recipients.c.campaign_id,
        campaigns.c.status == Status.PROCESSING,
        users.c.id == campaigns.c.user_id,
        users.c.active.is_(True),
        ~has_opted_out(campaigns.c.team_id),
    )
    .exists()
)
_columns = [recipients.c[name] for name in ("id", "number", "text", "encoding", "segments", "price", "attempts")]
_pick = (
    sa.select(*_columns)
    .where(
        recipients.c.campaign_id == sa.bindparam("campaign"),
        recipients.c.row.between(sa.bindparam("first"), sa.bindparam("last")),
        recipients.c.state == State.QUEUED,
        sa.or_(recipients.c.not_before.is_(None), recipients.c.not_before <= sa.bindparam("now")),
        ~has_opted_out(sa.bindparam("team", type_=sa.Integer)),
    )
    .order_by(recipients.c.row)
    .limit(sa.bindparam("room", type_=sa.Integer))
)
_starting = journal_postgresql.Starting(_pick, _going_on)
_intend = (
    sa.update(recipients)
    .where(recipients.c.id.in_(sa.bindparam("ids", expanding=True)), recipients.c.state == State.QUEUED, _going_on)
    .values(state=State.SENDING, attempts=recipients.c.attempts + 1, updated_at=sa.bindparam("now"))
)
_lock = (
    sa.select(recipients.c.id, recipients.c.state, recipients.c.attempts)
    .where(recipients.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(recipients.c.id)
    .with_for_update()
)
_settle = (
    sa.update(recipients)
    .where(recipients.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values({name: sa.bindparam(f"new_{name}") for name in ("state", "error", "code", "not_before", "settlement_id")})
)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: what every attempt is signed with."""

    worker_id: int
    token: str
    gateway: str
    sender: str


@dataclass(frozen=True, slots=True)
class Intent:
    """An attempt that is on disk as `sending` and may be called now."""

    recipient_id: int
    attempt: int
    price: int
    outgoing: Outgoing


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of an intent."""

    intent: Intent
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Fate:
    """What an answer makes of its recipient."""

    state: State
    error: str | None = None
    code: str | None = None
    not_before: datetime | None = None


def start(
    session: Session, campaign: Campaign, rows: Rows, sender: Sender, changes: Changes, *, room: int, now: datetime
) -> list[Intent]:
    """Mark up to `room` queued recipients of these rows as `sending` and return what to call.

    Nothing is marked when the campaign was stopped or its owner disabled, and nobody who has opted out: the UPDATE
    itself asks. The caller writes `changes`.
    """
    whose = {"campaign": campaign.id, "team": campaign.team_id}
    where = {**whose, "first": rows[0], "last": rows[1], "now": now, "room": room}
    if journal_postgresql.is_spoken_by(session):
        started = _starting.run(session, where, _signature(sender), token_hex(4))
        intents = [
            _intent(row, row.attempts, row.reference, campaign, sender=sender.sender, now=now) for row in started
        ]
    else:
        intents = _start_by_steps(session, campaign, sender, where)
    changes.moved(State.QUEUED, State.SENDING, len(intents))
    return intents


def _start_by_steps(session: Session, campaign: Campaign, sender: Sender, where: dict[str, Any]) -> list[Intent]:
    now: datetime = where["now"]
    picked: Sequence[Any] = session.execute(_pick, where).all()
    if not picked:
        return []
    ids = [row.id for row in picked]
    count = changed(session, _intend, {"ids": ids, "now": now})
    if count != len(ids):
        taken = {row.id for row in session.execute(_lock, {"ids": ids}) if row.state == State.SENDING}
        picked = [row for row in picked if row.id in taken]
    if not picked:
        return []
    tries = [(row, row.attempts + 1) for row in picked]
    intents = [
        _intent(row, attempt, f"{row.id}-{attempt}-{token_hex(4)}", campaign, sender=sender.sender, now=now)
        for row, attempt in tries
    ]
    insert_many(session, attempts, [_attempt(intent, sender, now) for intent in intents])
    return intents


def written(session: Session, intents: Sequence[Intent]) -> bool:
    """Say whether these intents are on disk, after a commit whose answer was lost."""
    reference = intents[0].outgoing.reference
    return session.execute(sa.select(attempts.c.id).where(attempts.c.reference == reference)).first() is not None


def mark_crashed(session: Session, campaign: Campaign, rows: Rows, now: datetime) -> int:
    """Turn what an earlier claim of these rows left as `sending` into `unknown`; return how many."""
    left = (*in_rows(campaign.id, rows), recipients.c.state == State.SENDING)
    ids = session.scalars(sa.select(recipients.c.id).where(*left).order_by(recipients.c.id).with_for_update()).all()
    if not ids:
        return 0
    open_attempts = sa.update(attempts).where(attempts.c.recipient_id.in_(ids), attempts.c.outcome == "sending")
    session.execute(open_attempts.values(outcome="unknown", reason=CRASHED, ended_at=now))
    unknown = sa.update(recipients).where(recipients.c.id.in_(ids))
    session.execute(unknown.values(state=State.UNKNOWN, error=CRASHED, updated_at=now))
    changes = Changes()
    changes.moved(State.SENDING, State.UNKNOWN, len(ids))
    changes.write(session, campaign.id)
    return len(ids)


def record(session: Session, campaign: Campaign, answers: Sequence[Answer], changes: Changes, *, now: datetime) -> None:
    """Write down outcomes: attempts, recipients' states and credits; the caller writes `changes`.

    A known answer also ends an `unknown`; nothing else that was decided before is touched.
    """
    by_id = {answer.intent.recipient_id: answer for answer in answers}
    groups: dict[Fate, list[int]] = defaultdict(list)
    for row in _note_results(session, answers, sorted(by_id), now):
        answer = by_id[row.id]
        fate = _fate(answer, campaign, row.state, now)
        if row.attempts == answer.intent.attempt and row.state in (State.SENDING, State.UNKNOWN):
            groups[fate].append(row.id)
            changes.moved(row.state, fate.state)
    prices = {answer.intent.recipient_id: answer.intent.price for answer in answers}
    spent = _pay(session, campaign, groups, prices, {State.SENT})
    returned = _pay(session, campaign, groups, prices, {State.FAILED, State.CANCELLED, State.EXPIRED})
    for fate, ids in groups.items():
        if fate.state in (State.QUEUED, State.UNKNOWN):
            _write_fate(session, fate, ids, None)
    changes.update({"spent": spent, "returned": returned})


def _note_results(session: Session, answers: Sequence[Answer], ids: list[int], now: datetime) -> Sequence[Any]:
    """Write down what came of the attempts, and lock their recipients in the order of their ids."""
    results = [_attempt_result(answer, now) for answer in answers]
    if journal_postgresql.is_spoken_by(session):
        return journal_postgresql.note_results(session, results, ids, now)
    update_many(session, attempts, "reference", results)
    return session.execute(_lock, {"ids": ids}).all()


def _pay(
    session: Session, campaign: Campaign, groups: dict[Fate, list[int]], prices: dict[int, int], states: set[State]
) -> int:
    """Settle the recipients that reached one of `states`: one ledger transaction for all; return the credits."""
    mine = {fate: ids for fate, ids in groups.items() if fate.state in states}
    amount = sum(prices[id_] for ids in mine.values() for id_ in ids)
    if not mine:
        return 0
    accepted = State.SENT in states
    if accepted and journal_postgresql.is_spoken_by(session):
        journal_postgresql.spend(session, campaign, [id_ for ids in mine.values() for id_ in ids], amount)
        return amount
    kind, target = ("spend", credits.REVENUE) if accepted else ("return", credits.wallet(campaign.team_id))
    settlement = credits.record(session, kind, campaign.team_id, campaign_id=campaign.id, note=campaign.name)
    for fate, ids in mine.items():
        _write_fate(session, fate, ids, settlement)
    credits.move(session, settlement, credits.escrow(campaign.id), target, amount)
    return amount


def _write_fate(session: Session, fate: Fate, ids: list[int], settlement: int | None) -> None:
    values = {
        "new_state": fate.state,
        "new_error": fate.error,
        "new_code": fate.code,
        "new_not_before": fate.not_before,
        "new_settlement_id": settlement,
    }
    session.execute(_settle, {"ids": ids, **values})


def _fate(answer: Answer, campaign: Campaign, state: str, now: datetime) -> Fate:
    match answer.outcome:
        case Sent():
            return Fate(State.SENT)
        case Rejected(code, reason):
            return Fate(State.FAILED, reason[:300], code[:40])
        case Unknown(reason):
            return Fate(State.UNKNOWN, reason[:300])
        case Deferred() as deferred:
            return _fate_of_deferred(deferred, answer.intent.attempt, campaign, state, now)
        case _:
            assert_never(answer.outcome)


def _fate_of_deferred(deferred: Deferred, attempt: int, campaign: Campaign, state: str, now: datetime) -> Fate:
    reason = deferred.reason[:300]
    if campaign.status == Status.CANCELLED:
        return Fate(State.CANCELLED, campaign.error or "cancelled")
    if state == State.UNKNOWN:  # the slice is in other hands: it was surely not sent, and is not put back
        return Fate(State.FAILED, reason, deferred.cause)
    wait = timedelta(seconds=max(deferred.after_seconds, min(LONGEST_WAIT_SECONDS, 2 ** min(attempt - 1, 6))))
    if campaign.valid_until is not None and now + wait >= campaign.valid_until:
        return Fate(State.EXPIRED, f"not sent in time: {reason}"[:300], deferred.cause)
    return Fate(State.QUEUED, reason, deferred.cause, now + wait)


def _intent(row: Any, attempt: int, reference: str, campaign: Campaign, *, sender: str, now: datetime) -> Intent:
    outgoing = Outgoing(
        reference=reference,
        to=row.number,
        text=campaign.text if row.text is None else row.text,
        encoding=row.encoding,
        segments=row.segments,
        sender=sender,
        validity_seconds=max(60, round((campaign.valid_until - now).total_seconds())) if campaign.valid_until else 0,
    )
    return Intent(row.id, attempt, row.price, outgoing)


def _attempt(intent: Intent, sender: Sender, now: datetime) -> dict[str, Any]:
    return {
        "recipient_id": intent.recipient_id,
        "number": intent.attempt,
        "reference": intent.outgoing.reference,
        "outcome": "sending",
        "started_at": now,
        **_signature(sender),
    }


def _signature(sender: Sender) -> dict[str, Any]:
    signed = {"worker_id": sender.worker_id, "claim_token": sender.token, "gateway": sender.gateway}
    return signed | {"sender": sender.sender[:40]}


def _attempt_result(answer: Answer, now: datetime) -> dict[str, Any]:
    outcome = answer.outcome
    sent = outcome if isinstance(outcome, Sent) else Sent("")
    refused = outcome if isinstance(outcome, Rejected) else Rejected("", "")
    return {
        "reference": answer.intent.outgoing.reference,
        "outcome": type(outcome).__name__.lower(),
        "gateway_reference": sent.reference[:100] or None,
        "code": refused.code[:40] or None,
        "reason": None if isinstance(outcome, Sent) else outcome.reason[:300],
        "may_retry": refused.may_retry,
        "parts": sent.parts,
        "price": sent.price[:30] if sent.price else None,
        "is_partial": sent.is_partial,
        "ended_at": now,
    }
