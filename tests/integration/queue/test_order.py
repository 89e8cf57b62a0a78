"""Whose turn it is."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from smsqueue.queue import claim as claims
from smsqueue.queue import control
from smsqueue.queue.dispatch import enqueue_many
from smsqueue.queue.order import TURN_SECONDS, Order
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


def test_paused_queue_is_stepped_over_and_nobody_yields_to_it(bench, clock):
    order, worker = Order(["default", "later"], 30, clock), bench.worker()
    bench.put(Note(number=1), Later(number=2))
    bench.store.write(partial(control.pause, queue="default"))
    with bench.store.reading() as session:
        order.controls = control.read(session)
    (held,) = bench.store.write(lambda s: order.take(s, worker, 5))
    assert held.queue == "later"
    clock.now += 40
    with bench.store.reading() as session:
        assert not order.should_yield(session, held)
    assert bench.store.write(lambda s: order.take(s, worker, 5)) == []
    order.controls = control.Controls()
    with bench.store.reading() as session:
        assert order.should_yield(session, held)
    assert len(bench.store.write(lambda s: order.take(s, worker, 5))) == 1


def test_with_a_ceiling_only_urgent_jobs_are_taken_and_nothing_is_lifted(bench, clock):
    order, worker = Order(["default", "later"], 30, clock), bench.worker()
    bench.put(Note(number=1), priority=5)
    bench.put(Later(number=2), Later(number=3), priority=-5)
    clock.now += 40

    def take(**more):
        return numbers(bench.store.write(lambda s: order.take(s, worker, 5, **more)), bench.registry)

    assert take(ceiling=-5) == [2, 3]
    assert take(ceiling=-5) == []
    assert take() == [1]


def test_each_priority_is_lifted_in_turn(bench, take, clock):
    bench.put(*(Note(number=n) for n in range(50)), priority=0)
    for priority in (5, 7, 9):
        bench.put(*(Note(number=100 * priority + n) for n in range(3)), priority=priority)
    lifted = []
    for _ in range(5):
        clock.now += 30
        lifted += take()
        take()
    assert lifted == [900, 700, 500, 901, 701]


def test_busy_queue_that_has_nothing_to_lift_goes_on_as_ever(bench, take, clock):
    bench.put(*(Note(number=n) for n in range(4)))
    bench.put(Note(number=100), priority=9, delay=60)
    clock.now += 30
    assert take(2) == [0, 1]


def test_lifted_job_gets_its_turn_before_it_yields(bench, clock):
    order, worker = Order(["default"], 30, clock), bench.worker()
    bench.put(*(Note(number=n) for n in range(5)))
    bench.put(Note(number=100), priority=9)
    clock.now += 30
    (lifted,) = bench.store.write(lambda s: order.take(s, worker, 1))
    assert numbers([lifted], bench.registry) == [100]

    def should_yield() -> bool:
        with bench.store.reading() as session:
            return order.should_yield(session, lifted)

    assert not should_yield()
    clock.now += TURN_SECONDS - 0.1
    assert not should_yield()
    clock.now += 0.2
    assert should_yield()


def test_job_of_a_queue_whose_turn_came_by_waiting_gets_it_before_it_yields(bench, clock):
    order, worker = Order(["default", "later"], 30, clock), bench.worker()
    bench.put(Note(), Later())
    clock.now += 30
    (held,) = bench.store.write(lambda s: order.take(s, worker, 1))
    assert held.queue == "later"
    with bench.store.reading() as session:
        assert not order.should_yield(session, held)
        clock.now += TURN_SECONDS + 0.1
        assert order.should_yield(session, held)


def test_many_threads_may_ask_at_once(bench):
    order = Order(["default", "later"], 0.001)
    bench.store.write(lambda s: enqueue_many(s, (Note(number=n) for n in range(120))))
    bench.store.write(lambda s: enqueue_many(s, (Later(number=n) for n in range(120, 160))))

    def work(_) -> list[int]:
        worker, mine = bench.worker(), []
        while held := bench.store.write(lambda s: order.take(s, worker, 3)):
            with bench.store.reading() as session:
                order.should_yield(session, held[0])
            mine += numbers(held, bench.registry)
            bench.store.write(lambda s: [claims.finish(s, [each]) for each in held])
        return mine

    with ThreadPoolExecutor(4) as pool:
        assert sorted(number for mine in pool.map(work, range(4)) for number in mine) == list(range(160))
