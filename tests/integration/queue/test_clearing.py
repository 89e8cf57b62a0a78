"""Waiting jobs that a person deletes."""

import pytest
import sqlalchemy as sa

from smsqueue.queue import clearing
from smsqueue.queue.dispatch import jobs
from tests.integration.queue.kit import Later, Note, Quick, Refused, refuse


def clear(bench, **options):
    return clearing.clear(bench.store, bench.registry, "default", **options)


def test_clear_deletes_waiting_and_delayed_jobs_of_one_queue_and_tells_their_hooks(bench):
    cleared = []
    bench.handle(Note, bench.note, on_cleared=lambda _session, job: cleared.append(job.number))
    bench.put(Note(number=1), Later())
    bench.put(Note(number=2), delay=600)
    assert clear(bench) == 2
    assert cleared == [1, 2]
    assert [row.queue for row in bench.rows()] == ["later"]


@pytest.mark.parametrize(("reserved", "left"), [(False, 1), (True, 0)])
def test_clear_spares_held_jobs_unless_told_otherwise(bench, reserved, left):
    bench.put(Note(number=1), Note(number=2))
    bench.take()
    clear(bench, reserved=reserved)
    assert len(bench.rows()) == left


def test_nothing_is_cleared_when_a_hook_breaks(bench):
    bench.handle(Note, bench.note, on_cleared=refuse)
    bench.put(Quick(), Note())
    with pytest.raises(Refused):
        clear(bench)
    assert len(bench.rows()) == 2


def test_clear_deletes_jobs_that_nobody_can_read(bench):
    bench.put(Note(), Note(), Note())
    for job_id, payload in zip((row.id for row in bench.rows()), ("garbled", '{"kind": "?"}', "[]"), strict=True):
        bench.execute(sa.update(jobs).where(jobs.c.id == job_id).values(payload=payload))
    assert clear(bench) == 3
    assert bench.rows() == []


def test_worker_whose_job_was_cleared_notices(bench):
    def clear_all(*_):
        clear(bench, reserved=True)

    bench.handle(Note, clear_all)
    bench.put(Note())
    bench.run_one()
    assert bench.rows() == []
    assert len(bench.events("job.lost")) == 1


def test_many_jobs_are_deleted_some_at_a_time_until_none_is_left(bench):
    cleared = []
    bench.handle(Note, bench.note, on_cleared=lambda _session, job: cleared.append(job.number))
    bench.put(*(Note(number=n) for n in range(7)))
    bench.take(2)
    assert clear(bench, reserved=True, chunk=2) == 7
    assert sorted(cleared) == list(range(7))
    assert bench.events("jobs.cleared") == [{"queue": "default", "count": 7}]


def test_jobs_that_come_meanwhile_stay(bench):
    bench.put(Note())
    bench.execute(sa.update(jobs).values(id=jobs.c.id + 10_000))

    def put_another(session, _job):
        session.execute(sa.insert(jobs).values(**{**row, "uuid": "another", "id": row["id"] + 1}))

    row = {column.name: getattr(bench.row(), column.name) for column in jobs.c}
    bench.handle(Note, bench.note, on_cleared=put_another)
    assert clear(bench) == 1
    assert bench.row().uuid == "another"
