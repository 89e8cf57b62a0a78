"""The ledger: append-only, double entry, whole credits."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from smsqueue.core.clock import now
from smsqueue.db import Base, BigId, UtcDateTime


class Account(Base):
    """A place where credits lie. Wallets and escrows cache their balance; revenue and top-up are sums of entries."""

    __tablename__ = "accounts"
    __table_args__ = (sa.CheckConstraint("balance >= 0", name="not_negative"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(40), unique=True)
    """`wallet:<team>`, `escrow:<campaign>`, `revenue` or `topup`."""
    balance: Mapped[int | None] = mapped_column(sa.BigInteger)


class LedgerTransaction(Base):
    """One movement of credits: its entries sum to 0. The key makes a repeated movement impossible."""

    __tablename__ = "ledger_transactions"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    key: Mapped[str] = mapped_column(sa.String(80), unique=True)
    kind: Mapped[str] = mapped_column(sa.String(20))
    """grant, charge, spend, return."""
    team_id: Mapped[int] = mapped_column(sa.ForeignKey("teams.id"))
    campaign_id: Mapped[int | None] = mapped_column(sa.ForeignKey("sms_campaigns.id"), index=True)
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    note: Mapped[str] = mapped_column(sa.String(500), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class LedgerEntry(Base):
    """What one account gained (positive) or lost (negative) in a transaction."""

    __tablename__ = "ledger_entries"
    __table_args__ = (
        sa.CheckConstraint("amount <> 0", name="not_zero"),
        sa.Index("ix_ledger_entries_account", "account_id", "id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    transaction_id: Mapped[int] = mapped_column(sa.ForeignKey(LedgerTransaction.id), index=True)
    account_id: Mapped[int] = mapped_column(sa.ForeignKey(Account.id))
    amount: Mapped[int] = mapped_column(sa.BigInteger)
