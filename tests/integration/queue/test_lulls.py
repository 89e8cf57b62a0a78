"""Lulls of a worker: what could do nothing keeps its place, what is more urgent goes on, and nobody spins."""

from functools import partial

from smsqueue.queue.dispatch import enqueue_many
from smsqueue.queue.order import Order
from tests.integration.queue.kit import Note


def put(bench, priority, *which):
    """Queue jobs of a priority with these numbers."""
    notes = [Note(number=number) for number in which]
    bench.store.write(lambda session: enqueue_many(session, notes, priority=priority))


def test_a_worker_takes_what_is_more_urgent_than_what_rests_and_nothing_else(bench):
    put(bench, 10, *range(5))
    put(bench, 0, 100)
    order, worker = Order(["default"], 30), bench.worker()
    take = partial(order.take, worker_id=worker, limit=10)

    order.lulls.begin("default", 10, 60)

    (urgent,) = bench.store.write(take)
    assert urgent.priority == 0
    assert bench.store.write(take) == []
    assert order.straight() == []
    with bench.store.reading() as session:
        assert not order.should_yield(session, urgent)


def test_another_worker_knows_nothing_of_it(bench):
    put(bench, 10, 1)
    order, other = Order(["default"], 30), Order(["default"], 30)
    order.lulls.begin("default", 10, 60)

    assert bench.store.write(partial(order.take, worker_id=bench.worker(), limit=1)) == []
    assert len(bench.store.write(partial(other.take, worker_id=bench.worker(), limit=1))) == 1


def test_what_rests_is_neither_lifted_nor_asked_for_out_of_turn(bench):
    put(bench, 10, 1)
    now = [100.0]
    order = Order(["first", "default"], 30, clock=lambda: now[0])
    order.lulls.begin("default", 10, 60)
    now[0] += 45

    assert bench.store.write(partial(order.take, worker_id=bench.worker(), limit=1)) == []

    now[0] += 30
    assert len(bench.store.write(partial(order.take, worker_id=bench.worker(), limit=1))) == 1
