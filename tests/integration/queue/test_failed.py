"""Failed jobs listed, retried and forgotten: each whole or not at all."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.queue import failed
from smsqueue.queue.dispatch import jobs
from smsqueue.queue.failed import Choice, KeyTaken, NoSuchFailedJob
from smsqueue.queue.models import FailedJob
from tests.integration.queue.kit import Later, Note, Refused, refuse


def fail_one(bench, job=None):
    """Let a job fail and return its row."""
    bench.put(job or Note(number=5))
    (held,) = bench.take(queue=(job or Note).queue)
    bench.store.write(lambda s: failed.fail(s, bench.registry, held, "reason", "Traceback …"))
    return bench.failed()[-1]


def retry(bench, wanted):
    return bench.store.write(lambda s: failed.retry(s, bench.registry, wanted))


@pytest.mark.parametrize("name", ["id", "uuid"])
def test_retry_puts_the_job_back_with_all_its_tries(bench, name):
    row = fail_one(bench)
    bench.handle(Note, bench.note, on_retried=lambda _session, job: bench.ran.append(-job.number))
    job_id = retry(bench, str(getattr(row, name)).upper())
    back = bench.row()
    assert (back.id, back.uuid, back.attempts, back.queue, back.kind) == (job_id, row.uuid, 0, "default", "test.note")
    assert bench.failed() == []
    bench.work()
    assert bench.ran == [-5, 5]


def test_retried_job_has_the_priority_of_its_class(bench):
    class Urgent(Note):
        kind, priority = "test.urgent", -7

    bench.handle(Urgent, bench.note)
    retry(bench, fail_one(bench, Urgent()).id)
    assert bench.row().priority == -7


def test_job_stays_failed_when_its_hook_refuses(bench):
    row = fail_one(bench)
    bench.handle(Note, bench.note, on_retried=refuse)
    with pytest.raises(Refused):
        retry(bench, row.id)
    assert [each.uuid for each in bench.failed()] == [row.uuid]
    assert bench.rows() == []


def test_job_of_unknown_kind_can_be_retried_once_somebody_knows_it(bench):
    bench.put(Note(number=8))
    entry = bench.registry.entries.pop("test.note")
    bench.work()
    retry(bench, bench.failed()[0].id)
    bench.registry.entries["test.note"] = entry
    bench.work()
    assert (bench.ran, bench.rows(), bench.failed()) == ([8], [], [])


def test_job_whose_payload_cannot_be_read_can_be_retried_and_fails_again(bench):
    row = fail_one(bench)
    bench.execute(sa.update(FailedJob).values(payload="garbled"))
    retry(bench, row.id)
    assert bench.row().kind == "?"
    bench.work()
    assert [each.payload for each in bench.failed()] == ["garbled"]


@pytest.mark.parametrize("wanted", ["0", "no-such-uuid", "9" * 40, "²", ""])
def test_retry_of_what_is_not_there_says_so(bench, wanted):
    with pytest.raises(NoSuchFailedJob, match="flask sms failed"):
        retry(bench, wanted)


def test_listing_shows_the_newest_first(bench):
    ids = [fail_one(bench, Note(number=n)).id for n in range(3)]
    with bench.store.reading() as session:
        assert [row.id for row in failed.listing(session, 2)] == ids[:0:-1]
        assert failed.chosen_ids(session) == ids


def test_job_keeps_why_it_failed_and_how_often_it_was_tried(bench):
    bench.put(Note())
    (held,) = bench.take()
    bench.store.write(lambda s: failed.fail(s, bench.registry, held, "reason", "trace", error="NoRoute"))
    (row,) = bench.failed()
    assert (row.kind, row.error, row.attempts, row.unique_key) == ("test.note", "NoRoute", 1, None)


def put_unique(bench, key):
    bench.put(Note())
    bench.execute(sa.update(jobs).where(jobs.c.unique_key.is_(None)).values(unique_key=key))


def test_unique_job_is_not_retried_while_another_has_its_key(bench):
    put_unique(bench, "one of these")
    bench.execute(sa.update(jobs).values(group_key="Team 7"))
    (held,) = bench.take()
    bench.store.write(lambda s: failed.fail(s, bench.registry, held, "reason", "trace"))
    row = bench.failed()[0]
    put_unique(bench, "one of these")
    with pytest.raises(KeyTaken, match="unique key 'one of these'"):
        retry(bench, row.id)
    assert [each.id for each in bench.failed()] == [row.id]
    bench.work()
    retry(bench, row.id)
    assert (bench.row().unique_key, bench.row().group_key) == ("one of these", "Team 7")


def failed_at(bench, days):
    """Let three jobs have failed: 30, 20 and 10 days ago."""
    at = dict(zip([fail_one(bench, Note(number=n)).id for n in range(3)], days, strict=True))
    for job_id, age in at.items():
        moment = now() - timedelta(days=age)
        bench.execute(sa.update(FailedJob).where(FailedJob.id == job_id).values(failed_at=moment))
    return list(at)


def test_choice_is_by_queue_kind_error_age_and_number(bench):
    first, second, third = failed_at(bench, (30, 20, 10))
    later = fail_one(bench, Later()).id
    bench.execute(sa.update(FailedJob).where(FailedJob.id == second).values(error="NoRoute"))
    wanted = {
        Choice(): [first, second, third, later],
        Choice(queue="later"): [later],
        Choice(kind="test.note"): [first, second, third],
        Choice(error="NoRoute"): [second],
        Choice(since=now() - timedelta(days=15)): [third, later],
        Choice(before=now() - timedelta(days=15)): [first, second],
        Choice(ids=(second, third)): [second, third],
        Choice(queue="default", ids=(third, 9**40)): [third],
        Choice(queue="default", error="NoRoute", kind="test.later"): [],
    }
    with bench.store.reading() as session:
        assert {choice: failed.chosen_ids(session, choice) for choice in wanted} == wanted


def test_failed_jobs_are_grouped_by_kind_and_error(bench):
    first, second, third = failed_at(bench, (30, 20, 10))
    fail_one(bench, Later())
    bench.execute(sa.update(FailedJob).where(FailedJob.id != second).values(error="NoRoute"))
    with bench.store.reading() as session:
        found = failed.groups(session)
    facts = [(group.kind, group.error, group.count, group.first_id, group.last_id) for group in found]
    assert facts[0] == ("test.note", "NoRoute", 2, first, third)
    assert {each[:3] for each in facts[1:]} == {("test.note", "?", 1), ("test.later", "NoRoute", 1)}
    assert (now() - found[0].last_at).days == 10


def test_forgotten_job_is_gone_and_its_hooks_are_not_asked(bench):
    row = fail_one(bench)
    bench.handle(Note, bench.note, on_retried=refuse, on_cleared=refuse, on_failed=refuse)
    bench.store.write(lambda s: failed.forget(s, row.uuid))
    assert bench.failed() == []
    assert bench.events("job.forgotten") == [{"uuid": row.uuid, "kind": "test.note"}]
    with pytest.raises(NoSuchFailedJob):
        bench.store.write(lambda s: failed.forget(s, row.id))


def test_old_failed_jobs_are_forgotten_some_at_a_time(bench):
    *_, third = failed_at(bench, (30, 20, 10))
    choice = Choice(before=now() - timedelta(days=15))
    assert failed.forget_many(bench.store, choice, chunk=1) == 2
    assert [row.id for row in bench.failed()] == [third]
    assert failed.forget_many(bench.store, choice) == 0
    assert bench.events("jobs.forgotten") == [{"count": 2}]


def test_retry_is_an_event(bench):
    row = fail_one(bench)
    job_id = retry(bench, row.id)
    facts = {"uuid": row.uuid, "kind": "test.note", "queue": "default", "job_id": job_id}
    assert bench.events("job.retried") == [facts]
