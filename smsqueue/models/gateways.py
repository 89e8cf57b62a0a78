"""What is known of each gateway at this moment: its breaker, its pace, and the references it gave out."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from smsqueue.db import Base, UtcDateTime

ZERO = sa.text("0")


class GatewayState(Base):
    """A gateway's breaker, shared by all workers; no row: closed, and nobody has paused it."""

    __tablename__ = "sms_gateways"

    name: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    failures: Mapped[int] = mapped_column(sa.Integer, server_default=ZERO)
    """How many calls in a row did not reach it, or had no answer."""
    opened_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Since when nothing is sent through it; NULL: the breaker is closed."""
    probe_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When one recipient may try it next, while the breaker is open."""
    reason: Mapped[str | None] = mapped_column(sa.String(300))
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """Since when an operator, or an answer that says its address is wrong, keeps it from being used."""
    paused_by: Mapped[str | None] = mapped_column(sa.String(300))


class Rate(Base):
    """How many segments a second may go out through a gateway, or from a sender; no row: no limit (yet)."""

    __tablename__ = "sms_rates"

    name: Mapped[str] = mapped_column(sa.String(60), primary_key=True)
    """`gateway:<name>` or `sender:<gateway>:<sender>`."""
    per_second: Mapped[float] = mapped_column(sa.Float)
    """Now; throttling lowers it below what the settings say."""
    due_us: Mapped[int] = mapped_column(sa.BigInteger)
    """When the next segment is due, in microseconds of the database's clock."""
    throttled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class GatewayReference(Base):
    """A gateway's own reference, kept where its reports come without ours."""

    __tablename__ = "sms_gateway_references"

    gateway: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
    gateway_reference: Mapped[str] = mapped_column(sa.String(100), primary_key=True)
    reference: Mapped[str] = mapped_column(sa.String(40))
