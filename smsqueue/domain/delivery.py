"""What became of texts, as gateways tell later: attempts and recipients rise, and the credits follow.

`apply` is the only way in which delivery reports change a recipient, `accept` the one for whoever learns otherwise that
an attempt was taken. Locks are taken as everywhere: recipients by id, then escrow and campaign, the wallet last.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.bulk import update_many
from smsqueue.core.clock import now as moment
from smsqueue.db import Database, table_of
from smsqueue.domain import completion, optouts, ranks, references, stopping
from smsqueue.domain import told as kept_reports
from smsqueue.domain.paying import Move, pay
from smsqueue.gateways.base import Rejected, Report, Sent
from smsqueue.models import Attempt, Campaign, DeliveryReport, Recipient, State
from smsqueue.queue.events import emit_once_committed

attempts, recipients, reports_ = table_of(Attempt), table_of(Recipient), table_of(DeliveryReport)
campaigns = table_of(Campaign)
COPIES_COME = timedelta(hours=1)
"""So long after a report its copies come: what was to be done about it may have been lost with a process."""
WORDS = {
    "undelivered": "The gateway could not deliver it.",
    "expired": "It could not be delivered before it was too old.",
    "cancelled": "The gateway took it, and cancelled it.",
    "failed": "The gateway took it, could not send it, and does not charge for it.",
}
_ids: sa.BindParameter[Any] = sa.bindparam("ids", expanding=True)
_find = sa.select(attempts.c.reference, attempts.c.id, attempts.c.recipient_id).where(
    attempts.c.reference.in_(_ids), attempts.c.gateway == sa.bindparam("gateway")
)
_columns = [recipients.c[name] for name in ("id", "campaign_id", "state", "price", "segments", "settlement_id")]
_lock = (
    sa.select(*_columns, recipients.c.number)
    .where(recipients.c.id.in_(_ids))
    .order_by(recipients.c.id)
    .with_for_update()
)
_KEPT = ("reported", "reported_at", "gateway_reference", "parts", "price", "code", "reason", "ended_at")
_facts = [attempts.c[name] for name in ("id", "recipient_id", "outcome", *_KEPT)]
_all_of = sa.select(*_facts).where(attempts.c.recipient_id.in_(_ids))
_stored = sa.select(reports_.c.attempt_id, reports_.c.gateway_reference, reports_.c.state).where(
    reports_.c.attempt_id.in_(_ids)
)


@dataclass(frozen=True, slots=True)
class Applied:
    """What came of reports, and what is to be done about it once they are committed (`follow_up`)."""

    reports: int = 0
    unknown: int = 0
    """Reports of attempts that nobody knows."""
    changed: int = 0
    """Recipients that went to another state."""
    may_close: frozenset[int] = frozenset()
    refusals: Mapping[int, Rejected] = field(default_factory=dict)
    """By campaign: what the gateway has against our account."""
    keys: frozenset[references.Key] = frozenset()
    """Gateways' references that came without ours, or are known only now: the other half may be here meanwhile."""


@dataclass(frozen=True, slots=True)
class _News:
    """What is told of one attempt."""

    report: Report
    parts: int | None = None
    is_reported: bool = True


def apply(session: Session, gateway: str, reports: Iterable[Report], now: datetime) -> Applied:
    """Write down delivery reports, and raise the attempts and the recipients that they tell more of.

    Copies, old ones and those of attempts that nobody knows change nothing; each is kept once. What is due after the
    commit is done by `follow_up`.
    """
    told = kept_reports.unique(reports)
    if not told:
        return Applied()
    told = references.add_ours(session, gateway, told)
    asked = {"ids": sorted({report.reference for report in told if report.reference}), "gateway": gateway}
    found = {row.reference: row for row in session.execute(_find, asked)} if asked["ids"] else {}
    held = _lock_all(session, {row.recipient_id for row in found.values()})
    kept_reports.store(session, gateway, told, {reference: row.id for reference, row in found.items()}, now)
    by_attempt: dict[int, list[Report]] = defaultdict(list)
    for report in told:
        if report.reference in found:
            by_attempt[found[report.reference].id].append(report)
    known = _attempts_of(session, held)
    news = {id_: _News(best) for id_, best in _summed_up(session, by_attempt, known, held).items()}
    unknown = sum(report.reference not in found for report in told)
    emit_once_committed(session, "reports.applied", gateway=gateway, count=len(told))
    if unknown:
        emit_once_committed(session, "reports.unknown", gateway=gateway, count=unknown)
    against_us = {each: known[found[each.reference].id] for each in told if _is_against_us(each, found)}
    refusals = _refusals(session, against_us, held, now)
    nameless = frozenset((gateway, each.gateway_reference) for each in told if _is_nameless(each))
    applied = _raise(session, news, known, held, now)
    return replace(applied, reports=len(told), unknown=unknown, refusals=refusals, keys=nameless)


def accept(session: Session, taken: Mapping[int, Sent], now: datetime) -> Applied:
    """Count attempts (by id) as taken by their gateway after all, and their recipients as sent.

    What is known better already stays; what is due after the commit is done by `follow_up`.
    """
    asked = session.execute(sa.select(attempts).where(attempts.c.id.in_(sorted(taken)))).all()
    held = _lock_all(session, {row.recipient_id for row in asked})
    ours = {
        (row.gateway, theirs): row.reference
        for row in asked
        for theirs in taken[row.id].references or (taken[row.id].reference,)
        if theirs
    }
    references.keep(session, ours)
    news = {
        id_: _News(
            Report(state="sent", gateway_reference=sent.reference, price=sent.price), sent.parts, is_reported=False
        )
        for id_, sent in taken.items()
    }
    return replace(_raise(session, news, _attempts_of(session, held), held, now), keys=frozenset(ours))


def catch_up(session: Session, keys: Collection[references.Key], now: datetime) -> list[Applied]:
    """Apply reports that came before it was known whom they tell of."""
    early = references.early(session, keys)
    return [apply(session, gateway, told, now) for gateway, told in sorted(early.items())]


def follow_up(database: Database, applied: Applied) -> None:
    """Do what must be in transactions of its own: stop whom a gateway refuses as a whole, close what has ended.

    And look for reports that came first: of those who write down a report and its reference at the same moment,
    neither sees the other before the commit, and one of them does after it.
    """
    if applied.keys:
        for each in database.write(lambda session: catch_up(session, applied.keys, moment())):
            follow_up(database, each)
    for campaign_id, refusal in applied.refusals.items():
        database.write(lambda session, id_=campaign_id, why=refusal: _stop(session, id_, why))  # type: ignore[misc]
    for campaign_id in sorted({*applied.may_close, *applied.refusals}):
        database.write(lambda session, id_=campaign_id: completion.close(session, id_))  # type: ignore[misc]


def _stop(session: Session, campaign_id: int, refusal: Rejected) -> None:
    campaign = session.get_one(Campaign, campaign_id)
    if campaign.status in stopping.RUNNING:
        stopping.stop_for_account(session, campaign, refusal)


def _lock_all(session: Session, ids: Collection[int]) -> dict[int, Any]:
    if not ids:
        return {}
    return {row.id: row for row in session.execute(_lock, {"ids": sorted(ids)})}


def _attempts_of(session: Session, held: Mapping[int, Any]) -> dict[int, Any]:
    """Read all attempts of locked recipients: whoever changes one has its recipient's lock."""
    return {row.id: row for row in session.execute(_all_of, {"ids": list(held)})} if held else {}


def _summed_up(
    session: Session, by_attempt: Mapping[int, list[Report]], known: Mapping[int, Any], held: Mapping[int, Any]
) -> dict[int, Report]:
    """Take the report that tells most of each attempt; where each part has its own, what they all come to."""
    found = {id_: max(told, key=lambda each: ranks.RANKS[each.state]) for id_, told in by_attempt.items()}
    in_parts = [id_ for id_, told in by_attempt.items() if any(each.is_part for each in told)]
    if not in_parts:
        return found
    states: dict[int, dict[str, Any]] = defaultdict(dict)
    for id_, part, state in session.execute(_stored, {"ids": in_parts}):
        states[id_][part] = max(state, states[id_].get(part, state), key=ranks.RANKS.__getitem__)
    for id_ in in_parts:
        count = known[id_].parts or held[known[id_].recipient_id].segments
        found[id_] = replace(found[id_], state=ranks.of_parts(states[id_].values(), count))
    return found


def _raise(
    session: Session, news: Mapping[int, _News], known: Mapping[int, Any], held: Mapping[int, Any], now: datetime
) -> Applied:
    """Raise attempts, and what they make of their recipients."""
    raised = {id_: _after(known[id_], each, now) for id_, each in news.items() if _is_news(known[id_], each)}
    if not raised:
        return Applied()
    update_many(session, attempts, "id", list(raised.values()))
    tries: dict[int, list[tuple[str, str | None]]] = defaultdict(list)
    for id_, row in known.items():
        now_is = raised.get(id_)
        tries[row.recipient_id].append(
            (now_is["outcome"], now_is["reported"]) if now_is else (row.outcome, row.reported)
        )
    theirs = _by_recipient(raised, news, known)
    moves = []
    for recipient_id, told in theirs.items():
        row = held[recipient_id]
        target = ranks.next_state(row.state, ranks.best(tries[recipient_id]))
        if target is not None:
            moves.append(_move(row, target, told, now))
    pay(session, moves)
    _note_opt_outs(session, [held[id_] for id_, told in theirs.items() if any(each.opted_out for each in told)], now)
    waited = {move.campaign_id for move in moves if move.source in (State.QUEUED, State.SENDING)}
    return Applied(changed=len(moves), may_close=frozenset(waited))


def _is_news(row: Any, each: _News) -> bool:
    return ranks.is_raised(row.outcome, row.reported, each.report.state)


def _after(row: Any, each: _News, now: datetime) -> dict[str, Any]:
    """Say what an attempt becomes."""
    told = each.report
    outcome = ranks.outcome_after(row.outcome, told.state)
    is_refused = outcome == "rejected"
    return {
        "id": row.id,
        "outcome": outcome,
        "reported": told.state if each.is_reported else row.reported,
        "reported_at": now if each.is_reported else row.reported_at,
        "gateway_reference": row.gateway_reference or told.gateway_reference or None,
        "parts": row.parts or each.parts,
        "price": told.price or row.price,
        "code": told.code or row.code if is_refused else None,
        "reason": told.reason or row.reason if is_refused else None,
        "ended_at": row.ended_at or now,
    }


def _by_recipient(
    raised: Mapping[int, Any], news: Mapping[int, _News], known: Mapping[int, Any]
) -> dict[int, list[Report]]:
    found: dict[int, list[Report]] = defaultdict(list)
    for id_ in raised:
        found[known[id_].recipient_id].append(news[id_].report)
    return found


def _move(row: Any, target: State, told: Sequence[Report], now: datetime) -> Move:
    error = code = None
    if target in (State.UNDELIVERED, State.FAILED):
        report = max(told, key=lambda each: ranks.RANKS[each.state])
        error = (report.reason or WORDS.get(report.state, ""))[:300] or None
        code = report.code or report.state
    return Move(row.id, row.campaign_id, row.price, row.settlement_id, State(row.state), target, error, code, now)


def _note_opt_outs(session: Session, rows: Sequence[Any], now: datetime) -> None:
    if not rows:
        return
    wanted = sorted({row.campaign_id for row in rows})
    teams = sa.select(campaigns.c.id, campaigns.c.team_id).where(campaigns.c.id.in_(wanted))
    team_of: dict[int, int] = dict(session.execute(teams).all())
    optouts.add_all(session, {(team_of[row.campaign_id], row.number) for row in rows}, source="gateway", at=now)


def _is_nameless(told: Report) -> bool:
    return not told.reference and told.gateway_reference != ""


def _is_against_us(told: Report, found: Collection[str]) -> bool:
    return told.scope == "account" and told.reference in found


def _refusals(
    session: Session, told: Mapping[Report, Any], held: Mapping[int, Any], now: datetime
) -> dict[int, Rejected]:
    """Say which campaigns end for what is told against our account: by news, and by copies of what was told lately.

    What had to be done may have been lost with a process. It was not where a campaign has ended and runs again.
    """
    found: dict[int, Rejected] = {}
    copies: dict[int, Rejected] = {}
    for each, row in told.items():
        is_news = ranks.is_raised(row.outcome, row.reported, each.state)
        if is_news or (row.reported_at is not None and now - row.reported_at < COPIES_COME):
            (found if is_news else copies)[held[row.recipient_id].campaign_id] = _refusal(each)
    if copies:
        ended_once = sa.select(campaigns.c.id).where(campaigns.c.id.in_(sorted(copies)), campaigns.c.reopened > 0)
        for id_ in session.scalars(ended_once).all():
            del copies[id_]
    return copies | found


def _refusal(told: Report) -> Rejected:
    return Rejected(told.code or told.state, told.reason or WORDS.get(told.state, ""), "account")
