"""What came in: delivery reports, texts from people, and who wants none any more."""

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from smsqueue.core.clock import now
from smsqueue.db import Base, BigId, UtcDateTime


class DeliveryReport(Base):
    """Every delivery report, once; the same one again is no new row."""

    __tablename__ = "sms_reports"
    __table_args__ = (
        sa.UniqueConstraint("gateway", "reference", "gateway_reference", "state"),
        sa.Index("ix_sms_reports_attempt", "attempt_id"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    attempt_id: Mapped[int | None] = mapped_column(sa.ForeignKey("sms_attempts.id"))
    """NULL: we know no such attempt."""
    gateway: Mapped[str] = mapped_column(sa.String(20))
    reference: Mapped[str] = mapped_column(sa.String(40), server_default="")
    """Ours, if it came back."""
    gateway_reference: Mapped[str] = mapped_column(sa.String(100), server_default="")
    state: Mapped[str] = mapped_column(sa.String(11))
    code: Mapped[str] = mapped_column(sa.String(40), server_default="")
    reason: Mapped[str] = mapped_column(sa.String(300), server_default="")
    price: Mapped[str | None] = mapped_column(sa.String(30))
    at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When it happened, as the gateway says."""
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class InboundText(Base):
    """A text that somebody sent to one of our numbers, as far as it has come."""

    __tablename__ = "sms_inbound"
    __table_args__ = (
        sa.UniqueConstraint("gateway", "gateway_reference"),
        sa.Index("ix_sms_inbound_team", "team_id", "id"),
        sa.Index("ix_sms_inbound_piece", "gateway", "sender", "piece_reference"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    team_id: Mapped[int | None] = mapped_column(sa.ForeignKey("teams.id"))
    """The team that texted this number last; NULL: none ever did."""
    gateway: Mapped[str] = mapped_column(sa.String(20))
    gateway_reference: Mapped[str | None] = mapped_column(sa.String(100))
    sender: Mapped[str] = mapped_column(sa.String(20))
    to: Mapped[str] = mapped_column(sa.String(20), server_default="")
    text: Mapped[str] = mapped_column(sa.Text)
    meaning: Mapped[str] = mapped_column(sa.String(8), server_default="other")
    """stop, start, help, maybe (it holds such a word: a person should look) or other; piece: the rest is missing."""
    piece_reference: Mapped[str | None] = mapped_column(sa.String(40))
    piece_number: Mapped[int | None] = mapped_column(sa.SmallInteger)
    piece_count: Mapped[int | None] = mapped_column(sa.SmallInteger)
    at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class OptOut(Base):
    """A number that a team sends nothing to any more."""

    __tablename__ = "sms_opt_outs"

    team_id: Mapped[int] = mapped_column(sa.ForeignKey("teams.id"), primary_key=True)
    number: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    source: Mapped[str] = mapped_column(sa.String(8))
    """stop (they wrote it), gateway (it refused for that reason) or person (somebody of the team)."""
    note: Mapped[str] = mapped_column(sa.String(200), server_default="")
    user_id: Mapped[int | None] = mapped_column(sa.ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
