"""The journal's hot statements on PostgreSQL: each does what elsewhere takes several.

A window costs what its statements cost: each waits for an answer while the senders' threads want the interpreter.
Rows go to the database as one JSON value: arrays for each column cost three times as much to write down.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, JSON
from sqlalchemy.orm import Session

from smsqueue.core.clock import now as moment
from smsqueue.db import UtcDateTime, table_of
from smsqueue.domain import credits
from smsqueue.models import Account, Attempt, Campaign, LedgerEntry, LedgerTransaction, Recipient, State

recipients, attempts = table_of(Recipient), table_of(Attempt)
accounts, entries, transactions = table_of(Account), table_of(LedgerEntry), table_of(LedgerTransaction)
_SIGNED = ("worker_id", "claim_token", "gateway", "sender", "validity_seconds")
_RESULTS = ("reference", "outcome", "gateway_reference", "code", "reason", "may_retry", "parts", "price", "is_partial")
# Arrays of keys, and not joins: found by the index, whatever the planner believes of a young table.
_is_asked_for = recipients.c.id == sa.func.any(sa.bindparam("ids", type_=ARRAY(sa.BigInteger)))


def is_spoken_by(session: Session) -> bool:
    """Say whether this session's database understands these statements."""
    return session.get_bind().dialect.name == "postgresql"


def _bind(column: sa.Column[Any]) -> sa.BindParameter[Any]:
    # A value that is called like a column would be written to every table here that has such a column.
    return sa.bindparam(f"of_{column.name}", type_=column.type)


def _bound(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"of_{name}": value for name, value in values.items()}


def _given(name: str, columns: Iterable[sa.Column[Any]]) -> sa.TableValuedAlias:
    """Let a statement read the JSON list of objects that is bound to `name` as a table."""
    typed: list[sa.ColumnClause[Any]] = [sa.column(column.name, column.type) for column in columns]
    rows = sa.func.json_to_recordset(sa.bindparam(name, type_=JSON)).table_valued(*typed, name="given")
    return rows.render_derived(with_types=True)


class Starting:
    """Marks queued recipients as `sending`, writes their attempts and returns what to call, in one statement."""

    def __init__(self, pick: sa.Select[Any], condition: sa.ColumnElement[bool]) -> None:
        """Start what `pick` finds, as far as `condition` holds when its row is changed."""
        picked = sa.func.array(pick.with_only_columns(pick.selected_columns.id).scalar_subquery())
        now = sa.bindparam("now", type_=UtcDateTime)
        columns = [recipients.c[name] for name in ("id", "row", "number", "text", "encoding", "segments", "price")]
        taken = (
            sa.update(recipients)
            .where(recipients.c.id == sa.func.any(picked), recipients.c.state == State.QUEUED, condition)
            .values(state=State.SENDING, attempts=recipients.c.attempts + 1, updated_at=now)
            .returning(*columns, recipients.c.attempts)
            .cte("taken")
        )
        reference = sa.func.concat(taken.c.id, "-", taken.c.attempts, "-", sa.bindparam("salt", type_=sa.String))
        values: dict[str, Any] = {
            "recipient_id": taken.c.id,
            "number": taken.c.attempts,
            "reference": reference,
            "outcome": sa.literal("sending"),
            "started_at": now,
            **{name: _bind(attempts.c[name]) for name in _SIGNED},
        }
        noted = sa.insert(attempts).from_select(list(values), sa.select(*values.values()), False).cte("noted")
        self._statement = sa.select(taken, reference.label("reference")).order_by(taken.c.row).add_cte(noted)

    def run(self, session: Session, where: Mapping[str, Any], signature: Mapping[str, Any], salt: str) -> Sequence[Any]:
        """Return the started rows with the number and the reference of their attempts."""
        return session.connection().execute(self._statement, {**where, **_bound(signature), "salt": salt}).all()


def _result_statement() -> sa.Select[Any]:
    given = _given("results", [attempts.c[name] for name in _RESULTS])
    values: dict[str, Any] = {name: given.c[name] for name in _RESULTS if name != "reference"}
    noted = (
        sa.update(attempts)
        .where(
            attempts.c.reference == given.c.reference,
            # What a report has ended meanwhile is not lowered.
            sa.or_(attempts.c.outcome.in_(("sending", "unknown")), given.c.outcome == "sent"),
        )
        .values(**values, ended_at=sa.bindparam("now", type_=UtcDateTime))
        .cte("noted")
    )
    columns = (recipients.c.id, recipients.c.state, recipients.c.attempts)
    found = sa.select(*columns).where(_is_asked_for).order_by(recipients.c.id).with_for_update()
    return found.add_cte(noted)


_result = _result_statement()


def note_results(
    session: Session, results: Sequence[Mapping[str, Any]], ids: Sequence[int], now: datetime
) -> Sequence[Any]:
    """Write attempts' results, unless a report told more; return their recipients' id, state and attempts, locked."""
    shown = [{name: each[name] for name in _RESULTS} for each in results]
    return session.connection().execute(_result, {"results": shown, "ids": list(ids), "now": now}).all()


def _spend_statement() -> sa.Select[Any]:
    amount = _bind(entries.c.amount)
    source, target = (sa.bindparam(name, type_=sa.String) for name in ("source", "target"))
    names = ("key", "kind", "team_id", "campaign_id", "note", "created_at")
    row = {name: _bind(transactions.c[name]) for name in names}
    made = sa.insert(transactions).values(row).returning(transactions.c.id).cte("made")
    made_id = sa.select(made.c.id).scalar_subquery()
    signed = sa.case((accounts.c.name == source, -amount), else_=amount)
    lines = sa.select(made_id, accounts.c.id, signed).where(accounts.c.name.in_((source, target)))
    written = sa.insert(entries).from_select(["transaction_id", "account_id", "amount"], lines, False).cte("written")
    paid = (
        sa.update(accounts)
        .where(accounts.c.name == source, accounts.c.balance >= amount)
        .values(balance=accounts.c.balance - amount)
        .returning(accounts.c.id)
        .cte("paid")
    )
    cleared = dict.fromkeys(("error", "code", "not_before"), sa.null())
    settled = (
        sa.update(recipients)
        .where(_is_asked_for)
        .values(state=_bind(recipients.c.state), **cleared, settlement_id=made_id)
        .cte("settled")
    )
    return sa.select(paid.c.id).add_cte(written, settled)


_spend = _spend_statement()


def spend(session: Session, campaign: Campaign, ids: Sequence[int], amount: int) -> None:
    """Mark recipients as sent and move their price from escrow to revenue; raise LedgerBroken when it is not there."""
    row = {
        "key": f"spend:{uuid4()}",
        "kind": "spend",
        "team_id": campaign.team_id,
        "campaign_id": campaign.id,
        "note": campaign.name,
        "created_at": moment(),
        "amount": amount,
        "state": State.SENT,
    }
    source = credits.escrow(campaign.id)
    values = {**_bound(row), "source": source, "target": credits.REVENUE, "ids": list(ids)}
    if session.connection().execute(_spend, values).first() is None:
        raise credits.LedgerBroken(f"{source} holds less than {amount} credits; run `flask sms audit`")
