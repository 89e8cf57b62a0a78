"""What the doctor says of the database; each state made for real, where the database lets us."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from smsqueue.db import Database, build_engine, normalise_url
from smsqueue.queue import doctor_server as server
from smsqueue.queue import workers
from smsqueue.queue.dispatch import enqueue_many, jobs
from smsqueue.queue.doctor import Finding, examine
from smsqueue.queue.models import WorkerRow
from tests.integration.queue.kit import Note
from tests.outside import wait_until


@pytest.fixture
def fresh(database_url):
    """A database of the test's own."""
    store = Database(build_engine(database_url))
    yield store
    store.dispose()


def sure(finding: Finding | None) -> Finding:
    """This check does find something."""
    assert finding is not None
    return finding


@pytest.fixture
def plain(database):
    """Connect to the database as this program does not: `plain("mysql option"=…)`."""
    made = []

    def connect(**options):
        made.append(Database(sa.create_engine(normalise_url(database.url), **options)))
        return made[-1]

    yield connect
    for each in made:
        each.dispose()


def test_database_as_this_program_sets_it_up_is_well(store):
    findings = examine(store, server.CHECKS)
    assert {finding.level for finding in findings if finding.check != "oldest transaction"} == {"ok"}, findings


@pytest.mark.databases("mariadb")
@pytest.mark.parametrize(("version", "level"), [((10, 5, 22), "warning"), ((10, 6, 0), "ok")])
def test_server_that_cannot_step_over_locked_rows(plain, version, level):
    store = plain()
    with store.engine.connect():
        store.engine.dialect.server_version_info = version
    assert server.skip_locked(store).level == level


@pytest.mark.databases("postgresql", "mariadb")
def test_isolation_that_this_program_does_not_work_with(plain):
    finding = server.isolation(plain(isolation_level="REPEATABLE READ"))
    assert (finding.level, finding.found) == ("error", "REPEATABLE READ")


@pytest.mark.databases("mariadb")
def test_statements_that_are_committed_one_by_one(plain):
    store = plain(isolation_level="READ COMMITTED")
    sa.event.listen(store.engine, "connect", lambda connection, _: connection.autocommit(True))
    finding = server.isolation(store)
    assert (finding.level, finding.found) == ("error", "READ COMMITTED, autocommit")


@pytest.mark.databases("postgresql")
def test_commits_that_are_not_waited_for(plain):
    finding = server.durability(plain(connect_args={"options": "-csynchronous_commit=off"}))
    assert (finding.level, finding.found) == ("error", "synchronous_commit is off")
    assert "set synchronous_commit = on" in finding.advice


@pytest.mark.databases("mariadb")
def test_commits_that_reach_the_disk_once_a_second(store):
    def flush(how):
        store.write(lambda session: session.execute(sa.text(f"SET GLOBAL innodb_flush_log_at_trx_commit = {how}")))

    flush(2)
    try:
        finding = server.durability(store)
    finally:
        flush(1)
    assert (finding.level, finding.found) == ("error", "innodb_flush_log_at_trx_commit is 2")


@pytest.mark.databases("sqlite")
def test_file_that_is_opened_without_care(tmp_path):
    store = Database(sa.create_engine(f"sqlite:///{tmp_path / 'plain.db'}", connect_args={"timeout": 0}))
    sa.event.listen(store.engine, "connect", lambda connection, _: connection.execute("PRAGMA synchronous=NORMAL"))
    finding = server.durability(store)
    assert (finding.level, finding.found) == (
        "error",
        "journal_mode is delete, synchronous is 1, busy_timeout is below 1 s",
    )
    store.dispose()


MOUNTS = """\
/dev/sda1 / ext4 rw 0 0
box:/export /srv/shared nfs4 rw 0 0
//box/share /mnt/my\\040share cifs rw 0 0
tmpfs /srv/shared/here tmpfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib/x.db", "ext4"),
        ("/srv/shared/x.db", "nfs4"),
        ("/srv/shared/here/x.db", "tmpfs"),
        ("/srv/sharedx/x.db", "ext4"),
        ("/mnt/my share/x.db", "cifs"),
    ],
)
def test_kind_of_file_system_is_that_of_the_nearest_mount(path, kind):
    assert server.filesystem(Path(path), MOUNTS) == kind
    assert server.filesystem(Path(path), "") == ""


@pytest.mark.databases("sqlite")
def test_log_of_an_embedded_database_that_has_grown(store):
    with store.reading() as session:  # holds up the log
        session.execute(sa.select(jobs)).all()
        store.write(lambda s: enqueue_many(s, [Note() for _ in range(1000)]))
        assert sure(server.disk(store)).level == "ok"
        assert sure(server.disk(store, largest=1000)).level == "warning"


@pytest.mark.databases("postgresql", "mariadb")
def test_workers_that_need_more_connections_than_there_are(store):
    store.write(lambda session: workers.register(session, ["default"], 60))
    assert sure(server.connections(store)).level == "ok"
    store.write(lambda session: session.execute(sa.update(WorkerRow).values(threads=500)))
    finding = sure(server.connections(store))
    assert finding.level == "warning"
    assert finding.found.endswith("the threads of all workers need up to 503")


def test_index_that_is_missing(fresh):
    assert server.indexes(fresh).level == "ok"
    dropped = "DROP INDEX ix_jobs_worker"
    if fresh.engine.name != "sqlite":
        dropped += " ON jobs" if fresh.engine.name in ("mysql", "mariadb") else ""
    fresh.write(lambda session: session.execute(sa.text(dropped)))
    finding = server.indexes(fresh)
    assert (finding.level, finding.found) == ("error", "missing: ix_jobs_worker")


def test_tables_that_are_missing(databases, database_kind):
    store = Database(build_engine(databases.empty(database_kind)))
    assert "ix_jobs_claim" in server.indexes(store).found
    store.dispose()


@pytest.mark.databases("postgresql")
def test_index_that_could_not_be_built(fresh):
    fresh.write(lambda session: enqueue_many(session, [Note(), Note()]))
    at_once = fresh.engine.execution_options(isolation_level="AUTOCOMMIT")
    with at_once.connect() as connection, pytest.raises(sa.exc.IntegrityError):
        connection.exec_driver_sql("CREATE UNIQUE INDEX CONCURRENTLY half_built ON jobs (queue)")
    finding = server.indexes(fresh)
    assert (finding.level, finding.found) == ("error", "not usable: half_built")


@pytest.mark.databases("postgresql", "mariadb")
def test_transaction_that_is_open_for_long(store):
    with store.reading() as session:
        session.execute(sa.select(jobs)).all()
        wait_until(
            lambda: sure(server.transactions(store, seconds=0)).level == "warning"
        )  # MariaDB tells of them after 0.1 s
        assert sure(server.transactions(store, seconds=0)).found.startswith("open for 0 min: process ")
        assert sure(server.transactions(store)).level == "ok"
    wait_until(lambda: sure(server.transactions(store, seconds=0)).level == "ok")


@pytest.mark.databases("postgresql")
def test_storage_of_hot_tables_is_found_and_fixed_once(fresh):
    assert sure(server.storage(fresh, server.HOT)).found == "usual fillfactor or autovacuum: jobs, workers"
    assert server.fix_storage(fresh, server.HOT) == ["jobs", "workers"]
    assert sure(server.storage(fresh, server.HOT)).level == "ok"
    assert server.fix_storage(fresh, server.HOT) == []
    fresh.write(lambda session: session.execute(sa.text("ALTER TABLE workers SET (fillfactor = 90)")))
    assert server.fix_storage(fresh, server.HOT) == ["workers"]


@pytest.mark.databases("sqlite", "mariadb")
def test_storage_is_nothing_that_other_databases_know(store):
    assert server.storage(store, server.HOT) is None
    assert server.fix_storage(store, server.HOT) == []
