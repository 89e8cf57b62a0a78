"""What the doctor says of workers, jobs and clocks; each state made for real."""

import time

import pytest
import sqlalchemy as sa

from smsqueue.db import Database, build_engine
from smsqueue.queue import control, doctor, workers
from smsqueue.queue.dispatch import SECOND
from smsqueue.queue.models import WorkerRow
from tests.integration.queue.kit import Later, Note


def alter(bench, **values):
    """Change the workers' rows behind their backs."""
    bench.execute(sa.update(WorkerRow).values(values))


def test_healthy_queue_has_nothing_but_good_findings(bench):
    bench.worker()
    bench.put(Note())
    findings = doctor.examine(bench.store, doctor.CHECKS)
    assert {finding.level for finding in findings} == {"ok"}, findings
    names = [name for name, _ in doctor.CHECKS if name != "listener" or bench.store.engine.name == "postgresql"]
    assert [finding.check for finding in findings] == names


@pytest.mark.parametrize(
    ("skew", "level"), [(0, "ok"), (-1, "ok"), (10, "warning"), (-10, "warning"), (3600, "error"), (-3600, "error")]
)
def test_clock_that_differs_from_the_databases(bench, skew, level):
    finding = doctor.clock(bench.store, lambda: time.time() + skew)
    assert finding.level == level
    assert ("ahead of" if skew > 0 else "behind") in finding.found or not skew


@pytest.mark.databases("postgresql")
def test_notification_that_is_swallowed(bench, database):
    """A pooler in transaction mode gives LISTEN to another connection than the one that waits."""
    engine = build_engine(database.url)
    sa.event.listen(engine, "before_cursor_execute", _swallow, retval=True)
    finding = doctor.listener(Database(engine), seconds=0.2)
    engine.dispose()
    assert finding
    assert (finding.level, finding.found) == ("warning", "a notification is not heard within 0.2 s")


def _swallow(_connection, _cursor, statement, parameters, *_):
    return "SELECT 1" if statement.startswith("LISTEN") else statement, parameters


def test_worker_that_listens_in_vain(bench):
    worker_id = bench.worker()
    alter(bench, wakeup="degraded")
    finding = doctor.wakeups(bench.store)
    assert (finding.level, finding.found) == ("warning", f"hear nothing and only poll: worker {worker_id}")


def test_worker_with_another_lease_than_the_settings(bench):
    bench.worker(60)
    other = bench.worker(30)
    assert doctor.leases(bench.store, 60).found == (f"have another lease than the 60 s of the settings: worker {other}")
    bench.store.write(lambda s: workers.sign_off(s, other, "signal SIGTERM", 0))
    assert doctor.leases(bench.store, 60).level == "ok"


def test_worker_that_is_silent_beyond_its_lease(bench):
    silent = [bench.worker(), bench.worker()]
    bench.expire(*silent)
    finding = doctor.silent(bench.store)
    assert finding.level == "warning"
    assert finding.found.endswith(f"workers {silent[0]}, {silent[1]}")


def test_jobs_of_workers_that_are_gone(bench):
    (job_id, _), worker_id = bench.put(Note(), Note()), bench.worker()
    bench.take(2, worker=worker_id)
    assert doctor.orphans(bench.store).level == "ok"
    alter(bench, state="lost")
    finding = doctor.orphans(bench.store)
    assert (finding.level, finding.found) == (
        "warning",
        f"2 jobs are held by workers that are gone, first {job_id}",
    )


def test_queue_that_no_worker_serves(bench):
    bench.worker()
    bench.put(Later(), delay=60)
    assert doctor.service(bench.store).level == "ok"
    bench.put(Later())
    finding = doctor.service(bench.store)
    assert (finding.level, finding.advice) == ("error", "`flask sms work --daemon --queue=later`")


@pytest.mark.parametrize(
    ("wish", "found"), [(control.pause, "paused: *"), (control.begin_maintenance, "maintenance mode")]
)
def test_nothing_is_claimed_because_somebody_asked_for_that(bench, wish, found):
    bench.store.write(wish)
    finding = doctor.service(bench.store)
    assert (finding.level, finding.found) == ("warning", f"{found}; nothing is claimed")


def test_jobs_that_were_given_up(bench):
    bench.handle(Note, lambda *_: 1 / 0, policy=Note.policy and Note.policy.__class__(tries=1))
    bench.put(Note())
    bench.run_one()
    assert doctor.given_up(bench.store).found == "1 of default"


def test_check_that_the_database_refuses_is_a_warning(bench):
    def refused(database):
        with database.reading() as session:
            session.execute(sa.text("SELECT * FROM no_such_table"))

    (finding,) = doctor.examine(bench.store, [("secrets", refused)])
    assert (finding.check, finding.level) == ("secrets", "warning")
    assert finding.found.startswith("could not be checked: ")
    assert finding.found.count("\n") == 0


def test_lease_that_is_just_being_renewed_is_the_same(bench):
    bench.worker(60)
    alter(bench, expires_at=WorkerRow.expires_at + SECOND // 2)
    assert doctor.leases(bench.store, 60).level == "ok"
