"""When slices look again that wait for a gateway which is away while others are there."""

import heapq
from collections import Counter

import pytest

from smsqueue.domain import traffic
from smsqueue.domain.traffic import LONGEST_PUT_OFF_SECONDS, Traffic

SHUT = 3.0


@pytest.mark.parametrize(("slices", "most"), [(5, 2), (100, 12), (2_000, 200)])
def test_they_come_back_the_later_the_more_there_are_but_some_do_all_the_time(monkeypatch, slices, most):
    now = [0.0]
    monkeypatch.setattr(traffic, "steady", lambda: now[0])
    worker = Traffic({"a": None, "b": None})
    due = [0.0] * slices
    looks: Counter[int] = Counter()
    while now[0] < 120:
        now[0] = due[0]
        looks[int(now[0])] += 1
        wait = worker.put_off_seconds(["a"], 0.5, SHUT)
        assert SHUT < wait <= SHUT + LONGEST_PUT_OFF_SECONDS
        heapq.heapreplace(due, now[0] + wait)

    seconds = range(60, 120)
    assert sum(looks[second] for second in seconds) / len(seconds) <= most
    assert max(looks[second] + looks[second + 1] for second in seconds) <= 4 * most
    gap = 2 * SHUT + 1 if slices < 100 else 3
    assert all(any(looks[second + more] for more in range(int(gap))) for second in seconds[:-8])


def test_those_who_wait_for_another_are_not_put_off_for_their_sake(monkeypatch):
    monkeypatch.setattr(traffic, "steady", lambda: 0.0)
    worker = Traffic({"a": None, "b": None})
    for _ in range(500):
        worker.put_off_seconds(["a"], 0.5, SHUT)

    assert worker.put_off_seconds(["b"], 0.5, 0.2) <= 0.4
    assert worker.put_off_seconds(["a"], 0.9, 0.2) <= 0.4
