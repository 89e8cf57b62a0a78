"""`flask sms drill --kill`: real workers are killed, and nothing stays behind."""

import json
import signal

import pytest
import sqlalchemy as sa

from smsqueue.db import Database, build_engine
from smsqueue.queue import control
from smsqueue.queue.models import ControlRow, FailedJob, JobRow, JobStat, WorkerRow
from tests.processes import Process, eventually

TRACES = (JobRow, FailedJob, WorkerRow, ControlRow, JobStat)


@pytest.fixture
def store(database):
    """The database that is drilled on."""
    store = Database(build_engine(database.url))
    yield store
    store.dispose()


@pytest.fixture
def drill(database, tmp_path):
    """Build a drill: `drill("--jobs=10")`."""
    environment = {"DATABASE_URL": database.url, "SMS_INSTANCE": str(tmp_path)}
    return lambda *options: Process("-m", "smsqueue", "sms", "drill", *options, **environment)


def rows(store):
    """How many rows each table has that a drill writes to."""
    with store.reading() as session:
        counts = [session.scalar(sa.select(sa.func.count()).select_from(table)) for table in TRACES]
    return dict(zip((table.__tablename__ for table in TRACES), counts, strict=True))


@pytest.mark.databases("sqlite", "postgresql")
def test_drill_kills_workers_and_every_promise_is_kept(drill, store):
    with drill("--kill", "--jobs=40", "--workers=2", "--seconds=3") as process:
        assert process.ended(100) == 0, process.output
        result = json.loads(process.output.splitlines()[-1].removeprefix("RESULT "))
    assert result["ok"] is True
    assert result["kills"] >= 1
    assert 0 < result["takeover_max_s"] <= result["takeover_limit_s"]
    assert set(rows(store).values()) == {0}


@pytest.mark.databases("postgresql")
def test_drill_that_is_broken_off_leaves_nothing(drill, store):
    store.write(control.begin_maintenance)  # holds up others' jobs, not the drill's
    with drill("--kill", "--jobs=1000", "--workers=2", "--seconds=60") as process:
        process.wait_for("Killed worker", 60)
        process.signal(signal.SIGINT)
        assert process.ended(60) == 1
        assert process.says("The drill was broken off; nothing of it is left.")
    eventually(lambda: rows(store) == {**dict.fromkeys(rows(store), 0), "controls": 1})
