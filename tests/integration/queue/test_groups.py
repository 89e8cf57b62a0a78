"""Groups take turns, and may have a limit of jobs that are held at once."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
import sqlalchemy as sa

from smsqueue.queue import claim as claims
from smsqueue.queue import failed, workers
from smsqueue.queue.dispatch import SECOND, clock_us, enqueue_many, jobs
from smsqueue.queue.groups import Groups
from smsqueue.queue.order import Order
from tests.integration.queue.kit import Note, Quick, numbers


def put(bench, group, *which, priority=0, delay=0):
    """Queue jobs of a group with these numbers."""
    notes = [Note(number=number) for number in which]
    bench.store.write(lambda s: enqueue_many(s, notes, group=group, priority=priority, delay=delay))


def taker(bench, limit_of=None):
    """Ask for jobs as one worker that keeps the turns of groups."""
    order, worker = Order(["default"], 30), bench.worker()
    order.groups.limit_of = limit_of

    def take(limit: int = 1):
        return bench.store.write(partial(order.take, worker_id=worker, limit=limit))

    return take


def at_most(limit):
    """Limit every group but the one without a name."""
    return lambda _queue, group: limit if group else 0


def groups_of(bench, *held):
    """Name the groups of claimed jobs."""
    with bench.store.reading() as session:
        rows = session.execute(sa.select(jobs.c.id, jobs.c.group_key)).all()
    by_id = {row.id: row.group_key for row in rows}
    return [by_id[each.id] for each in held]


def test_small_group_is_next_or_next_but_one_behind_a_big_one(bench):
    put(bench, "a", *range(200))
    put(bench, "b", 500)
    take = taker(bench)
    first_two = [*take(), *take()]
    assert sorted(groups_of(bench, *first_two)) == ["a", "b"]


def test_groups_take_turns_claim_by_claim(bench):
    for group in ("a", "b", "c"):
        put(bench, group, *range(10))
    take = taker(bench)
    turns = groups_of(bench, *(held for _ in range(9) for held in take()))
    assert [sorted(turns[n : n + 3]) for n in (0, 3, 6)] == [["a", "b", "c"]] * 3


def test_claim_goes_on_with_the_next_group_until_it_is_full(bench):
    for number, group in enumerate(("a", "b", "c")):
        put(bench, group, number)
    assert sorted(numbers(taker(bench)(10), bench.registry)) == [0, 1, 2]


def test_more_urgent_job_goes_before_the_turn_of_a_group(bench):
    put(bench, "a", 1)
    put(bench, "b", 2, priority=-1)
    put(bench, "a", 3, priority=-1)
    take = taker(bench)
    assert {numbers(take(), bench.registry)[0] for _ in range(2)} == {2, 3}
    assert numbers(take(), bench.registry) == [1]


def test_jobs_of_one_group_keep_their_order(bench):
    put(bench, "a", *range(5))
    assert numbers(taker(bench)(5), bench.registry) == [0, 1, 2, 3, 4]


def test_groups_whose_jobs_are_due_later_are_stepped_over(bench):
    for number in range(30):
        put(bench, f"later {number}", number, delay=60)
    put(bench, "now", 99)
    take = taker(bench)
    assert [numbers(take(5), bench.registry) for _ in range(2)] == [[99], []]


def test_group_found_behind_more_groups_than_a_database_walks_at_once(bench):
    rows = [
        {"uuid": f"{n:036}", "queue": "default", "kind": "test.note", "payload": Note(number=n).to_payload()}
        | {"group_key": f"{n:05}", "available_at": 2**52, "created_at": 1, "priority": 0, "attempts": 0}
        for n in range(2500)
    ]
    rows[2400]["available_at"] = 1
    bench.store.write(lambda s: s.execute(sa.insert(jobs), rows))
    assert numbers(taker(bench)(5), bench.registry) == [2400]


def test_group_has_no_more_jobs_held_than_its_limit(bench):
    put(bench, "a", *range(5))
    put(bench, "", *range(10, 13))
    take = taker(bench, at_most(2))
    assert sorted(numbers(take(10), bench.registry)) == [0, 1, 10, 11, 12]
    assert take(10) == []


def test_place_is_free_again_however_a_run_ends(bench):
    put(bench, "a", *range(9))
    worker = bench.worker()
    order = Order(["default"], 30)
    order.groups.limit_of = at_most(1)
    endings = (
        lambda s, held: claims.finish(s, [held]),
        lambda s, held: claims.release(s, held, delay_seconds=60, spent=True),
        lambda s, held: claims.hand_back(s, [held]),
        lambda s, held: failed.fail(s, bench.registry, held, "reason", "trace"),
        lambda s, held: claims.free_jobs_of(s, [worker] * bool(held)),
    )
    for ending in endings:
        (held,) = bench.store.write(lambda s: order.take(s, worker, 3))
        assert bench.store.write(lambda s: order.take(s, worker, 3)) == []
        bench.store.write(partial(ending, held=held))
    assert len(bench.store.write(lambda s: order.take(s, worker, 3))) == 1


def test_limit_holds_when_four_workers_claim_at_once(bench):
    for group in ("a", "b"):
        put(bench, group, *range(40))
    together = Barrier(4)

    def work(_):
        take, most = taker(bench, at_most(2)), 0
        together.wait()
        for _ in range(15):
            held = take(3)
            most = max(most, held_of_one_group(bench))
            if held:
                bench.store.write(partial(claims.finish, claims=held))
        return most

    with ThreadPoolExecutor(4) as pool:
        assert max(pool.map(work, range(4))) <= 2


def held_of_one_group(bench):
    """Count what is held, of the group of which most is."""
    count = sa.select(sa.func.count()).where(jobs.c.reserved_at.isnot(None)).group_by(jobs.c.group_key)
    with bench.store.reading() as session:
        return max(session.execute(count).scalars(), default=0)


def test_full_group_is_no_reason_to_yield(bench):
    order = Order(["default"], 30)
    order.groups.limit_of = at_most(1)
    put(bench, "a", 1, 2, priority=-1)
    put(bench, "b", 3)
    worker = bench.worker()
    urgent, held = (bench.store.write(lambda s: order.take(s, worker, 1))[0] for _ in range(2))
    with bench.store.reading() as session:
        assert not order.should_yield(session, held)
    bench.store.write(lambda s: claims.finish(s, [urgent]))
    with bench.store.reading() as session:
        assert order.should_yield(session, held)


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("is_analyzed", [True, False])
def test_due_job_is_found_without_reading_what_is_due_tomorrow(bench, is_analyzed):
    tomorrow = sa.text(
        "INSERT INTO jobs (uuid, queue, kind, payload, priority, attempts, available_at, created_at, group_key) "
        "SELECT gen_random_uuid()::text, 'default', 'test.note', '', n % 3, 0, :then, 1, 'group ' || n % 50 "
        "FROM generate_series(1, 20000) n"
    )
    with bench.store.reading() as session:
        then = clock_us(session) + 86_400 * SECOND
    bench.execute(tomorrow.bindparams(then=then))
    put(bench, "zzz", 7, priority=2)
    seen = {}

    def note(_connection, cursor, statement, parameters, _context, _many):
        if statement.startswith(("WITH", "SELECT jobs")):
            seen[statement] = parameters

    sa.event.listen(bench.store.engine, "after_cursor_execute", note)
    if is_analyzed:
        bench.store.write(lambda s: s.connection().exec_driver_sql("ANALYZE jobs"))
    worker = bench.worker()
    (held,) = bench.store.write(lambda s: claims.claim(s, worker, "default", 10))
    sa.event.remove(bench.store.engine, "after_cursor_execute", note)
    assert bench.registry.job(held.payload) == Note(number=7)
    for statement, parameters in seen.items():
        with bench.store.reading() as session:
            explain = f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"
            plan = session.connection().exec_driver_sql(explain, parameters).scalar_one()[0]["Plan"]
        assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 1000, statement


def test_workers_begin_at_different_groups(bench):
    for number in range(10):
        put(bench, str(number), *range(5))
    started = set()
    for _ in range(12):
        groups, worker = Groups(), bench.worker()
        held = bench.store.write(partial(_claim_one, worker=worker, groups=groups))
        started.update(groups_of(bench, *held))
        bench.store.write(partial(claims.hand_back, claims=held))
        bench.store.write(partial(workers.sign_off, worker_id=worker, reason="over", jobs_done=0))
    assert len(started) > 1


def _claim_one(session, worker, groups):
    return claims.claim_of(session, worker, "default", 1, [0], groups=groups)


def test_workers_keep_the_limit_that_the_registry_says(bench):
    together = []
    bench.registry.group_limit = at_most(2)
    bench.handle(Quick, lambda *_: together.append(held_of_one_group(bench)))
    bench.store.write(lambda s: enqueue_many(s, [Quick(number=number) for number in range(12)], group="a"))
    bench.work()
    assert len(together) == 12
    assert max(together) <= 2
