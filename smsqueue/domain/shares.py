"""How many slices each team may have in workers' hands at once."""

from functools import partial

import sqlalchemy as sa

from smsqueue.db import Database
from smsqueue.models import Team
from smsqueue.queue.groups import Limit
from smsqueue.queue.workers import steady

QUEUE = "sms"
LOOK_SECONDS = 5.0
"""So long a change of a team's limit may take to be seen."""
_limited = sa.select(Team.id, Team.max_slices).where(Team.max_slices > 0)


def limit_of_teams(database: Database) -> Limit:
    """Return what tells the queue how many jobs of a team may be held at once; teams without a limit: any number."""
    return partial(_limit_of, _Limits(database))


def _limit_of(limits: "_Limits", queue: str, group: str) -> int:
    return limits.of(group) if queue == QUEUE and group else 0


class _Limits:
    """The teams' limits, as they were some seconds ago at most."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._read_at = float("-inf")
        self._by_team: dict[str, int] = {}

    def of(self, team: str) -> int:
        """Return a team's limit; 0: there is none."""
        if steady() - self._read_at >= LOOK_SECONDS:
            with self._database.reading() as session:
                self._by_team = {str(row.id): row.max_slices for row in session.execute(_limited)}
            self._read_at = steady()
        return self._by_team.get(team, 0)
