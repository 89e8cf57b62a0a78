"""The journal of sending: the intent is on disk before a call, the outcome after it.

A crash in between leaves `sending`, which is turned into an honest `unknown` and never sent again by itself.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, assert_never

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
from smsqueue.domain import credits, journal_postgresql, optouts, overlaps, resolving
from smsqueue.domain.counting import Changes
from smsqueue.domain.intents import Intent
from smsqueue.domain.settlement import LET_GO, Rows, in_doubt, in_rows, still_unknown, was_let_go
from smsqueue.gateways.base import Deferred, Outcome, Rejected, Sent, Unknown
from smsqueue.models import Attempt, Campaign, Recipient, State, Status
from smsqueue.models.recipients import ACCEPTED, CREDITED

recipients, attempts = table_of(Recipient), table_of(Attempt)
LONGEST_WAIT_SECONDS = 60
UNREACHABLE = "unreachable"
NOT_SENT = "Not sent: the worker that should have sent it lost its turn, and the campaign ended."
CRASHED = "the worker stopped before the gateway's answer was recorded"
_lock = (
    sa.select(recipients.c.id, recipients.c.state, recipients.c.attempts)
    .where(recipients.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(recipients.c.id)
    .with_for_update()
)
_RESULTS = ("outcome", "gateway_reference", "code", "reason", "may_retry", "parts", "price", "is_partial", "ended_at")
_result = (
    sa.update(attempts)
    .where(
        attempts.c.reference == sa.bindparam("new_reference"),
        sa.or_(
            attempts.c.outcome == "sending",  # no IN: many of these go to the driver at once
            attempts.c.outcome == "unknown",
            sa.bindparam("new_outcome", type_=sa.String) == "sent",
        ),
    )
    .values({name: sa.bindparam(f"new_{name}") for name in _RESULTS})
)
_settle = (
    sa.update(recipients)
    .where(recipients.c.id.in_(sa.bindparam("ids", expanding=True)))
    .values({name: sa.bindparam(f"new_{name}") for name in ("state", "error", "code", "not_before", "settlement_id")})
)
_still_let_go = sa.case((was_let_go, LET_GO), else_=sa.bindparam("new_code", type_=recipients.c.code.type))
_put_back = _settle.values(code=_still_let_go)


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


def mark_crashed(
    session: Session, campaign: Campaign, rows: Rows, now: datetime, *, claim_id: int | None = None
) -> int:
    """Turn what an earlier claim of these rows left as `sending` into `unknown`; return how many.

    Not the open calls of other jobs with some of the same rows: those are in good hands. `claim_id` is the job that
    asks, if it is still there.
    """
    left = (*in_rows(campaign.id, rows), recipients.c.state == State.SENDING)
    found = sa.select(recipients.c.id, recipients.c.row).where(*left).order_by(recipients.c.id)
    open_ones = {row.id: row.row for row in session.execute(found.with_for_update())}
    spared = overlaps.on_their_way(session, campaign, open_ones, claim_id) if open_ones else set()
    ids = [id_ for id_ in open_ones if id_ not in spared]
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


def record(
    session: Session,
    campaign: Campaign,
    answers: Sequence[Answer],
    changes: Changes,
    *,
    now: datetime,
    shut: Collection[str] = (),
) -> None:
    """Write down outcomes: attempts, recipients' states and credits; the caller writes `changes`.

    A known answer also ends an `unknown`; nothing else that was decided before is touched. Who could not be reached
    through a gateway that is `shut` waits for that one alone, not for a time of its own as well.
    """
    by_id = {answer.intent.recipient_id: answer for answer in answers}
    found = _note_results(session, answers, sorted(by_id), now)
    fates = _fates(session, by_id, campaign, now)
    groups, freed, late = _sort(found, by_id, fates, changes, now=now, shut=shut)
    prices = {answer.intent.recipient_id: answer.intent.price for answer in answers}
    spent = _pay(session, campaign, groups, prices, {State.SENT})
    returned = _pay(session, campaign, groups, prices, {State.FAILED, State.CANCELLED, State.EXPIRED})
    for fate, ids in groups.items():
        if fate.state in (State.QUEUED, State.UNKNOWN):
            _write_fate(session, fate, ids, None)
    changes.update({"spent": spent, "returned": returned})
    _note_opt_outs(session, campaign, answers, now)
    if freed:  # the slice is in other hands, and may be over by now
        resolving.carry_on(session, campaign, freed, NOT_SENT)
    if late:  # it was held back for so long that somebody has decided meanwhile
        resolving.take_after_all(session, late, now)
    _clear_up(session, campaign, [row for row in found if row.state == State.UNKNOWN], by_id, fates)


def _clear_up(
    session: Session,
    campaign: Campaign,
    unknown: Sequence[Any],
    by_id: Mapping[int, Answer],
    fates: Mapping[int, Fate],
) -> None:
    """Credit who was unknown only for an earlier try, of which a late answer says now that it came to nothing too."""
    by_error: dict[str, list[Any]] = defaultdict(list)
    nothing = (*CREDITED, State.QUEUED)
    came_late = [
        row for row in unknown if row.attempts != by_id[row.id].intent.attempt and fates[row.id].state in nothing
    ]
    doubted = in_doubt(session, [row.id for row in came_late])
    for row in came_late:
        if row.id not in doubted:
            by_error[fates[row.id].error or ""].append(row)
    for error, rows in by_error.items():
        resolving.give_up(session, campaign, rows, error, resolving.NOT_TAKEN)


def _fates(session: Session, by_id: Mapping[int, Answer], campaign: Campaign, now: datetime) -> dict[int, Fate]:
    """Say what each answer makes of its recipient; while nobody can tell of an earlier try, none is surely not sent."""
    fates = {id_: _fate(answer, campaign, now) for id_, answer in by_id.items()}
    ended = [id_ for id_, fate in fates.items() if fate.state in CREDITED and by_id[id_].intent.attempt > 1]
    for id_ in in_doubt(session, ended):
        fates[id_] = Fate(State.UNKNOWN, still_unknown(fates[id_].error or ""))
    return fates


def _sort(
    rows: Sequence[Any],
    by_id: Mapping[int, Answer],
    fates: Mapping[int, Fate],
    changes: Changes,
    *,
    now: datetime,
    shut: Collection[str],
) -> tuple[dict[Fate, list[int]], list[int], list[int]]:
    """Sort locked recipients by their fate; and name those who are queued again in other hands, and those whose
    acceptance comes when they are decided about already."""
    groups: dict[Fate, list[int]] = defaultdict(list)
    freed, late = list[int](), list[int]()
    for row in rows:
        answer, fate = by_id[row.id], fates[row.id]
        if fate.not_before and fate.code == UNREACHABLE and answer.intent.gateway in shut:
            fate = replace(fate, not_before=now)
        if row.attempts == answer.intent.attempt and row.state in (State.SENDING, State.UNKNOWN):
            groups[fate].append(row.id)
            changes.moved(row.state, fate.state)
            if row.state == State.UNKNOWN and fate.state == State.QUEUED:
                freed.append(row.id)
        elif fate.state == State.SENT and row.state not in ACCEPTED:
            late.append(row.id)
    return groups, freed, late


def _note_opt_outs(session: Session, campaign: Campaign, answers: Sequence[Answer], now: datetime) -> None:
    refused = [each for each in answers if isinstance(each.outcome, Rejected) and each.outcome.opted_out]
    numbers = {(campaign.team_id, each.intent.outgoing.to) for each in refused}
    optouts.add_all(session, numbers, source="gateway", at=now)


def _note_results(session: Session, answers: Sequence[Answer], ids: list[int], now: datetime) -> Sequence[Any]:
    """Lock the recipients in the order of their ids, and write down what came of the attempts.

    An attempt that a report has ended meanwhile is not lowered.
    """
    results = [_attempt_result(answer, now) for answer in answers]
    if journal_postgresql.is_spoken_by(session):
        return journal_postgresql.note_results(session, results, ids, now)
    locked = session.execute(_lock, {"ids": ids}).all()
    session.execute(_result, [{f"new_{name}": value for name, value in each.items()} for each in results])
    return locked


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
    session.execute(_put_back if fate.state is State.QUEUED else _settle, {"ids": ids, **values})


def _fate(answer: Answer, campaign: Campaign, now: datetime) -> Fate:
    match answer.outcome:
        case Sent():
            return Fate(State.SENT)
        case Rejected(code, reason):
            return Fate(State.FAILED, reason[:300], code[:40])
        case Unknown(reason):
            return Fate(State.UNKNOWN, reason[:300])
        case Deferred() as deferred:
            return _fate_of_deferred(deferred, answer.intent.attempt, campaign, now)
        case _:
            assert_never(answer.outcome)


def _fate_of_deferred(deferred: Deferred, attempt: int, campaign: Campaign, now: datetime) -> Fate:
    reason = deferred.reason[:300]
    if campaign.status == Status.CANCELLED:
        return Fate(State.CANCELLED, campaign.error or "cancelled")
    wait = timedelta(seconds=max(deferred.after_seconds, min(LONGEST_WAIT_SECONDS, 2 ** min(attempt - 1, 6))))
    is_paused = campaign.status == Status.PAUSED  # it gets the time of its pause back
    if not is_paused and campaign.valid_until is not None and now + wait >= campaign.valid_until:
        return Fate(State.EXPIRED, f"not sent in time: {reason}"[:300], deferred.cause)
    return Fate(State.QUEUED, reason, deferred.cause, now + wait)


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
        "may_retry": refused.may_retry or refused.scope == "account",
        "parts": sent.parts,
        "price": sent.price[:30] if sent.price else None,
        "is_partial": sent.is_partial,
        "ended_at": now,
    }
