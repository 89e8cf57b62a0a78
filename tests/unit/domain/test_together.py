"""Threads that ask for the same at nearly the same time are served together."""

import threading
import time
from functools import partial

import pytest

from smsqueue.domain.together import Together
from tests.domain_workers import Working, at_once
from tests.outside import wait_until


def test_who_is_alone_is_served_at_once():
    done: list[list[int]] = []
    together = Together[int](lambda items: done.append(list(items)), seconds=10)
    began = time.monotonic()
    together.do(1)
    together.do(2)
    assert done == [[1], [2]]
    assert time.monotonic() - began < 1


def test_those_who_come_while_one_is_served_are_served_together():
    gate, begun, done = threading.Event(), threading.Event(), list[list[int]]()

    def work(items):
        begun.set()
        assert gate.wait(10)
        done.append(sorted(items))

    together = Together(work, seconds=0.02)
    first = Working(lambda: together.do(0))
    assert begun.wait(10)
    others = [Working(partial(together.do, item)) for item in range(1, 6)]
    wait_until(lambda: len(together._waiting) == 5)
    gate.set()
    for each in (first, *others):
        each.ended(10)
    assert done == [[0], [1, 2, 3, 4, 5]]


def test_nobody_goes_on_before_theirs_is_done():
    done: set[int] = set()
    together = Together[int](lambda items: done.update(items), seconds=0.02)

    def ask(number):
        together.do(number)
        assert number in done

    for start in range(0, 200, 20):
        errors = at_once([partial(ask, number) for number in range(start, start + 20)])
        assert not any(errors)
    assert done == set(range(200))


def test_a_bad_item_is_told_so_and_is_nobody_elses_trouble():
    done: list[int] = []

    def work(items):
        if 13 in items:
            raise ValueError("unlucky")
        done.extend(items)

    together = Together(work, seconds=0.02)
    for _ in range(20):
        errors = at_once([partial(together.do, number) for number in (11, 12, 13, 14)])
        assert [isinstance(error, ValueError) for error in errors] == [False, False, True, False]


def test_what_breaks_leaves_room_for_the_next():
    def work(items):
        assert items[0]

    together = Together(work, seconds=0.02)
    with pytest.raises(AssertionError):
        together.do(0)
    together.do(1)
