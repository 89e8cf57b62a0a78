"""Starting to send: recipients become `sending` and their attempts are on disk before anybody calls the gateway."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_hex
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.bulk import insert_many
from smsqueue.db import changed, table_of
from smsqueue.domain import journal_postgresql
from smsqueue.domain.counting import Changes
from smsqueue.domain.optouts import has_opted_out
from smsqueue.domain.settlement import Rows
from smsqueue.gateways.base import Outgoing
from smsqueue.models import Attempt, Campaign, Recipient, State, Status, User

recipients, attempts, campaigns, users = (table_of(model) for model in (Recipient, Attempt, Campaign, User))
NOT_CALLED = "not called: the worker could not be sure that it was still in time"
"""Why the call of an intent was not made at all."""
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
_NAMES = ("id", "row", "number", "text", "encoding", "segments", "price", "attempts")
is_waiting = (
    recipients.c.campaign_id == sa.bindparam("campaign"),
    recipients.c.row.between(sa.bindparam("first"), sa.bindparam("last")),
    recipients.c.state == State.QUEUED,
    sa.or_(recipients.c.not_before.is_(None), recipients.c.not_before <= sa.bindparam("now")),
)
"""The condition that a recipient of these rows may be sent to now."""
_intend = (
    sa.update(recipients)
    .where(recipients.c.id.in_(sa.bindparam("ids", expanding=True)), recipients.c.state == State.QUEUED, _going_on)
    .values(state=State.SENDING, attempts=recipients.c.attempts + 1, updated_at=sa.bindparam("now"))
)
_still = (
    sa.select(recipients.c.id, recipients.c.attempts)
    .where(recipients.c.id.in_(sa.bindparam("ids", expanding=True)), recipients.c.state == State.QUEUED)
    .order_by(recipients.c.id)
    .with_for_update()
)
_states = (
    sa.select(recipients.c.id, recipients.c.state)
    .where(recipients.c.id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(recipients.c.id)
    .with_for_update()
)


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: what every attempt is signed with."""

    worker_id: int
    token: str
    gateway: str
    sender: str


@dataclass(frozen=True, slots=True)
class Portion:
    """How much may be started at once, and to whom."""

    room: int
    """Recipients."""
    segments: int | None = None
    """None: any number. A single text of more goes, if there is any room at all."""
    countries: frozenset[str] | None = None
    """None: all."""


@dataclass(frozen=True, slots=True)
class Intent:
    """An attempt that is on disk as `sending` and may be called now."""

    recipient_id: int
    attempt: int
    price: int
    outgoing: Outgoing
    gateway: str = field(default="", kw_only=True)


def start(
    session: Session,
    campaign: Campaign,
    rows: Rows,
    sender: Sender,
    changes: Changes,
    *,
    portion: Portion,
    now: datetime,
) -> list[Intent]:
    """Mark queued recipients of these rows as `sending`, as far as the portion goes, and return what to call.

    Nothing is marked when the campaign was stopped or its owner disabled, and nobody who has opted out: the UPDATE
    itself asks. The caller writes `changes`.
    """
    where: dict[str, Any] = {"campaign": campaign.id, "team": campaign.team_id, "first": rows[0], "last": rows[1]}
    where |= {"now": now, "room": portion.room}
    if portion.segments is not None:
        where["budget"] = portion.segments
    if portion.countries is not None:
        where["countries"] = sorted(portion.countries)
    kind = portion.segments is not None, portion.countries is not None
    if journal_postgresql.is_spoken_by(session):
        signature = signature_of(sender) | {"validity_seconds": _validity(campaign, now)}
        started = [
            (row, row.attempts, row.reference) for row in _starting[kind].run(session, where, signature, token_hex(4))
        ]
    else:
        started = [(row, row.attempts + 1, _reference(row)) for row in _take(session, _picks[kind], where)]
    intents = [_intent(each, campaign, sender, now) for each in started]
    if intents and not journal_postgresql.is_spoken_by(session):
        insert_many(session, attempts, [_attempt(intent, sender, now) for intent in intents])
    changes.moved(State.QUEUED, State.SENDING, len(intents))
    return intents


def written(session: Session, intents: Sequence[Intent]) -> bool:
    """Say whether these intents are on disk, after a commit whose answer was lost."""
    reference = intents[0].outgoing.reference
    return session.execute(sa.select(attempts.c.id).where(attempts.c.reference == reference)).first() is not None


def countries_of(session: Session, campaign: Campaign, rows: Rows) -> list[str]:
    """List the countries of those recipients of these rows who wait."""
    mine = sa.select(recipients.c.country).distinct().where(recipients.c.campaign_id == campaign.id)
    waiting = mine.where(recipients.c.row.between(*rows), recipients.c.state == State.QUEUED)
    return list(session.scalars(waiting.order_by(recipients.c.country)))


def signature_of(sender: Sender) -> dict[str, Any]:
    """Return what every attempt of this sender carries."""
    signed = {"worker_id": sender.worker_id, "claim_token": sender.token, "gateway": sender.gateway}
    return signed | {"sender": sender.sender[:40]}


def _pick(*, is_budgeted: bool, by_country: bool) -> sa.Select[Any]:
    """Select who is next; `is_budgeted` ends where the segments are used up, but not before the first."""
    opted_out = has_opted_out(sa.bindparam("team", type_=sa.Integer))
    columns = [recipients.c[name] for name in _NAMES]
    due = sa.select(*columns).where(*is_waiting, ~opted_out)
    if by_country:
        due = due.where(recipients.c.country.in_(sa.bindparam("countries", expanding=True)))
    due = due.order_by(recipients.c.row).limit(sa.bindparam("room", type_=sa.Integer))
    if not is_budgeted:
        return due
    first = due.subquery("due")
    total = sa.func.sum(first.c.segments).over(order_by=first.c.row).label("total")
    summed = sa.select(first, total).subquery("summed")
    fits = sa.or_(summed.c.total <= sa.bindparam("budget", type_=sa.Integer), summed.c.total == summed.c.segments)
    return sa.select(*(summed.c[name] for name in _NAMES)).where(fits).order_by(summed.c.row)


_picks = {
    (is_budgeted, by_country): _pick(is_budgeted=is_budgeted, by_country=by_country)
    for is_budgeted in (False, True)
    for by_country in (False, True)
}
_starting = {kind: journal_postgresql.Starting(pick, _going_on) for kind, pick in _picks.items()}


def _take(session: Session, pick: sa.Select[Any], where: Mapping[str, Any]) -> Sequence[Any]:
    """Mark what `pick` finds, and return the rows that were marked, as they were before."""
    picked = _lock(session, session.execute(pick, where).all())
    ids = [row.id for row in picked]
    if not ids or changed(session, _intend, {"ids": ids, "now": where["now"]}) == len(ids):
        return picked
    taken = {row.id for row in session.execute(_states, {"ids": ids}) if row.state == State.SENDING}
    return [row for row in picked if row.id in taken]


def _lock(session: Session, picked: Sequence[Any]) -> Sequence[Any]:
    """Return those that nobody else has taken since they were picked: another job may have the same rows."""
    if not picked or session.get_bind().dialect.name == "sqlite":  # there nobody else writes meanwhile
        return picked
    found = session.execute(_still, {"ids": [row.id for row in picked]})
    free = {(row.id, row.attempts) for row in found}
    return [row for row in picked if (row.id, row.attempts) in free]


def _reference(row: Any) -> str:
    return f"{row.id}-{row.attempts + 1}-{token_hex(4)}"


def _intent(started: tuple[Any, int, str], campaign: Campaign, sender: Sender, now: datetime) -> Intent:
    row, attempt, reference = started
    outgoing = Outgoing(
        reference=reference,
        to=row.number,
        text=campaign.text if row.text is None else row.text,
        encoding=row.encoding,
        segments=row.segments,
        sender=sender.sender,
        validity_seconds=_validity(campaign, now),
    )
    return Intent(row.id, attempt, row.price, outgoing, gateway=sender.gateway)


def _validity(campaign: Campaign, now: datetime) -> int:
    return max(1, int((campaign.valid_until - now).total_seconds())) if campaign.valid_until else 0


def _attempt(intent: Intent, sender: Sender, now: datetime) -> dict[str, Any]:
    return {
        "recipient_id": intent.recipient_id,
        "number": intent.attempt,
        "reference": intent.outgoing.reference,
        "outcome": "sending",
        "started_at": now,
        "validity_seconds": intent.outgoing.validity_seconds,
        **signature_of(sender),
    }
