"""The ledger's movements: append-only, double entry, and no balance below zero."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.db import changed, insert_row, table_of
from smsqueue.domain.errors import NotEnoughCredits
from smsqueue.models import Account, Campaign, LedgerEntry, LedgerTransaction, User

accounts, transactions, entries = table_of(Account), table_of(LedgerTransaction), table_of(LedgerEntry)
TOPUP, REVENUE = "topup", "revenue"
LARGEST_GRANT = 1_000_000_000


class BadAmount(SmsQueueError):
    """An amount of credits that cannot be granted."""


class LedgerBroken(SmsQueueError):
    """An escrow holds less than must be taken out: a bug, and nothing was changed."""


def wallet(team_id: int) -> str:
    """Name a team's wallet."""
    return f"wallet:{team_id}"


def escrow(campaign_id: int) -> str:
    """Name the account that holds the price of a campaign's undecided recipients."""
    return f"escrow:{campaign_id}"


def open_account(session: Session, name: str, *, cached: bool) -> None:
    """Create an account with nothing in it; `cached` ones keep their balance beside their entries."""
    insert_row(session, accounts, {"name": name, "balance": 0 if cached else None})


def open_common_accounts(session: Session) -> None:
    """Create top-up and revenue where they are missing."""
    there = set(session.scalars(sa.select(accounts.c.name).where(accounts.c.name.in_((TOPUP, REVENUE)))))
    for name in {TOPUP, REVENUE} - there:
        open_account(session, name, cached=False)


def record(
    session: Session,
    kind: str,
    team_id: int,
    *,
    key: str | None = None,
    campaign_id: int | None = None,
    user_id: int | None = None,
    note: str = "",
) -> int:
    """Write down that a movement happens and return its id; its entries follow by `move`."""
    values = {
        "key": key or f"{kind}:{uuid4()}",
        "kind": kind,
        "team_id": team_id,
        "campaign_id": campaign_id,
        "user_id": user_id,
        "note": note,
        "created_at": now(),
    }
    if campaign_id is not None and session.get_bind().dialect.name in ("mysql", "mariadb"):
        # InnoDB's foreign key takes a shared lock on the campaign, whose counters follow: see `move`.
        session.execute(sa.select(Campaign.id).where(Campaign.id == campaign_id).with_for_update())
    return insert_row(session, transactions, values)


def move(session: Session, transaction_id: int, source: str, target: str, amount: int) -> None:
    """Move `amount` credits between two accounts as the entries of a transaction; the wallet is touched last."""
    signed = sorted(((source, -amount), (target, amount)), key=lambda pair: pair[0].startswith("wallet"))
    # The balances first: on InnoDB an entry's foreign key takes a shared lock on the account, and two who hold
    # that one and then want to change the balance are a deadlock.
    for name, more in signed:
        _add(session, name, more)
    rows = [{"transaction_id": transaction_id, "account_id": _id_of(name), "amount": more} for name, more in signed]
    session.execute(sa.insert(entries).values(rows))


def lock(session: Session, names: Sequence[str]) -> None:
    """Lock accounts in this order, each by its name: one statement for all might lock them in another."""
    for name in names:
        session.execute(sa.select(accounts.c.id).where(accounts.c.name == name).with_for_update(key_share=True))


def charge(session: Session, campaign: Campaign, amount: int, *, key: str, user_id: int | None) -> None:
    """Move a campaign's price from the team's wallet to its escrow; raise NotEnoughCredits and change nothing."""
    transaction = record(
        session, "charge", campaign.team_id, key=key, campaign_id=campaign.id, user_id=user_id, note=campaign.name
    )
    move(session, transaction, wallet(campaign.team_id), escrow(campaign.id), amount)


def grant(session: Session, team_id: int, amount: int, *, reason: str, by: int | None = None) -> None:
    """Add credits to a team's wallet, with the reason for the books."""
    if not 0 < amount <= LARGEST_GRANT:
        raise BadAmount(f"{amount} credits cannot be granted: give a whole number from 1 to {LARGEST_GRANT:,}.")
    if not reason.strip():
        raise BadAmount("Say why the credits are granted: the reason stands in the ledger.")
    transaction = record(session, "grant", team_id, user_id=by, note=reason.strip()[:500])
    move(session, transaction, TOPUP, wallet(team_id), amount)


def balance(session: Session, team_id: int) -> int:
    """Return the credits a team can spend."""
    return session.scalar(sa.select(accounts.c.balance).where(accounts.c.name == wallet(team_id))) or 0


def held(session: Session, team_id: int) -> int:
    """Return the credits that lie in the escrows of a team's campaigns."""
    price = Campaign.charged - Campaign.returned - Campaign.spent
    return int(session.scalar(sa.select(sa.func.coalesce(sa.func.sum(price), 0)).where(_of_team(team_id))) or 0)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a team's account statement."""

    id: int
    at: datetime
    kind: str
    note: str
    campaign_uuid: UUID | None
    campaign_name: str | None
    user_email: str | None
    amount: int
    balance_after: int


def history(session: Session, team_id: int, before: int | None = None, limit: int = 50) -> list[Line]:
    """Return a team's statement, newest first, from below entry `before`."""
    mine = entries.c.account_id == _id_of(wallet(team_id))
    statement = (
        sa.select(
            entries.c.id,
            transactions.c.created_at,
            transactions.c.kind,
            transactions.c.note,
            Campaign.uuid,
            Campaign.name,
            User.email,
            entries.c.amount,
        )
        .join(transactions, transactions.c.id == entries.c.transaction_id)
        .outerjoin(Campaign, Campaign.id == transactions.c.campaign_id)
        .outerjoin(User, User.id == transactions.c.user_id)
        .where(mine)
        .order_by(entries.c.id.desc())
        .limit(limit)
    )
    after = balance(session, team_id)
    if before is not None:
        statement = statement.where(entries.c.id < before)
        later = sa.select(sa.func.sum(entries.c.amount)).where(mine, entries.c.id >= before)
        after -= int(session.scalar(later) or 0)
    return _lines(session.execute(statement).all(), after)


def _lines(rows: Sequence[Any], after: int) -> list[Line]:
    lines = []
    for row in rows:
        lines.append(Line(*(*row, after)))
        after -= row[-1]
    return lines


def _of_team(team_id: int) -> sa.ColumnElement[bool]:
    return Campaign.team_id == team_id


def _id_of(name: str) -> sa.ScalarSelect[int]:
    return sa.select(accounts.c.id).where(accounts.c.name == name).scalar_subquery()


def _add(session: Session, name: str, amount: int) -> None:
    """Change a cached balance, if it stays at or above zero: the condition is in the UPDATE itself."""
    if name in (TOPUP, REVENUE):
        return
    statement = sa.update(accounts).where(accounts.c.name == name, accounts.c.balance + amount >= 0)
    if changed(session, statement.values(balance=accounts.c.balance + amount)):
        return
    kind, _, number = name.partition(":")
    if kind == "wallet":
        raise NotEnoughCredits(-amount, balance(session, int(number)))
    raise LedgerBroken(f"{name} holds less than {-amount} credits; run `flask sms audit`")
