"""Campaigns: a text for one or many recipients, from draft to closed."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID, uuid4

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import Mapped, mapped_column

from smsqueue.core.clock import now
from smsqueue.db import Base, BigId, UtcDateTime
from smsqueue.models.recipients import State

ZERO = sa.text("0")
LargeBlob = sa.LargeBinary().with_variant(mysql.MEDIUMBLOB(), "mysql", "mariadb")


class Kind(StrEnum):
    """How a campaign was made."""

    SINGLE = "single"
    BULK = "bulk"


class Status(StrEnum):
    """Where a campaign stands; pending to failed as `docs/document-map.md` defines them."""

    DRAFT = "draft"
    SCHEDULED = "scheduled"
    PENDING = "pending"
    PROCESSING = "processing"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class UnknownPolicy(StrEnum):
    """What happens to recipients of whom nobody can tell whether they were sent to, when no report or look-up says."""

    HOLD = "hold"
    """People decide; until then the credits stay held."""
    RESEND = "resend"
    """They are sent to once more, which may be the second time."""
    GIVE_UP = "give-up"
    """They are counted as not sent and credited back."""


class Upload(Base):
    """A recipients' file or pasted list, kept while its draft is, so that nothing need be chosen twice."""

    __tablename__ = "sms_uploads"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uuid: Mapped[UUID] = mapped_column(sa.Uuid, unique=True, default=uuid4)
    team_id: Mapped[int] = mapped_column(sa.ForeignKey("teams.id"))
    filename: Mapped[str] = mapped_column(sa.String(255))
    """Empty when the recipients were pasted."""
    content: Mapped[bytes] = mapped_column(LargeBlob, deferred=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now, index=True)


class Campaign(Base):
    """One text to one or many recipients, its price, its counts and how it went."""

    __tablename__ = "sms_campaigns"
    __table_args__ = (
        sa.Index("ix_sms_campaigns_team", "team_id", "id"),
        sa.Index("ix_sms_campaigns_status", "status", "finished_at"),
        sa.Index("ix_sms_campaigns_confirmed", "team_id", "confirmed_at"),
        sa.Index("ix_sms_campaigns_recent", "team_id", "status", "finished_at"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    uuid: Mapped[UUID] = mapped_column(sa.Uuid, unique=True, default=uuid4)
    team_id: Mapped[int] = mapped_column(sa.ForeignKey("teams.id"))
    user_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"))
    kind: Mapped[str] = mapped_column(sa.String(6))
    name: Mapped[str] = mapped_column(sa.String(100))
    text: Mapped[str] = mapped_column(sa.Text)
    status: Mapped[str] = mapped_column(sa.String(10), default=Status.DRAFT)
    error: Mapped[str | None] = mapped_column(sa.String(500))

    upload_id: Mapped[int | None] = mapped_column(sa.ForeignKey(Upload.id, ondelete="SET NULL"))
    column: Mapped[int] = mapped_column(sa.Integer, default=0)
    """Which column of the upload holds the numbers, from 0."""
    token: Mapped[str | None] = mapped_column(sa.String(64), unique=True)
    """The confirm token: whoever posts it launches this campaign, once."""
    checked_rows: Mapped[int] = mapped_column(default=0)
    rows: Mapped[int] = mapped_column(default=0)
    """How many rows the upload has; all are checked when `checked_at` is set."""
    checked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    bad: Mapped[int] = mapped_column(default=0)
    duplicates: Mapped[int] = mapped_column(default=0)
    opted_out: Mapped[int] = mapped_column(sa.Integer, server_default=ZERO)
    """How many rows were left out when they were checked, because their numbers want no texts of the team."""
    countries: Mapped[dict[str, int] | None] = mapped_column(sa.JSON)
    """How many recipients are in each country, by ISO code."""

    total: Mapped[int] = mapped_column(default=0)
    segments: Mapped[int] = mapped_column(default=0)
    price: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    charged: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    returned: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    spent: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    queued: Mapped[int] = mapped_column(default=0)
    sending: Mapped[int] = mapped_column(default=0)
    sent: Mapped[int] = mapped_column(default=0)
    delivered: Mapped[int] = mapped_column(default=0)
    undelivered: Mapped[int] = mapped_column(default=0)
    failed: Mapped[int] = mapped_column(default=0)
    unknown: Mapped[int] = mapped_column(default=0)
    cancelled: Mapped[int] = mapped_column(default=0)
    expired: Mapped[int] = mapped_column(default=0)
    suppressed: Mapped[int] = mapped_column(default=0)
    gave_up: Mapped[int] = mapped_column(default=0)
    """How many slices spent their tries."""

    unknown_policy: Mapped[str] = mapped_column(sa.String(8), server_default=UnknownPolicy.HOLD)
    validity_seconds: Mapped[int | None] = mapped_column(sa.Integer)
    """From its start on, what waits longer is not sent any more; NULL: as the settings say."""
    sending_hours: Mapped[str] = mapped_column(sa.String(11), server_default="")
    """As `08:00-21:00`, by the recipient's clock; empty: any time."""
    scheduled_for: Mapped[datetime | None] = mapped_column(UtcDateTime)
    time_zone: Mapped[str] = mapped_column(sa.String(40), server_default="")
    """The zone in which `scheduled_for` was chosen."""
    first_ten: Mapped[bool] = mapped_column(server_default=sa.false())
    """The first ten go alone, and the rest only when most of them were taken."""
    first_ten_chosen: Mapped[bool | None] = mapped_column(sa.Boolean)
    """Whether somebody said so; NULL: as the team's rule says for so many recipients."""
    braked: Mapped[int] = mapped_column(sa.Integer, server_default=ZERO)
    """How many recipients the brake of their number has held since somebody last let them go; 0: nobody need look."""
    released_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the rest was let go after the first ten; NULL: it waits, or there was nothing to wait for."""
    paused_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    reopened: Mapped[int] = mapped_column(sa.Integer, server_default=ZERO)
    """How often failed recipients were sent to again after the end."""
    is_end_told: Mapped[bool] = mapped_column(server_default=sa.false())
    """Somebody was told of its end, and nobody has asked for more since: what a rule sends again is not told."""
    cloned_from: Mapped[UUID | None] = mapped_column(sa.Uuid)

    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    valid_until: Mapped[datetime | None] = mapped_column(UtcDateTime)

    @property
    def counts(self) -> dict[str, int]:
        """How many recipients are in each state."""
        return {state.value: getattr(self, state.value) for state in State}

    @property
    def held(self) -> int:
        """Credits in escrow: the price of the queued, sending and unknown recipients."""
        return self.charged - self.returned - self.spent

    @property
    def accepted(self) -> int:
        """How many recipients a gateway took."""
        return self.sent + self.delivered + self.undelivered

    @property
    def done(self) -> int:
        """How many recipients need nothing more from us; unknown ones count as done."""
        return self.total - self.queued - self.sending


class SkippedRow(Base):
    """A row of the upload that is not sent to, with the cell as typed and the reason."""

    __tablename__ = "sms_skipped_rows"
    __table_args__ = (sa.Index("ix_sms_skipped_rows_campaign", "campaign_id", "source_row"),)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    campaign_id: Mapped[int] = mapped_column(sa.ForeignKey(Campaign.id, ondelete="CASCADE"))
    source_row: Mapped[int] = mapped_column(sa.Integer)
    duplicate: Mapped[bool] = mapped_column(default=False)
    opted_out: Mapped[bool] = mapped_column(server_default=sa.false())
    cell: Mapped[str] = mapped_column(sa.String(200))
    problem: Mapped[str] = mapped_column(sa.String(500))
