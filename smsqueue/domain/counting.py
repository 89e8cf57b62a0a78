"""A campaign's stored counters: pages read them, nothing counts a million rows for a poll."""

from collections import Counter

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
from smsqueue.domain.ranks import check_move
from smsqueue.models import Campaign, State

campaigns = table_of(Campaign)
MONEY = ("charged", "returned", "spent")
_FIELDS = (*(state.value for state in State), *MONEY)
_add = (
    sa.update(campaigns)
    .where(campaigns.c.id == sa.bindparam("campaign"))
    .values({name: campaigns.c[name] + sa.bindparam(f"more_{name}") for name in _FIELDS})
)


class Changes(Counter[str]):
    """How many recipients entered (+) or left (-) each state, and credits charged, returned, spent."""

    def moved(self, source: str, target: str, count: int = 1) -> None:
        """Note that `count` recipients went from one state to another, as `ranks.MOVES` allows."""
        check_move(source, target)
        self[source] -= count
        self[target] += count

    def write(self, session: Session, campaign_id: int) -> None:
        """Add the changes to the campaign's counters; the campaign's row is locked from here on."""
        if any(self.values()):
            session.execute(_add, {"campaign": campaign_id, **{f"more_{name}": self[name] for name in _FIELDS}})
