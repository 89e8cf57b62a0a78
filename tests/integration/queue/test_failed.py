"""Failed jobs retried and waiting jobs cleared: each whole or not at all."""

import pytest
import sqlalchemy as sa

from smsqueue.queue import failed
from smsqueue.queue.dispatch import jobs
from smsqueue.queue.failed import NoSuchFailedJob
from smsqueue.queue.models import FailedJob
from tests.integration.queue.kit import Later, Note, Quick, Refused, refuse


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
        assert failed.all_ids(session) == ids


def test_clear_deletes_waiting_and_delayed_jobs_of_one_queue_and_tells_their_hooks(bench):
    cleared = []
    bench.handle(Note, bench.note, on_cleared=lambda _session, job: cleared.append(job.number))
    bench.put(Note(number=1), Later())
    bench.put(Note(number=2), delay=600)
    assert bench.store.write(lambda s: failed.clear(s, bench.registry, "default")) == 2
    assert cleared == [1, 2]
    assert [row.queue for row in bench.rows()] == ["later"]


@pytest.mark.parametrize(("reserved", "left"), [(False, 1), (True, 0)])
def test_clear_spares_held_jobs_unless_told_otherwise(bench, reserved, left):
    bench.put(Note(number=1), Note(number=2))
    bench.take()
    bench.store.write(lambda s: failed.clear(s, bench.registry, "default", reserved=reserved))
    assert len(bench.rows()) == left


def test_nothing_is_cleared_when_a_hook_breaks(bench):
    bench.handle(Note, bench.note, on_cleared=refuse)
    bench.put(Quick(), Note())
    with pytest.raises(Refused):
        bench.store.write(lambda s: failed.clear(s, bench.registry, "default"))
    assert len(bench.rows()) == 2


def test_clear_deletes_jobs_that_nobody_can_read(bench):
    bench.put(Note(), Note(), Note())
    for job_id, payload in zip((row.id for row in bench.rows()), ("garbled", '{"kind": "?"}', "[]"), strict=True):
        bench.execute(sa.update(jobs).where(jobs.c.id == job_id).values(payload=payload))
    assert bench.store.write(lambda s: failed.clear(s, bench.registry, "default")) == 3
    assert bench.rows() == []


def test_worker_whose_job_was_cleared_notices(bench):
    def clear(*_):
        bench.store.write(lambda s: failed.clear(s, bench.registry, "default", reserved=True))

    bench.handle(Note, clear)
    bench.put(Note())
    bench.run_one()
    assert bench.rows() == []
    assert len(bench.events("job.lost")) == 1
