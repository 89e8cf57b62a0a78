"""Recipients: one message to one number each, and every attempt made to send it."""

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from smsqueue.db import Base, BigId, UtcDateTime


class State(StrEnum):
    """What became of a recipient."""

    QUEUED = "queued"
    SENDING = "sending"
    SENT = "sent"
    DELIVERED = "delivered"
    UNDELIVERED = "undelivered"
    FAILED = "failed"
    UNKNOWN = "unknown"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"


HELD = (State.QUEUED, State.SENDING, State.UNKNOWN)
"""States whose price lies in the campaign's escrow."""
ACCEPTED = (State.SENT, State.DELIVERED, State.UNDELIVERED)
"""The gateway took the message: paid for."""
CREDITED = (State.FAILED, State.CANCELLED, State.EXPIRED, State.SUPPRESSED)
"""Surely not taken: credited back."""


class Recipient(Base):
    """One row of a campaign; `row` counts from 1 without gaps, `source_row` is the spreadsheet's."""

    __tablename__ = "sms_recipients"
    __table_args__ = (sa.UniqueConstraint("campaign_id", "row"), sa.Index("ix_sms_recipients_number", "number"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    campaign_id: Mapped[int] = mapped_column(sa.ForeignKey("sms_campaigns.id"))
    row: Mapped[int] = mapped_column(sa.Integer)
    source_row: Mapped[int] = mapped_column(sa.Integer)
    number: Mapped[str] = mapped_column(sa.String(16))
    country: Mapped[str] = mapped_column(sa.String(2), server_default="")
    """ISO 3166 code of the number; empty: not known."""
    text: Mapped[str | None] = mapped_column(sa.Text)
    """This recipient's own text; NULL when all get the campaign's."""
    encoding: Mapped[str] = mapped_column(sa.String(5))
    segments: Mapped[int] = mapped_column(sa.SmallInteger)
    price: Mapped[int] = mapped_column(sa.Integer)
    state: Mapped[str] = mapped_column(sa.String(11), default=State.QUEUED)
    attempts: Mapped[int] = mapped_column(sa.SmallInteger, default=0)
    not_before: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """After a refusal for now: not to be tried again earlier than this."""
    error: Mapped[str | None] = mapped_column(sa.String(300))
    code: Mapped[str | None] = mapped_column(sa.String(40))
    settlement_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    """The ledger transaction that moved this recipient's price out of escrow."""
    updated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Attempt(Base):
    """One call to a gateway: written before the call as `sending`, and again with what came of it."""

    __tablename__ = "sms_attempts"
    __table_args__ = (sa.UniqueConstraint("recipient_id", "number"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    recipient_id: Mapped[int] = mapped_column(sa.ForeignKey(Recipient.id))
    number: Mapped[int] = mapped_column(sa.SmallInteger)
    reference: Mapped[str] = mapped_column(sa.String(40), unique=True)
    """Ours; goes to the gateway with the message."""
    worker_id: Mapped[int | None] = mapped_column(sa.BigInteger)
    claim_token: Mapped[str] = mapped_column(sa.String(32))
    gateway: Mapped[str] = mapped_column(sa.String(20))
    sender: Mapped[str | None] = mapped_column(sa.String(40))
    """Whom it came from; NULL: from before this was noted, so that it cannot be repeated word for word."""
    validity_seconds: Mapped[int | None] = mapped_column(sa.Integer)
    """What the gateway was told, 0 for nothing; NULL as above. The campaign's own time may be another by now."""
    outcome: Mapped[str] = mapped_column(sa.String(10), default="sending")
    """sending, unknown, sent, rejected or deferred: what the call itself, or a look-up, said."""
    gateway_reference: Mapped[str | None] = mapped_column(sa.String(100))
    code: Mapped[str | None] = mapped_column(sa.String(40))
    reason: Mapped[str | None] = mapped_column(sa.String(300))
    may_retry: Mapped[bool] = mapped_column(server_default=sa.false())
    """Refused for a cause that may pass."""
    parts: Mapped[int | None] = mapped_column(sa.SmallInteger)
    """How many segments the gateway counted, when it told."""
    price: Mapped[str | None] = mapped_column(sa.String(30))
    """What the gateway took for it, in its own words."""
    is_partial: Mapped[bool] = mapped_column(server_default=sa.false())
    """Some parts are out and some were refused."""
    reported: Mapped[str | None] = mapped_column(sa.String(11))
    """The highest state that a delivery report told: sent, undelivered, expired, failed, cancelled or delivered."""
    reported_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    looked_up: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("0"))
    """How often the gateway was asked about it."""
    looked_up_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    not_found: Mapped[int] = mapped_column(sa.SmallInteger, server_default=sa.text("0"))
    """How often in a row it did not know it."""
    is_repeated: Mapped[bool] = mapped_column(server_default=sa.false())
    """Nobody could tell of it, and the text was sent again all the same, by a person or by rule; or its gateway did not
    know it, and was believed. So two of them may be accepted, and one is paid for."""
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
