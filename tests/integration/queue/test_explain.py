"""Why a job does not move: every sentence, in the state that it speaks of."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import sqlalchemy as sa

from smsqueue.queue import claim as claims
from smsqueue.queue import control, explain, failed, workers
from smsqueue.queue.dispatch import SECOND, enqueue, enqueue_many
from smsqueue.queue.explain import Answer, Reason
from smsqueue.queue.groups import Groups
from smsqueue.queue.job import Job
from smsqueue.queue.models import ControlRow, WorkerRow
from tests.integration.queue.kit import Later, Note


@dataclass(frozen=True, kw_only=True)
class Stranger(Job):
    """A job that no handler is registered for."""

    kind = "test.stranger"


@pytest.fixture
def ask(bench):
    """Ask why a job does not move; the answer."""

    def ask(wanted) -> Answer:
        with bench.store.reading() as session:
            answer = explain.explain(session, str(wanted), bench.registry.entries, bench.registry.group_limit)
        assert answer is not None
        return answer

    return ask


@pytest.fixture
def why(ask: Callable[..., Answer]) -> Callable[..., Reason]:
    """Ask why a job does not move; the only reason."""

    def why(wanted) -> Reason:
        (reason,) = ask(wanted).reasons
        return reason

    return why


@pytest.fixture
def working(bench):
    """A worker that listens on the queue default."""
    return bench.worker()


def alter(bench, worker_id, **values):
    """Change a worker's row behind its back."""
    bench.execute(sa.update(WorkerRow).where(WorkerRow.id == worker_id).values(values))


def test_no_worker_listens_on_the_queue(bench, ask):
    (job_id,) = bench.put(Note())
    answer = ask(job_id)
    assert answer.subject == f"Job {job_id} (test.note) of queue default"
    command = "flask sms work --daemon --queue=default"
    assert answer.reasons == (Reason("No worker listens on queue default", command=command),)


def test_workers_listen_on_other_queues_only(bench, why, working):
    (job_id,) = bench.put(Later())
    reason = why(job_id)
    assert reason.sentence == "No worker listens on queue later; 1 listen on other queues"
    assert reason.command == "flask sms work --daemon --queue=later"


def test_worker_that_is_silent_beyond_its_lease_listens_to_nothing(bench, why, working):
    (job_id,) = bench.put(Note())
    bench.expire(working)
    assert why(job_id).sentence == "No worker listens on queue default"


def test_queue_is_paused_until_a_time(bench, why, working):
    (job_id,) = bench.put(Note())
    bench.store.write(lambda s: control.pause(s, "default", seconds=1800, reason="gateway moves", author="ana"))
    reason = why(job_id)
    assert reason.since
    assert reason.until
    assert (reason.until - reason.since).total_seconds() == 1800
    until = f"{reason.until:%H:%M:%S}" if reason.until.date() == reason.since.date() else f"{reason.until:%F %H:%M:%S}"
    sentence = f"Queue default is paused by ana since {reason.since:%H:%M:%S} until {until} (gateway moves)"
    assert reason.sentence == sentence
    assert reason.command == "flask sms resume default"


def test_all_queues_are_paused(bench, why, working):
    (job_id,) = bench.put(Note())
    bench.store.write(control.pause)
    reason = why(job_id)
    assert reason.since
    assert reason.sentence == f"All queues are paused since {reason.since:%H:%M:%S}"
    assert (reason.until, reason.command) == (None, "flask sms resume all")


def test_pause_of_yesterday_is_told_with_its_date(bench, why, working):
    (job_id,) = bench.put(Note())
    bench.store.write(control.pause)
    bench.execute(sa.update(ControlRow).values(value=ControlRow.value - 24 * 3600 * SECOND))
    reason = why(job_id)
    assert reason.sentence == f"All queues are paused since {reason.since:%Y-%m-%d %H:%M:%S}"


def test_maintenance_mode(bench, why, working):
    (job_id,) = bench.put(Note())
    bench.store.write(lambda s: control.begin_maintenance(s, reason="upgrade", author="ben"))
    reason = why(job_id)
    assert reason.sentence == f"Maintenance mode by ben since {reason.since:%H:%M:%S} (upgrade)"
    assert reason.command == "flask sms up"


def test_every_reason_is_told(bench, ask):
    (job_id,) = bench.put(Note(), delay=60)
    bench.store.write(control.begin_maintenance)
    bench.store.write(lambda s: control.pause(s, "default"))
    begins = [reason.sentence.partition(" ")[0] for reason in ask(job_id).reasons]
    assert begins == ["Not", "Maintenance", "Queue", "No"]


def test_every_worker_is_paused_by_a_signal(bench, why, working):
    (job_id,) = bench.put(Note())
    alter(bench, working, is_paused=True, pid=77, host="box")
    reason = why(job_id)
    assert reason.sentence == "Every worker of queue default is paused by a signal (on box)"
    assert reason.command == "kill -CONT 77"
    bench.worker()
    assert why(job_id).sentence.startswith("Next in line")


def test_job_that_is_to_run_later(bench, why, working):
    (job_id,) = bench.put(Note(), delay=100)
    reason = why(job_id)
    assert reason.until
    assert reason.sentence.startswith("Not to be run until ")
    assert reason.sentence.endswith(", for 100 s")


def test_job_that_was_put_off(bench, why):
    (job_id,) = bench.put(Note())
    (held,) = bench.take()
    bench.store.write(lambda s: claims.release(s, held, delay_seconds=90, spent=True, reason="OSError: no route"))
    reason = why(job_id)
    assert reason.until
    assert reason.sentence == f"Put off until {explain_time(reason)}, for 90 s: OSError: no route"


def explain_time(reason):
    """The time as a sentence gives it; just before midnight with its date."""
    return reason.sentence.removeprefix("Put off until ").partition(", for")[0]


def test_job_without_a_handler(bench, why, working):
    (job_id,) = bench.put(Stranger())
    sentence = "No handler is registered for jobs of kind test.stranger: whoever claims it gives it up"
    assert why(job_id).sentence == sentence


def test_job_behind_others(bench, why, working):
    bench.put(Note(), Note())
    bench.let_pass(10)
    bench.put(Note(), priority=-5)
    (job_id,) = bench.put(Note())
    reason = why(job_id)
    assert reason.sentence.startswith(
        "Waits behind 1 more urgent job and 2 older jobs: 1 worker, the oldest has waited for 10 s"
    )
    assert reason.command == "flask sms work --daemon"


@pytest.mark.databases("postgresql")
def test_job_behind_so_many_that_nobody_counts_them(bench, why, working):
    bench.store.write(lambda s: enqueue_many(s, [Note() for _ in range(explain.COUNTED + 2)]))
    (job_id,) = bench.put(Note())
    assert why(job_id).sentence.startswith("Waits behind more than 10,000 older jobs: ")


def test_job_behind_a_queue_that_goes_first(bench, why):
    bench.store.write(lambda s: workers.register(s, ["default", "later"], 60))
    bench.put(Note(), Note(), Note())
    (job_id,) = bench.put(Later())
    assert why(job_id).sentence.startswith("Waits behind 3 jobs of queue default: 1 worker")
    bench.store.write(lambda s: workers.register(s, ["later"], 60))
    assert why(job_id).sentence.startswith("Next in line: 2 workers")


def test_job_behind_others_of_its_group(bench, why, working):
    put_in_group(bench, "red", 2)
    put_in_group(bench, "blue", 5)
    (job_id,) = put_in_group(bench, "red", 1)
    assert why(job_id).sentence.startswith("Waits behind 2 older jobs of its group red: 1 worker, the oldest has ")


def test_job_whose_group_has_as_many_as_it_may(bench, why, working):
    bench.registry.group_limit = lambda _queue, group: 1 if group == "red" else 0
    limited = Groups(bench.registry.group_limit)
    first, second = put_in_group(bench, "red", 2)
    bench.store.write(lambda s: claims.claim_of(s, working, "default", 1, [0], groups=limited))
    assert why(second).sentence == "Its group red has 1 job in workers' hands, as many as it may"
    assert why(first).sentence.startswith("Held by worker ")
    (other,) = put_in_group(bench, "blue", 1)
    assert why(other).sentence.startswith("Next in line")


def put_in_group(bench, group, many):
    """Queue so many jobs of a group."""
    return [bench.store.write(lambda s: enqueue(s, Note(), group=group)) for _ in range(many)]


def test_job_that_is_next(bench, why, working):
    (job_id,) = bench.put(Note())
    assert why(job_id).sentence == "Next in line: 1 worker, and none is busy: it starts at the next look"


def test_job_whose_workers_are_busy(bench, why, working):
    bench.put(Note())
    bench.take(worker=working)
    (job_id,) = bench.put(Note())
    assert why(job_id).sentence.startswith("Next in line: 1 worker, busy with 1 job, the longest for 0 s")


def test_job_that_runs(bench, why, working):
    (job_id,) = bench.put(Note())
    bench.take(worker=working)
    row = bench.crew()[working]
    reason = why(job_id)
    who = f"Held by worker {working} ({row.host}, pid {row.pid}) for 0 s"
    assert reason.sentence == f"{who}, last heartbeat 0 s ago: it runs, or is about to"


def test_job_of_a_worker_whose_heartbeat_is_late(bench, why, working):
    (job_id,) = bench.put(Note())
    bench.take(worker=working)
    moved = {"heartbeat_at": WorkerRow.heartbeat_at - 41 * SECOND, "expires_at": WorkerRow.expires_at - 41 * SECOND}
    alter(bench, working, host="box", pid=77, **moved)
    reason = why(job_id)
    late = "last heartbeat 41 s ago, taken over in 19 s unless it beats again"
    assert reason.sentence == f"Held by worker {working} (box, pid 77), {late}"
    assert reason.until


def test_job_of_a_worker_whose_lease_ran_out(bench, ask, working):
    (job_id,) = bench.put(Note())
    bench.take(worker=working)
    bench.expire(working)
    late, alone = ask(job_id).reasons
    assert "its lease ran out " in late.sentence
    assert late.sentence.endswith(" ago: the next look of any worker frees it")
    command = "flask sms work --daemon --queue=default"
    assert alone == Reason("No worker runs that could take it over", command=command)
    bench.worker()
    assert len(ask(job_id).reasons) == 1


def test_job_of_a_worker_that_is_lost(bench, why, working):
    """A worker that was frozen may take jobs before it notices that it is lost."""
    (job_id,) = bench.put(Note())
    bench.expire(working)
    bench.store.write(workers.bury_expired)
    bench.take(worker=working)
    bench.worker()
    fate = "which is lost (lease ran out): the next look of any worker frees it"
    assert why(job_id).sentence == f"Held by worker {working}, {fate}"


def test_job_of_a_worker_that_left_no_trace(bench, why, working):
    (job_id,) = bench.put(Note())
    bench.take(worker=4711)
    assert why(job_id).sentence == "Held by worker 4711, which left no trace: the next look of any worker frees it"


def test_job_that_was_given_up(bench, ask):
    bench.put(Note())
    uuid = bench.row().uuid
    (held,) = bench.take()
    trace = "Traceback\n  …\nOSError: no route"
    bench.store.write(lambda s: failed.fail(s, bench.registry, held, "OSError: no route", trace))
    answer = ask(uuid.upper())
    assert answer.subject == f"Job {uuid} (test.note) of queue default"
    (row,) = bench.failed()
    told = (
        f"No job {row.id} is in a queue, but one that was given up has this number, {uuid} (test.note) of queue default"
    )
    assert ask(row.id).subject == told
    (reason,) = answer.reasons
    assert reason.sentence == f"Given up at {reason.since:%Y-%m-%d %H:%M:%S}: OSError: no route"
    assert reason.command == f"flask sms retry-failed {uuid}"


def test_job_is_found_by_its_uuid_and_its_tries_are_told(bench, ask, working):
    (job_id,) = bench.put(Note())
    for _ in range(2):
        (held,) = bench.take()
        bench.store.write(lambda s, held=held: claims.release(s, held, delay_seconds=0, spent=True))
    assert ask(bench.row().uuid).subject == f"Job {job_id} (test.note) of queue default, tried 2 times"


@pytest.mark.parametrize("wanted", ["4711", "9" * 30, "0b0f6b1e-3c39-4c8f-9a51-2f4f0e6c8f11", "²", ""])
def test_nothing_is_known_of_what_is_not_there(bench, wanted):
    with bench.store.reading() as session:
        assert explain.explain(session, wanted, bench.registry.entries) is None


@pytest.mark.parametrize(
    ("seconds", "words"), [(-1, "0 s"), (41.4, "41 s"), (119, "119 s"), (600, "10 min"), (9000, "2 h")]
)
def test_spans_are_told_as_people_do(seconds, words):
    assert explain.span(seconds) == words
