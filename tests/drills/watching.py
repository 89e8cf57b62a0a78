"""Looks at a campaign all the time while a drill is on."""

import threading
from types import TracebackType
from typing import Any, Self

import sqlalchemy as sa

STATES = "queued sending sent delivered undelivered failed unknown cancelled expired suppressed".split()
COUNTS = sa.text(f"SELECT total, finished_at, {', '.join(STATES)} FROM sms_campaigns WHERE id = :id")
IDLE = sa.text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'"
    " AND clock_timestamp() - state_change > interval '1 second'"
)


class Watch(threading.Thread):
    """Polls ten times a second whether the counts add up and whether a transaction is open for no reason."""

    def __init__(self, engine: sa.Engine, campaign_id: int) -> None:
        super().__init__(daemon=True)
        self._engine = engine
        self._campaign_id = campaign_id
        self._over = threading.Event()
        self.polls = 0
        self.untrue: list[str] = []
        """Counts that were no whole, fell, or were an end with somebody still on the way."""
        self.idle = 0
        """Transactions of PostgreSQL that were seen open for a second with nothing to do."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.join(30)

    def run(self) -> None:
        """Poll until it is over."""
        ended = 0
        while not self._over.wait(0.1):
            with self._engine.connect() as connection:
                row = connection.execute(COUNTS, {"id": self._campaign_id}).one()._mapping
                if connection.dialect.name == "postgresql":
                    self.idle += connection.execute(IDLE).scalar_one()
            ended = self._judge(row, ended)
            self.polls += 1

    def _judge(self, row: Any, before: int) -> int:
        counts: dict[str, int] = {state: row[state] for state in STATES}
        ended = sum(counts.values()) - counts["queued"] - counts["sending"] - counts["unknown"]
        if sum(counts.values()) != row["total"] or min(counts.values()) < 0 or ended < before:
            self.untrue.append(f"{counts} of {row['total']}, {before} had ended")
        if row["finished_at"] and counts["queued"] + counts["sending"]:
            self.untrue.append(f"finished, and {counts}")
        return ended
