"""The queues' history: counted in memory, added up in tables, sampled and pruned."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from smsqueue.db import Database, build_engine
from smsqueue.queue.history import MINUTE, Tally, stats


@dataclass
class Held:
    """What a tally looks at of a claim."""

    queue: str = "default"
    kind: str = "test.note"
    available_at: int = 10 * MINUTE
    claimed_at: int = 10 * MINUTE + 2_000_000


def rows(store):
    with store.reading() as session:
        return session.execute(sa.select(stats).order_by(stats.c.minute, stats.c.queue, stats.c.kind)).all()


def test_runs_of_a_minute_are_added_up_by_queue_and_kind(store):
    tally = Tally()
    tally.note(Held(), "done", 0.25)
    tally.note(Held(), "failed", 1)
    tally.note(Held(available_at=10 * MINUTE + 1_000_000), "released", 0.5)
    tally.note(Held(queue="later"), "done", 60)
    assert tally.flush(store)
    assert rows(store) == [
        (10, "default", "test.note", 1, 1, 1, 5_000_000, 2_000_000, 1_750_000, 1_000_000),
        (11, "later", "test.note", 1, 0, 0, 2_000_000, 2_000_000, 60_000_000, 60_000_000),
    ]


def test_several_workers_add_to_the_same_minute(store):
    tallies = [Tally() for _ in range(4)]
    for tally in tallies:
        for kind in ("test.a", "test.b", "test.c"):
            tally.note(Held(kind=kind), "done", 0.5)
        tally.note(Held(kind="test.a"), "done", 2)
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda tally: tally.flush(store), tallies))
    assert [(row.kind, row.done, row.run_us, row.run_max_us) for row in rows(store)] == [
        ("test.a", 8, 10_000_000, 2_000_000),
        ("test.b", 4, 2_000_000, 500_000),
        ("test.c", 4, 2_000_000, 500_000),
    ]


def test_what_was_flushed_is_not_counted_again(store):
    tally = Tally()
    tally.note(Held(), "done", 1)
    assert tally.flush(store)
    assert tally.flush(store)
    assert [row.done for row in rows(store)] == [1]


@pytest.mark.databases("sqlite")
def test_counts_are_kept_while_the_database_refuses_them(store, tmp_path, bench):
    without_tables = Database(build_engine(f"sqlite:///{tmp_path / 'empty.db'}"))
    tally = Tally()
    tally.note(Held(), "done", 1)
    assert not tally.flush(without_tables)
    without_tables.dispose()
    tally.note(Held(), "done", 3)
    assert tally.flush(store)
    (row,) = rows(store)
    assert (row.done, row.run_us, row.run_max_us) == (2, 4_000_000, 3_000_000)
    assert len(bench.events("history.missed")) == 1


@pytest.mark.databases("sqlite")
def test_threads_share_a_tally(store):
    tally = Tally()

    def note_many(_number):
        for _ in range(5_000):
            tally.note(Held(), "done", 0.001)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(note_many, range(4)))
    tally.flush(store)
    assert [row.done for row in rows(store)] == [20_000]
