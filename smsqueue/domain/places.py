"""How many calls one gateway gets at once: as many as its latency asks for, and no more than make it slower."""

from dataclasses import dataclass

GROWTH = 1.5
PATIENCE = 20
"""After a step that made calls slower, so many rounds pass before the next."""
MOST_PER_SECOND = 1000
"""What one process can do at all, by its own CPU: more calls at once than that needs only get into each other's way."""
BUSY = 0.8


@dataclass
class Places:
    """Grows while all places are busy and calls get no slower; shrinks when they do. Not for several threads at once.

    A round is as many answers as there are places.
    """

    least: int
    most: int
    now: int = 0
    _answers: int = 0
    _waited_for: int = 0
    """How many answers came while a call was waiting for a place."""
    _seconds: float = 0.0
    _fastest: float = float("inf")
    _before: tuple[int, float] | None = None
    """The places and the mean latency before the last step up."""
    _usual: float = 0.0
    """The mean latency with the least places."""
    _rest: int = 0

    def __post_init__(self) -> None:
        """Begin with the least."""
        self.now = self.now or self.least

    def note(self, seconds: float, waiting: int) -> None:
        """Learn how long a call took, and how many wait for a place."""
        self._answers += 1
        self._seconds += seconds
        self._fastest = min(self._fastest, seconds)
        self._waited_for += waiting > 0
        if self._answers >= self.now:
            self._decide(self._seconds / self._answers)
            self._answers, self._waited_for, self._seconds, self._fastest = 0, 0, 0.0, float("inf")

    def _decide(self, mean: float) -> None:
        before, self._before = self._before, None
        self._rest = max(0, self._rest - 1)
        if before and mean > before[1] * (1 + (self.now / before[0] - 1) / 2):
            self.now, self._rest = before[0], PATIENCE
        elif self.now > self.least and mean > 2 * self._usual:
            self.now, self._rest = max(self.least, int(self.now / GROWTH)), PATIENCE
        elif self._is_worth_more() and not self._rest:
            self._before = self.now, mean
            self._usual = mean if self.now == self.least else self._usual
            self.now = min(self.most, max(self.now + 1, int(self.now * GROWTH)))

    def _is_worth_more(self) -> bool:
        is_busy = self._waited_for >= BUSY * self._answers
        return is_busy and self.now < self.most and self.now < MOST_PER_SECOND * self._fastest
