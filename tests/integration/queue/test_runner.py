"""What is recorded of a job's run, however it ends."""

import pytest
import sqlalchemy as sa

from smsqueue.queue import claim as claims
from smsqueue.queue.claim import LeaseLost
from smsqueue.queue.dispatch import SECOND, jobs
from smsqueue.queue.job import Job, Policy
from smsqueue.queue.runner import Snooze
from tests.integration.queue.kit import Note, Quick, refuse

GARBLED = ("", "no JSON", "[]", "{}", '{"kind": [], "version": 1, "data": {}}', '{"kind": "test.note", "version": 1}')
MISFITS = (
    '{"kind": "test.note", "version": 1, "data": null}',
    '{"kind": "test.note", "version": 1, "data": {"digit": 3}}',
    '{"kind": "test.note", "version": 1, "data": {"number": 3, "more": 4}}',
)


def fail(*_):
    raise ValueError("it broke")


def exhausted(bench):
    """Let the only job have been tried twice, so that the next try is its last."""
    bench.execute(sa.update(jobs).values(attempts=2))


def waits(row):
    """How long from now a job just released waits, in whole seconds."""
    return round((row.available_at - row.created_at) / SECOND)


def test_success_deletes_the_job(bench):
    bench.put(Note(number=3))
    assert bench.run_one() is False
    assert (bench.rows(), bench.ran) == ([], [3])
    assert [facts["kind"] for facts in bench.events("job.finished")] == ["test.note"]


def test_finished_repeatable_job_waits_to_be_deleted_with_others(bench):
    bench.put(Quick(number=3))
    assert bench.run_one() is True
    assert bench.row().claim_token


@pytest.mark.parametrize(("attempts", "seconds"), [(0, 5), (1, 60)])
def test_error_lets_the_job_wait_by_its_backoff(bench, attempts, seconds):
    bench.handle(Note, fail)
    bench.put(Note())
    bench.execute(sa.update(jobs).values(attempts=attempts))
    bench.run_one()
    row = bench.row()
    assert (row.attempts, row.reserved_at, row.last_error) == (attempts + 1, None, "ValueError: it broke")
    assert waits(row) in (seconds, seconds + 1)
    assert bench.failed() == []


def test_error_at_the_last_try_moves_the_job_to_the_failed_ones(bench):
    reasons = []
    bench.handle(Note, fail, on_failed=lambda _session, job, reason: reasons.append((job, reason)))
    bench.put(Note(number=4))
    exhausted(bench)
    before = bench.row()
    bench.run_one()
    (row,) = bench.failed()
    assert bench.rows() == []
    assert (row.uuid, row.queue, row.payload, row.connection) == (before.uuid, "default", before.payload, "database")
    assert row.exception.startswith("Traceback")
    assert "in fail" in row.exception
    assert row.exception.endswith("ValueError: it broke\n")
    assert reasons == [(Note(number=4), "ValueError: it broke")]


def test_hook_changes_its_rows_in_the_transaction_that_fails_the_job(bench):
    bench.handle(Note, fail, on_failed=lambda session, *_: session.execute(sa.update(jobs).values(last_error="told")))
    bench.put(Note(), Note(number=1))
    bench.execute(sa.update(jobs).values(attempts=2))
    bench.run_one()
    assert [row.last_error for row in bench.rows()] == ["told"]


def test_job_is_not_failed_when_its_hook_breaks_and_is_given_up_later(bench):
    bench.handle(Note, fail, on_failed=refuse)
    bench.put(Note(), Quick(number=9))
    exhausted(bench)
    bench.run_one()
    assert bench.failed() == []
    row = bench.rows()[0]
    assert (row.reserved_at, row.attempts) == (None, 3)
    assert "Refused: not now" in row.last_error
    bench.handle(Note, bench.note)
    bench.let_pass(3600)
    bench.work()
    assert [row.exception.splitlines()[-1].split(":")[0] for row in bench.failed()] == [
        "smsqueue.queue.runner.TooManyTries"
    ]
    assert bench.ran == [9]  # the job that was tried often enough did not run again


def test_job_that_was_claimed_too_often_fails_without_running(bench):
    bench.put(Note())
    bench.execute(sa.update(jobs).values(attempts=3))
    bench.run_one()
    (row,) = bench.failed()
    assert "TooManyTries: the worker stopped in the middle of each of 3 tries" in row.exception
    assert bench.ran == []


def test_job_without_a_limit_of_tries_is_tried_on(bench):
    bench.handle(Note, fail, policy=Policy(tries=0, backoff=(1,)))
    bench.put(Note())
    bench.execute(sa.update(jobs).values(attempts=5000))
    bench.run_one()
    assert (bench.row().attempts, bench.failed()) == (5001, [])


def test_kind_that_nobody_knows_fails_at_once_and_nothing_of_it_runs(bench):
    bench.put(Note())
    del bench.registry.entries["test.note"]
    bench.run_one()
    (row,) = bench.failed()
    assert "UnknownJob: no handler is registered for jobs of kind 'test.note'" in row.exception
    assert (bench.rows(), bench.ran) == ([], [])


def test_version_that_nobody_knows_yet_waits_without_spending_a_try(bench):
    bench.put(Note())
    bench.execute(sa.update(jobs).values(payload='{"kind": "test.note", "version": 2, "data": {"number": 1}}'))
    bench.run_one()
    row = bench.row()
    assert (row.attempts, row.reserved_at, waits(row) in (30, 31)) == (0, None, True)
    assert row.last_error == "test.note of version 2; this worker knows version 1"


@pytest.mark.parametrize("payload", [*GARBLED, *MISFITS])
def test_payload_that_cannot_be_read_ends_with_the_failed_jobs(bench, payload):
    hooks = []
    bench.handle(Note, bench.note, on_failed=lambda *_: hooks.append(1))
    bench.put(Note())
    bench.execute(sa.update(jobs).values(payload=payload))
    for _ in range(3):
        bench.run_one()
        bench.let_pass(3600)
    (row,) = bench.failed()
    assert (bench.rows(), row.payload, bench.ran, hooks) == ([], payload, [], [])
    assert "BadPayload" in row.exception


def test_snooze_spends_no_try(bench):
    bench.handle(Note, lambda *_: Snooze(20, "no tokens left"))
    bench.put(Note())
    bench.run_one()
    row = bench.row()
    assert (row.attempts, row.last_error, waits(row) in (20, 21)) == (0, "no tokens left", True)


@pytest.mark.parametrize("ending", ["success", "error", "last error", "snooze", "unknown version"])
def test_run_whose_claim_is_lost_meanwhile_changes_nothing(bench, ending):
    def lose(_job, run):
        bench.store.write(lambda s: claims.free_jobs_of(s, [run.claim.id and bench.row().worker_id]))
        bench.take()
        if ending == "snooze":
            return Snooze(5, "later")
        if "error" in ending:
            raise ValueError("it broke")
        return None

    bench.handle(Note, lose)
    bench.put(Note())
    if ending == "last error":
        exhausted(bench)
    if ending == "unknown version":
        bench.execute(sa.update(jobs).values(payload='{"kind": "test.note", "version": 2, "data": {}}'))
        (held,) = bench.take()
        bench.store.write(lambda s: claims.free_jobs_of(s, [bench.row().worker_id]))
        bench.take()
        bench.runner().run(held)
    else:
        bench.run_one()
    row = bench.row()
    assert (row.claim_token is not None, row.last_error, bench.failed()) == (True, None, [])
    assert len(bench.events("job.lost")) == 1


def test_handler_may_say_that_its_claim_is_lost(bench):
    def notice(_job, run):
        raise LeaseLost(run.claim.id)

    bench.handle(Note, notice)
    bench.put(Note())
    bench.run_one()
    assert bench.row().claim_token
    assert [facts["kind"] for facts in bench.events("job.lost")] == ["test.note"]


@pytest.mark.parametrize("text", ["a\0b", "a\udcffb", "x" * 100_000, "🚀"])
@pytest.mark.parametrize("attempts", [0, 2])
def test_reason_is_stored_whatever_is_in_it(bench, text, attempts):
    def shout(*_):
        raise ValueError(text)

    bench.handle(Note, shout)
    bench.put(Note())
    bench.execute(sa.update(jobs).values(attempts=attempts))
    bench.run_one()
    assert len(bench.failed()) + len(bench.rows()) == 1
    assert all(row.last_error.startswith("ValueError: ") for row in bench.rows())
    assert all("ValueError: " in row.exception for row in bench.failed())


def test_reason_and_traceback_are_scrubbed_before_they_are_stored(bench):
    bench.registry.scrub = lambda text: text.replace("+15551234567", "(a number)")
    bench.handle(Note, lambda *_: int("+15551234567x"))
    bench.put(Note())
    bench.run_one()
    assert "(a number)" in bench.row().last_error
    exhausted(bench)
    bench.let_pass(3600)
    bench.run_one()
    assert "+1555" not in bench.failed()[0].exception
    assert "(a number)" in bench.failed()[0].exception


@pytest.mark.parametrize("bye", [SystemExit(0), SystemExit(3)])
def test_job_that_wants_to_end_the_process_is_an_error_of_the_job(bench, bye):
    def leave(*_):
        raise bye

    bench.handle(Note, leave)
    bench.put(Note())
    bench.run_one()
    assert (bench.row().attempts, bench.row().reserved_at) == (1, None)


def test_handler_is_told_of_the_wish_to_stop(bench):
    told = []

    def ask(_job, run):
        told.append(run.is_stopping)
        bench.stops.request("signal SIGTERM")
        told.append(run.is_stopping)
        with run.database.reading() as session:
            told.append(run.should_yield(session))

    bench.handle(Note, ask)
    bench.put(Note())
    bench.run_one()
    assert told == [False, True, False]


def test_job_without_a_policy_runs_by_the_workers_options(bench):
    class Plain(Job):
        kind = "test.plain"

    bench.handle(Plain, fail)
    bench.registry.defaults = Policy(tries=2, backoff=(7,))
    bench.put(Plain())
    bench.run_one()
    assert waits(bench.row()) in (7, 8)
    bench.let_pass(60)
    bench.run_one()
    assert len(bench.failed()) == 1
