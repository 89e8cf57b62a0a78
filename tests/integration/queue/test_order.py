"""Whose turn it is."""

from functools import partial

import pytest

from smsqueue.queue.order import Order
from tests.integration.queue.kit import Later, Note, numbers


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def take(bench, clock):
    """Ask for jobs in the order of one worker, with 30 s as the longest wait."""
    order = Order(["default", "later"], 30, clock)
    worker = bench.worker()

    def take(limit: int = 1, order: Order = order):
        claimed = bench.store.write(partial(order.take, worker_id=worker, limit=limit))
        return numbers(claimed, bench.registry)

    return take


def test_smaller_priority_number_goes_first(bench, take):
    for number, priority in enumerate((10, 0, 5, 0)):
        bench.put(Note(number=number), priority=priority)
    assert take(10) == [1, 3, 2, 0]


def test_older_job_goes_first_within_a_priority(bench, take):
    bench.put(Note(number=0), delay=5)
    bench.put(Note(number=1), Note(number=2))
    bench.let_pass(60)
    assert take(10) == [1, 2, 0]


def test_later_queue_waits_until_the_earlier_is_empty(bench, take):
    bench.put(Later(number=9))
    bench.put(*(Note(number=n) for n in range(3)))
    assert [take(1), take(2), take(5), take(5)] == [[0], [1, 2], [9], []]


def test_queue_that_was_not_asked_for_too_long_is_asked_once_next(bench, take, clock):
    bench.put(*(Note(number=n) for n in range(100)), *(Later(number=n) for n in range(200, 205)))
    take(1)
    clock.now += 29.9
    assert take(5) == [1, 2, 3, 4, 5]
    clock.now += 0.1
    assert take(5) == [200]
    assert take(1) == [6]
    clock.now += 29.9
    take(1)
    clock.now += 0.1
    assert take(5) == [201]


def test_overdue_queue_without_jobs_costs_nobody_a_turn(bench, take, clock):
    bench.put(*(Note(number=n) for n in range(5)))
    take(1)
    clock.now += 29
    take(1)
    clock.now += 2
    assert take(1) == [2]


def test_order_is_strict_when_no_wait_is_too_long(bench, take, clock):
    strict = Order(["default", "later"], 0, clock)
    bench.put(*(Note(number=n) for n in range(3)), Later(number=9))
    clock.now += 10_000
    assert [take(1, strict) for _ in range(4)] == [[0], [1], [2], [9]]


def test_least_urgent_job_of_a_busy_queue_is_lifted_after_the_longest_wait(bench, take, clock):
    bench.put(*(Note(number=n) for n in range(50)), priority=0)
    bench.put(Note(number=100), Note(number=101), priority=10)
    assert take(2) == [0, 1]
    clock.now += 29.9
    assert take(2) == [2, 3]
    clock.now += 0.1
    assert take(2) == [100]
    assert take(2) == [4, 5]


def test_job_yields_to_an_earlier_queue_and_to_a_more_urgent_job_only(bench, clock):
    order = Order(["default", "later"], 30, clock)
    bench.put(Later(number=1), Later(number=2), priority=5)
    (held,) = bench.take(queue="later")

    def should_yield() -> bool:
        with bench.store.reading() as session:
            return order.should_yield(session, held)

    assert not should_yield()
    bench.put(Later(number=3), priority=4)
    assert should_yield()
    assert numbers(bench.take(queue="later"), bench.registry) == [3]
    assert not should_yield()
    bench.put(Note(), delay=60)
    assert not should_yield()
    bench.let_pass(61)
    assert should_yield()


def test_job_yields_to_a_later_queue_that_waits_for_too_long(bench, clock):
    order = Order(["default", "later"], 30, clock)
    bench.put(Note(), Later())
    (held,) = bench.take()
    with bench.store.reading() as session:
        assert not order.should_yield(session, held)
        clock.now += 30
        assert order.should_yield(session, held)
