"""What the status of the queues says, and what it advises."""

import json

import pytest
import sqlalchemy as sa

from smsqueue.queue import control, failed, monitor, workers
from smsqueue.queue.dispatch import SECOND, jobs
from smsqueue.queue.models import WorkerRow
from tests.integration.queue.kit import Later, Note


@pytest.fixture
def look(bench):
    """Look at the queues `default` and `empty`, and whatever else holds jobs."""

    def look():
        with bench.store.reading() as session:
            return monitor.status(session, ["default", "empty"])

    return look


def verdict(status):
    return status.healthy, status.headline, status.advice


def test_no_worker_is_running(bench, look):
    assert verdict(look()) == (False, "Stopped: no worker is running", "flask sms work --daemon")


@pytest.mark.parametrize("end", ["stopped", "lost", "silent"])
def test_worker_that_ended_is_shown_and_does_not_count(bench, look, end):
    worker = bench.worker()
    if end == "stopped":
        bench.store.write(lambda s: workers.sign_off(s, worker, "signal SIGTERM", 7))
    else:
        bench.expire(worker)
    if end == "lost":
        bench.store.write(workers.bury_expired)
    status = look()
    assert not status.healthy
    (line,) = status.workers
    assert (line.state, line.jobs_done) == ("stopped" if end == "stopped" else "lost", 7 if end == "stopped" else 0)


def test_queue_with_work_that_nobody_serves(bench, look):
    bench.worker()
    bench.put(Later())
    headline = "Stopped: no worker serves the queue later"
    assert verdict(look()) == (False, headline, "flask sms work --daemon --queue=later")


def test_queue_that_nobody_serves_is_well_while_it_has_nothing_to_do(bench, look):
    bench.worker()
    bench.put(Later(), delay=60)
    assert look().healthy


def test_job_that_waits_for_too_long(bench, look):
    bench.worker()
    bench.put(Note(), Note())
    bench.let_pass(299)
    assert look().healthy
    bench.let_pass(61)
    headline = "Slow: the oldest job in default waits 6 min; start one more worker"
    assert verdict(look()) == (False, headline, "flask sms work --daemon")


def test_all_is_well(bench, look):
    bench.worker()
    bench.put(Note())
    assert verdict(look()) == (True, "Healthy", None)


def test_jobs_are_counted_by_what_they_do(bench, look):
    bench.put(*(Note() for _ in range(4)), Later())
    bench.put(Note(), Note(), delay=60)
    first, *_ = bench.take(3)
    bench.store.write(lambda s: failed.fail(s, bench.registry, first, "reason", "traceback"))
    status = look()
    counts = {q.name: (q.waiting, q.delayed, q.reserved, q.failed) for q in status.queues}
    assert counts == {"default": (1, 2, 2, 1), "empty": (0, 0, 0, 0), "later": (1, 0, 0, 0)}
    assert [q.name for q in status.queues] == ["default", "empty", "later"]
    assert [q.oldest_wait_seconds is None for q in status.queues] == [False, True, False]


def test_oldest_wait_is_that_of_a_job_that_could_run(bench, look):
    bench.put(Note(), Note())
    bench.let_pass(100)
    bench.take()
    bench.execute(
        sa.update(jobs).where(jobs.c.reserved_at.is_(None)).values(available_at=jobs.c.available_at + 40 * SECOND)
    )
    wait = look().queues[0].oldest_wait_seconds
    assert 60 <= wait < 90


def test_running_worker_is_seen_behind_any_number_of_ended_ones(bench, look):
    running = bench.worker()
    row = {"host": "h", "pid": 1, "queues": "default", "state": "stopped", "started_at": 1, "expires_at": 1}

    def many(session):
        beat = bench.crew()[running].heartbeat_at
        session.execute(sa.insert(WorkerRow), [{**row, "heartbeat_at": beat} for _ in range(150)])

    bench.store.write(many)
    status = look()
    assert status.healthy
    assert status.workers[0].id == running


def test_worker_that_ended_long_ago_is_not_shown(bench, look):
    worker = bench.worker()
    bench.store.write(lambda s: workers.sign_off(s, worker, "signal SIGTERM", 0))
    bench.execute(sa.update(WorkerRow).values(heartbeat_at=WorkerRow.heartbeat_at - 24 * 3601 * SECOND))
    assert look().workers == []


def test_status_is_json(bench, look):
    bench.worker()
    bench.put(Note())
    content = json.loads(json.dumps(look().as_dict()))
    assert (content["healthy"], content["queues"][0]["waiting"], content["workers"][0]["state"]) == (True, 1, "running")
    assert content["workers"][0]["started_at"].endswith("+00:00")


def test_pause_is_shown_with_who_why_and_until_when_and_is_no_illness(bench, look):
    bench.worker()
    bench.put(Note())
    bench.let_pass(900)
    assert not look().healthy
    bench.store.write(lambda s: control.pause(s, "default", seconds=1800, reason="new tariff", author="ana"))
    status = look()
    (pause,) = status.pauses
    assert (pause.queue, pause.author, pause.reason) == ("default", "ana", "new tariff")
    assert (pause.until - pause.since).total_seconds() == 1800
    words = f"by ana since {pause.since:%H:%M} until {pause.until:%H:%M} UTC: new tariff"
    assert verdict(status) == (True, f"Paused: the queue default, {words}", "flask sms resume default")
    assert [line.pause for line in status.queues] == [pause, None]
    assert status.as_dict()["pauses"][0]["until"] == pause.until.isoformat()


def test_pause_of_all_queues_is_one_of_each(bench, look):
    bench.worker()
    bench.store.write(control.pause)
    status = look()
    assert status.headline.startswith("Paused: all queues, since ")
    assert status.advice == "flask sms resume all"
    assert all(line.pause for line in status.queues)


def test_maintenance_goes_before_everything_else(bench, look):
    bench.store.write(lambda s: control.begin_maintenance(s, reason="upgrade", author="ben"))
    status = look()
    assert status.healthy
    assert status.headline.startswith("Maintenance, by ben since ")
    assert (status.advice, status.maintenance.reason) == ("flask sms up", "upgrade")


def test_queue_whose_workers_are_all_paused_by_a_signal(bench, look):
    bench.worker()
    bench.execute(sa.update(WorkerRow).values(is_paused=True, pid=4711))
    assert look().healthy
    bench.put(Note())
    headline = "Stopped: a signal has paused every worker that serves the queue default"
    assert verdict(look()) == (False, headline, "kill -CONT 4711")
    bench.worker()
    assert look().healthy


def hindrance(bench, queue="default"):
    with bench.store.reading() as session:
        found = monitor.hindrance(session, queue)
        return found and (found.kind, found.wish and found.wish.author)


def test_hindrance_names_what_keeps_a_queue_from_being_served(bench):
    assert hindrance(bench) == ("nobody", None)
    worker = bench.worker()
    assert hindrance(bench) is None
    assert hindrance(bench, "later") == ("nobody", None)
    bench.store.write(lambda s: control.pause(s, "default", author="ana"))
    assert hindrance(bench) == ("paused", "ana")
    bench.store.write(lambda s: control.begin_maintenance(s, author="ben"))
    assert hindrance(bench) == ("maintenance", "ben")
    bench.store.write(control.end_maintenance)
    bench.store.write(control.resume)
    bench.expire(worker)
    assert hindrance(bench) == ("nobody", None)
