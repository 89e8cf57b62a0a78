"""Runs in turn, and what is said of them: medians, the spread, and CPU seconds beside rates."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

WIDTH = 34


@dataclass(frozen=True, slots=True)
class Run:
    """One run: how much was done, in how many seconds by the clock, with how many of CPU."""

    count: int
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """How much was done in a second."""
        return self.count / self.seconds


def in_turn(rounds: int, *runs: Callable[[], Run]) -> list[list[Run]]:
    """Run all, one after the other, in so many rounds, every other one backwards; return the runs of each.

    Whatever slows the machine for a while hits neighbours alike, and none is always the first.
    """
    found: list[list[Run]] = [[] for _ in runs]
    for number in range(rounds):
        order = list(enumerate(runs))
        for index, run in order if number % 2 == 0 else reversed(order):
            found[index].append(run())
    return found


def ratios(ours: Sequence[Run], reference: Sequence[Run]) -> list[float]:
    """Compare each round's rates."""
    return [mine.rate / other.rate for mine, other in zip(ours, reference, strict=True)]


def show_rates(name: str, runs: Sequence[Run], unit: str) -> None:
    """Print the median rate, from where to where it went, and the CPU time of a thousand."""
    rates = [run.rate for run in runs]
    cpu = median(1000 * run.cpu_seconds / run.count for run in runs)
    spread = f"({min(rates):,.0f} to {max(rates):,.0f})"
    say(name, f"{median(rates):>9,.0f} {unit:8} {spread:22} CPU {cpu:.3f} s per 1,000")


def show_ratio(name: str, values: Sequence[float], target: float) -> float:
    """Print the median ratio of the rounds with its spread and the mark, and return it."""
    middle = median(values)
    verdict = "reached" if middle >= target else "MISSED"
    say(name, f"{middle:>9.2f} ({min(values):.2f} to {max(values):.2f}), wanted ≥ {target:g}: {verdict}")
    return round(middle, 3)


def show_limit(name: str, values: Sequence[float], limit: float, unit: str) -> float:
    """Print the median of what must stay at or below a limit, and return it."""
    middle = median(values)
    verdict = "kept" if middle <= limit else "MISSED"
    say(name, f"{middle:>9.2f} {unit} ({min(values):.2f} to {max(values):.2f}), wanted ≤ {limit:g}: {verdict}")
    return round(middle, 3)


def say(name: str, what: str) -> None:
    """Print one line."""
    print(f"  {name:{WIDTH}} {what}", flush=True)


def percentile(values: Sequence[float], number: int) -> float:
    """Return the value that `number` percent do not exceed."""
    return quantiles(values, n=100, method="inclusive")[number - 1]


def timed(action: Callable[[], object]) -> float:
    """Return the seconds that an action takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began
