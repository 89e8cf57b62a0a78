"""Groups of jobs: they take turns, and each may have a limit of jobs that are held at once."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterator

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.queue.dialects import can_walk, next_group, walk_of_groups
from smsqueue.queue.dispatch import jobs

Limit = Callable[[str, str], int]
"""From queue and group to how many of its jobs may be held at once; 0: any number."""
_walk, _step = walk_of_groups(jobs), next_group(jobs)
_taken = sa.select(jobs.c.group_key, jobs.c.group_slot).where(
    jobs.c.queue == sa.bindparam("queue"), jobs.c.group_slot.isnot(None)
)


class Groups:
    """Whose turn it is among the groups of each priority of a queue, as one worker sees it."""

    def __init__(self, limit_of: Limit | None = None) -> None:
        self.limit_of = limit_of
        self._served: dict[tuple[str, int], str] = {}

    def due(self, session: Session, queue: str, priority: int) -> Iterator[tuple[str, list[int] | None]]:
        """Yield each group that has a due job and a free place, beginning after the one that was served last.

        With it come its free places; None when their number is not limited.
        """
        taken: dict[str, set[int]] | None = None
        for group in self._walk(session, queue, priority):
            limit = self.limit_of(queue, group) if self.limit_of else 0
            if not limit:
                yield group, None
                continue
            taken = _places(session, queue) if taken is None else taken
            free = [slot for slot in range(limit) if slot not in taken[group]]
            if free:
                yield group, free

    def note(self, queue: str, priority: int, group: str) -> None:
        """Remember that this group has had its turn."""
        self._served[queue, priority] = group

    def _walk(self, session: Session, queue: str, priority: int) -> Iterator[str]:
        """Yield the groups that have a due job (on MariaDB: or later ones only), once round."""
        # Workers begin at different groups, or a new crew would serve the first ones first, all at once.
        after = self._served.get((queue, priority)) or f"{random.random():.6f}"[2:]  # noqa: S311 - no secret
        seen: set[str | None] = {None}
        onward = _walk if can_walk(session.get_bind().dialect) else _step
        while row := session.execute(onward, {"queue": queue, "priority": priority, "after": after}).first():
            after = row.group_key
            if after in seen:
                return
            seen.add(after)
            if row.is_due:
                yield row.group_key


def _places(session: Session, queue: str) -> dict[str, set[int]]:
    taken: dict[str, set[int]] = defaultdict(set)
    for group, slot in session.execute(_taken, {"queue": queue}):
        taken[group].add(slot)
    return taken
