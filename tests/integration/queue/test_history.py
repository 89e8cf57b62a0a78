"""The queues' history: counted in memory, added up in tables, sampled and pruned."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from smsqueue.db import Database, build_engine
from smsqueue.queue.claim import Claim
from smsqueue.queue.dispatch import clock_us
from smsqueue.queue.history import MINUTE, Tally, chores, depths, recent, samples, stats
from tests.integration.queue.kit import Later, Note


def claimed(queue="default", kind="test.note", available_at=10 * MINUTE, claimed_at=10 * MINUTE + 2_000_000) -> Claim:
    """Make a claim of which only these facts matter."""
    times = {"available_at": available_at, "created_at": 0, "claimed_at": claimed_at}
    return Claim(1, "uuid", queue, kind, "{}", attempts=1, priority=0, token="t", exceptions=0, **times)


def rows(store):
    with store.reading() as session:
        return session.execute(sa.select(stats).order_by(stats.c.minute, stats.c.queue, stats.c.kind)).all()


def test_runs_of_a_minute_are_added_up_by_queue_and_kind(store):
    tally = Tally()
    tally.note(claimed(), "done", 0.25)
    tally.note(claimed(), "failed", 1)
    tally.note(claimed(available_at=10 * MINUTE + 1_000_000), "released", 0.5)
    tally.note(claimed(queue="later"), "done", 60)
    assert tally.flush(store)
    assert rows(store) == [
        (10, "default", "test.note", 1, 1, 1, 5_000_000, 2_000_000, 1_750_000, 1_000_000),
        (11, "later", "test.note", 1, 0, 0, 2_000_000, 2_000_000, 60_000_000, 60_000_000),
    ]


def test_several_workers_add_to_the_same_minute(store):
    tallies = [Tally() for _ in range(4)]
    for tally in tallies:
        for kind in ("test.a", "test.b", "test.c"):
            tally.note(claimed(kind=kind), "done", 0.5)
        tally.note(claimed(kind="test.a"), "done", 2)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda tally: tally.flush(store), tallies))
    assert [(row.kind, row.done, row.run_us, row.run_max_us) for row in rows(store)] == [
        ("test.a", 8, 10_000_000, 2_000_000),
        ("test.b", 4, 2_000_000, 500_000),
        ("test.c", 4, 2_000_000, 500_000),
    ]


def test_what_was_flushed_is_not_counted_again(store):
    tally = Tally()
    tally.note(claimed(), "done", 1)
    assert tally.flush(store)
    assert tally.flush(store)
    assert [row.done for row in rows(store)] == [1]


@pytest.mark.databases("sqlite")
def test_counts_are_kept_while_the_database_refuses_them(store, tmp_path, bench):
    without_tables = Database(build_engine(f"sqlite:///{tmp_path / 'empty.db'}"))
    tally = Tally()
    tally.note(claimed(), "done", 1)
    assert not tally.flush(without_tables)
    without_tables.dispose()
    tally.note(claimed(), "done", 3)
    assert tally.flush(store)
    (row,) = rows(store)
    assert (row.done, row.run_us, row.run_max_us) == (2, 4_000_000, 3_000_000)
    assert len(bench.events("history.missed")) == 1


@pytest.mark.databases("sqlite")
def test_threads_share_a_tally(store):
    tally = Tally()

    def note_many(_number):
        for _ in range(5_000):
            tally.note(claimed(), "done", 0.001)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(note_many, range(4)))
    tally.flush(store)
    assert [row.done for row in rows(store)] == [20_000]


def sampled(store):
    with store.reading() as session:
        found = session.execute(sa.select(samples).order_by(samples.c.queue))
        return [(row.queue, row.waiting, row.delayed, row.reserved) for row in found]


def test_one_worker_a_minute_writes_down_how_full_the_queues_are(bench):
    bench.put(Note(), Note(), Later())
    bench.put(Note(), delay=600, priority=4)
    bench.put(Note(), priority=-4)
    bench.let_pass(20)
    bench.take()
    chores(bench.store, ["default", "empty"])
    first = sampled(bench.store)
    assert first == [("default", 2, 1, 1), ("empty", 0, 0, 0), ("later", 1, 0, 0)]
    bench.put(Note())
    chores(bench.store, ["default"])
    with bench.store.reading() as session:
        minutes = {row.minute for row in session.execute(sa.select(samples))}
        newest = depths(session)["default"]
    assert len(minutes) == 2 or sampled(bench.store) == first  # the clock may have turned
    assert 20_000_000 <= newest.oldest_us < 60_000_000


def test_what_is_older_than_a_week_is_forgotten_in_pieces(store):
    with store.reading() as session:
        now = clock_us(session) // MINUTE
    week = 7 * 24 * 60
    old = (now - week - 400, now - week - 200, now - week - 3, now - week + 3, now - 5)
    sums = dict.fromkeys(("done", "failed", "released", "wait_us", "wait_max_us", "run_us", "run_max_us"), 1)
    made = [{"minute": minute, "queue": "default", "kind": "test.note", **sums} for minute in old]
    store.write(lambda session: session.execute(sa.insert(stats), made))
    chores(store, ["default"])
    assert [row.minute for row in rows(store)] == list(old[3:])
    with store.reading() as session:
        assert [stat.minute for stat in recent(session, 60)] == [old[4]]
        assert [stat.minute for stat in recent(session, 5)] == []
