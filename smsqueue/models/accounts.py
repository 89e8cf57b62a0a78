"""Teams and the people in them."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from smsqueue.core.clock import now
from smsqueue.db import Base, UtcDateTime

ZERO = sa.text("0")


class Team(Base):
    """People who share one wallet, one list of campaigns and one list of countries they may text."""

    __tablename__ = "teams"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100), unique=True)
    country: Mapped[str] = mapped_column(sa.String(2))
    """ISO 3166 code: how a number without a country code is understood."""
    countries: Mapped[str] = mapped_column(sa.String(1000))
    """Where the team may send: `*`, or ISO codes parted by commas."""
    time_zone: Mapped[str] = mapped_column(sa.String(40), server_default="UTC")
    """IANA name: how the team's times are read and shown."""
    sending_hours: Mapped[str] = mapped_column(sa.String(11), server_default="")
    """As `08:00-21:00`, by the recipient's clock: what new campaigns keep to; empty: any time."""
    first_ten_above: Mapped[int] = mapped_column(sa.Integer, server_default="500")
    """Campaigns of more recipients begin with ten whose answers are waited for, unless a person says otherwise."""
    type_count_above: Mapped[int] = mapped_column(sa.Integer, server_default="1000")
    """Above so many recipients the confirm page asks for the number to be typed; 0: never."""
    daily_cap: Mapped[int] = mapped_column(sa.Integer, server_default=ZERO)
    """The most recipients that may be confirmed in one day of the team's zone; 0: any number."""
    max_slices: Mapped[int] = mapped_column(sa.SmallInteger, server_default=ZERO)
    """How many of its slices may be sent at once; 0: any number."""
    copies_per_hour: Mapped[int] = mapped_column(sa.SmallInteger, server_default="2")
    """The same words go to the same number so often within an hour; further ones are held; 0: any number."""
    opt_out_words: Mapped[str] = mapped_column(sa.String(200), server_default="")
    """Words of the team's language that opt out, beside the usual ones, parted by commas."""
    gateways: Mapped[str] = mapped_column(sa.String(100), server_default="")
    """Gateways in order of preference, parted by commas; empty: as the settings say."""
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    @property
    def allowed_countries(self) -> frozenset[str] | None:
        """The countries this team may text; None means every one."""
        return None if self.countries == "*" else frozenset(self.countries.split(","))


class User(Base):
    """A person who signs in, works for one team, and may be an operator of the whole installation."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(primary_key=True)
    team_id: Mapped[int] = mapped_column(sa.ForeignKey(Team.id), index=True)
    email: Mapped[str] = mapped_column(sa.String(255), unique=True)
    password: Mapped[str] = mapped_column(sa.String(255))
    active: Mapped[bool] = mapped_column(default=True)
    operator: Mapped[bool] = mapped_column(default=False)
    fs_uniquifier: Mapped[str] = mapped_column(sa.String(64), unique=True)
    failed_logins: Mapped[int] = mapped_column(default=0)
    locked_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)

    team: Mapped[Team] = relationship(lazy="joined", innerjoin=True)

    @property
    def roles(self) -> list[Any]:
        """Flask-Security asks for roles; operators are told by a column of their own."""
        return []
