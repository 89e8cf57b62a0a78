"""What `top` knows: queues with their pace, workers, and what runs."""

import pytest

from smsqueue.queue import history, top
from smsqueue.queue.history import Stat
from tests.integration.queue.kit import Later, Note


@pytest.fixture
def look(bench):
    """Look at the queue default and whatever else holds jobs."""

    def look():
        with bench.store.reading() as session:
            return top.look(session, ["default"])

    return look


def stat(minute, queue="default", kind="test.note", **numbers):
    """What workers wrote down for a minute; microseconds."""
    values = dict.fromkeys(("done", "failed", "released", "wait_us", "wait_max_us", "run_us", "run_max_us"), 0)
    return Stat(minute, queue, kind, **{**values, **numbers})


def test_jobs_in_workers_hands_are_shown_longest_first(bench, look):
    bench.put(*(Note() for _ in range(3)), Later())
    first, second = bench.take(), bench.take()
    (later,) = bench.take(queue="later")
    picture = look()
    assert [job.id for job in picture.running] == [first[0].id, second[0].id, later.id]
    assert [(job.kind, job.queue, job.attempts) for job in picture.running[1:]] == [
        ("test.note", "default", 1),
        ("test.later", "later", 1),
    ]
    assert all(job.seconds < 60 for job in picture.running)


def test_no_more_jobs_are_shown_than_fit(bench, look):
    bench.put(*(Note() for _ in range(top.SHOWN_JOBS + 5)))
    bench.take(100)
    assert len(look().running) == top.SHOWN_JOBS


def test_queues_are_counted_so_far_only(bench, look):
    bench.put(Note(), Later())
    status = look().status
    assert [(line.name, line.waiting) for line in status.queues] == [("default", 1), ("later", 1)]


def test_what_workers_did_is_shown_by_queue(bench, look):
    bench.put(Note(), Note(), Later())
    bench.work()
    paces = look().paces
    assert {queue: sum(pace.done_by_minute) for queue, pace in paces.items()} == {"default": 2, "later": 1}
    assert all(pace.run_seconds < 10 and pace.failed == 0 for pace in paces.values())


def test_pace_adds_up_kinds_and_minutes():
    stats = [
        stat(98, done=3, failed=1, wait_us=4_000_000, run_us=8_000_000),
        stat(99, done=5, kind="test.quick", released=1, wait_us=6_000_000),
        stat(99, done=1),
        stat(100, done=7, queue="later"),
    ]
    paces = {pace.queue: pace for pace in history.sum_up(stats, 100, top.MINUTES)}
    default = paces["default"]
    assert default.done_by_minute[-3:] == (3, 6, 0)
    assert len(default.done_by_minute) == top.MINUTES
    assert (default.last, default.failed) == (6, 1)
    assert default.wait_seconds == pytest.approx(10 / 11)
    assert default.run_seconds == pytest.approx(8 / 11)
    assert (paces["later"].last, paces["later"].done_by_minute[-1]) == (0, 7)
