"""Teams, people, notices and credits, made as the program makes them."""

from itertools import count
from typing import Any
from uuid import uuid4

import pytest

from smsqueue.db import Database
from smsqueue.domain import accounts, credits
from smsqueue.models import Campaign, Kind, Notice, Status, Team, User

PASSWORD = "a horse that staples batteries"
HASH = "$argon2id$v=19$m=19456,t=2,p=1$/b+XMub8HwNACOFci1HqfQ$BIbTUutKNy0IyRyoL8gJ3pB59DBQ9C6X6/w4HE+Og0E"
"""What `PASSWORD` is stored as; hashing it anew for each person would take most of a test's time."""

ENDED: dict[str, Any] = {
    "name": "Spring sale",
    "status": "completed",
    "error": None,
    "total": 10,
    "accepted": 8,
    "failed": 2,
    "unknown": 0,
    "success_rate": 80.0,
    "charged": 10,
    "returned": 2,
    "held": 0,
}
"""What a notice says about a campaign."""


class Factory:
    """Makes rows for tests; what matters to a test is said by it, the rest is made up."""

    def __init__(self, store: Database) -> None:
        self.store = store
        self._numbers = count(1)

    def team(self, name: str | None = None, *, balance: int = 0, country: str = "US", countries: str = "*") -> Team:
        """Make a team, with credits to spend."""
        name = name or f"Team {next(self._numbers)}"

        def make(session: Any) -> Team:
            team = accounts.create_team(session, name, country, countries)
            if balance:
                credits.grant(session, team.id, balance, reason="for a test")
            return team

        return self.store.write(make)

    def user(self, email: str | None = None, *, team: Team | None = None, operator: bool = False) -> User:
        """Make a person who signs in with `PASSWORD`."""
        team = team or self.team()
        email = email or f"person{next(self._numbers)}@example.com"
        return self.store.write(
            lambda session: accounts.create_user(session, email=email, password_hash=HASH, team=team, operator=operator)
        )

    def campaign(self, user: User, **values: Any) -> Campaign:
        """Make a campaign without recipients."""
        values = {"kind": Kind.BULK, "name": "Spring sale", "text": "Hello", "status": Status.COMPLETED, **values}

        def make(session: Any) -> Campaign:
            campaign = Campaign(team_id=user.team_id, user_id=user.id, **values)
            session.add(campaign)
            session.flush()
            return campaign

        return self.store.write(make)

    def notice(self, user: User, **values: Any) -> Notice:
        """Make a notice about a campaign that ended."""
        data = {**ENDED, "campaign": str(uuid4()), **values}

        def make(session: Any) -> Notice:
            notice = Notice(type=f"campaign.{data['status']}", notifiable_id=user.id, data=data)
            session.add(notice)
            session.flush()
            return notice

        return self.store.write(make)

    def reload(self, row: Any) -> Any:
        """Read a row again."""
        with self.store.reading() as session:
            return session.get_one(type(row), row.id)


@pytest.fixture
def factory(store: Database) -> Factory:
    """Makes teams, people, campaigns and notices."""
    return Factory(store)
