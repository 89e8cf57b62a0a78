"""What the bell in the page's header shows."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from smsqueue.core.clock import now
from smsqueue.db import Base, UtcDateTime


class Notice(Base):
    """One thing a person should know; `data` holds the numbers as they were when it happened."""

    __tablename__ = "notifications"
    __table_args__ = (sa.Index("ix_notifications_notifiable", "notifiable_type", "notifiable_id", "read_at"),)

    id: Mapped[UUID] = mapped_column(sa.Uuid, primary_key=True, default=uuid4)
    type: Mapped[str] = mapped_column(sa.String(60))
    """campaign.completed, campaign.failed, campaign.cancelled."""
    notifiable_type: Mapped[str] = mapped_column(sa.String(30), default="user")
    notifiable_id: Mapped[int] = mapped_column(sa.BigInteger)
    data: Mapped[dict[str, Any]] = mapped_column(sa.JSON)
    read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, onupdate=now)
