"""What a claim has to give out: the model of the order of jobs."""

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from smsqueue.queue.models import JobRow


@dataclass
class Turns:
    """The order that is promised: each priority, within it each group once, of each group the oldest.

    `in_hand` counts the held jobs of each group. What comes alone comes first or not at all.
    """

    limits: Mapping[str, int]
    in_hand: Counter[str]
    comes_alone: Callable[[JobRow], bool]

    def check(self, taken: Sequence[str], due: Sequence[JobRow], limit: int) -> None:
        """Fail unless just these of the jobs that are due, the oldest first, had to be taken; groups in any order."""
        left = list(taken)
        for level in sorted({row.priority for row in due}):
            lanes: dict[str, list[JobRow]] = defaultdict(list)
            for row in due:
                if row.priority == level:
                    lanes[row.group_key].append(row)
            while lanes:
                served = [row.group_key for row in due if left and row.uuid == left[0]]
                group = served[0] if served and served[0] in lanes else next(iter(lanes))
                room = limit - len(taken) + len(left)
                promised = self._promised(lanes.pop(group), room, is_first=len(left) == len(taken))
                self.in_hand[group] += len(promised)
                assert left[: len(promised)] == [row.uuid for row in promised]
                left = left[len(promised) :]
                is_full = len(taken) - len(left) >= limit
                if is_full or any(self.comes_alone(row) for row in promised):
                    assert not left
                    return
        assert not left

    def _promised(self, lane: list[JobRow], room: int, *, is_first: bool) -> list[JobRow]:
        group = lane[0].group_key
        places = self.limits[group] - self.in_hand[group] if group in self.limits else room
        rows = lane[: max(0, min(room, places))]
        if is_first and rows and self.comes_alone(rows[0]):
            return rows[:1]
        return [row for row in rows if not self.comes_alone(row)]
