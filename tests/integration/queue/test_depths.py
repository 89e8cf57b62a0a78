"""Full queues are looked at through indexes and up to a limit, never by counting the table."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
import sqlalchemy as sa

from smsqueue.bulk import insert_many
from smsqueue.queue import history, monitor
from smsqueue.queue.dispatch import SECOND, clock_us, jobs
from smsqueue.queue.models import FailedJob
from tests.integration.queue.kit import Later, Note

READS_ALL = {"postgresql": "Seq Scan on jobs", "sqlite": "SCAN jobs\n", "mariadb": " jobs ALL "}


def fill(store, waiting, delayed, *, priority=10):
    """Put many jobs into the queue `sms`."""

    def write(session):
        now = clock_us(session)
        ages = [*range(waiting), *(-3600 - n for n in range(delayed))]
        row = {"queue": "sms", "kind": "k", "payload": "{}", "priority": priority, "attempts": 0, "created_at": now}
        rows = [{**row, "uuid": str(uuid4()), "available_at": now - age * SECOND} for age in ages]
        insert_many(session, jobs, rows)

    store.write(write)


def look(store, limit):
    with store.reading() as session:
        return monitor.status(session, ["sms", "empty"], limit=limit).queues


def test_numbers_are_exact_up_to_the_limit(store):
    fill(store, 10, 10)
    line = look(store, 10)[0]
    assert (line.waiting, line.delayed, line.inexact, line.said("waiting")) == (10, 10, (), "10")


def test_beyond_the_limit_a_number_says_at_least(store):
    fill(store, 11, 3)
    fill(store, 5, 0, priority=0)
    line = look(store, 10)[0]
    assert (line.waiting, line.delayed, line.inexact) == (10, 3, ("waiting",))
    assert (line.said("waiting"), line.said("delayed")) == ("10+", "3")
    assert line.counted_at is None
    assert line.oldest_wait_seconds == pytest.approx(10, abs=5)


def test_beyond_the_limit_the_last_count_is_shown_with_its_time(store):
    fill(store, 12, 13)
    history.chores(store, ["sms"], limit=10)
    with store.reading() as session:
        status = monitor.status(session, ["sms", "empty"], limit=10)
    line = status.queues[0]
    assert (line.waiting, line.delayed) == (12, 13)
    assert line.counted_at is not None
    assert line.said("delayed") == f"13 at {line.counted_at:%H:%M}"
    assert (datetime.now(UTC) - line.counted_at).total_seconds() < 150
    shown = status.as_dict()["queues"]
    assert [(each["exact"], each["inexact"]) for each in shown] == [(False, ["waiting", "delayed"]), (True, [])]


def test_held_jobs_are_no_waiting_ones_in_the_count_of_all(bench):
    bench.put(*(Note() for _ in range(7)), Later())
    bench.take(2)
    history.chores(bench.store, ["default"], limit=2)
    with bench.store.reading() as session:
        found = {name: (sample.waiting, sample.reserved) for name, sample in history.depths(session).items()}
    assert found == {"default": (5, 2), "later": (1, 0)}


def test_failed_jobs_are_counted_up_to_the_limit(store):
    rows = [{"uuid": str(uuid4()), "queue": "sms", "payload": "{}", "exception": "x"} for _ in range(12)]
    store.write(lambda session: session.execute(sa.insert(FailedJob), rows))
    assert [line.said("failed") for line in look(store, 10)] == ["11+", "0+"]


def test_no_query_of_the_status_reads_the_whole_table(store, database):
    fill(store, 12_000, 12_000)
    if database.kind != "sqlite":
        word = "ANALYZE" if database.kind == "postgresql" else "ANALYZE TABLE"
        store.write(lambda session: session.execute(sa.text(f"{word} jobs")))
    asked = []
    sa.event.listen(store.engine, "before_cursor_execute", lambda *told: asked.append(told[2:4]))
    look(store, 100)
    assert len(asked) < 20
    plans = [plan(store, database.kind, *each) for each in list(asked) if "jobs" in each[0]]
    assert plans
    assert [each for each in plans if READS_ALL[database.kind] in each] == []


def plan(store, kind, statement, parameters):
    """Ask the database how it would do that."""
    words = "EXPLAIN QUERY PLAN" if kind == "sqlite" else "EXPLAIN"
    with store.engine.connect() as connection:
        rows = connection.exec_driver_sql(f"{words} {statement}", parameters).all()
    return "\n".join(" ".join(str(part) for part in row) for row in rows) + "\n"


def test_full_queue_is_counted_lane_by_lane_for_groups_too(store):
    fill(store, 4, 4)
    fill(store, 4, 0, priority=0)
    store.write(lambda s: s.execute(sa.update(jobs).where(jobs.c.id % 2 == 0).values(group_key="Team")))
    line = look(store, 10)[0]
    assert (line.waiting, line.delayed, line.inexact) == (8, 4, ())


def test_queue_of_very_many_groups_is_counted_by_the_first_of_them(store):
    fill(store, 40, 0)
    store.write(lambda s: s.execute(sa.update(jobs).values(group_key=sa.cast(jobs.c.id, sa.String(60)))))
    assert look(store, 39)[0].said("waiting") == "30+"
    assert look(store, 40)[0].said("waiting") == "40"
