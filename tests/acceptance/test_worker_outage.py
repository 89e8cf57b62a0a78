"""A worker whose database goes away: it waits, comes back, and repeats nothing that was done."""

import signal

import pytest

from smsqueue.domain.jobs import SendMailJob
from smsqueue.queue.dispatch import enqueue
from smsqueue.queue.models import FailedJob
from tests.acceptance.test_worker_process import Scene
from tests.processes import Door, eventually, work


@pytest.fixture
def scene(database, tmp_path):
    scene = Scene(database.url, tmp_path)
    yield scene
    scene.store.dispose()


@pytest.mark.databases("postgresql")
def test_worker_waits_for_a_database_that_is_away_at_its_start(scene):
    scene.store.write(lambda session: enqueue(session, SendMailJob(notice_id="0" * 32)))
    with Door(scene.url) as door:
        door.shut()
        with work(door.url, scene.folder, "--daemon", "--sleep", "0.05") as process:
            process.wait_for("database.away")
            door.open()
            eventually(lambda: scene.rows() == [])
            process.signal(signal.SIGTERM)
            assert process.ended() == 0
            assert "Traceback" not in process.output


@pytest.mark.databases("postgresql", "mariadb")
def test_worker_waits_for_a_database_that_goes_away_while_a_job_runs(scene):
    scene.put("note", "note", "note", "wait", "note", "note")
    with Door(scene.url) as door, scene.worker("--daemon", DATABASE_URL=door.url) as process:
        eventually(lambda: "begun 3" in scene.diary)
        door.shut()
        scene.say_the_word()
        process.wait_for("database.away")
        door.open()
        eventually(lambda: scene.rows() == [])
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
    assert sorted(line for line in scene.diary if line.startswith("done")) == [f"done {n}" for n in range(6)]
    assert scene.rows(FailedJob) == []
    assert scene.states()[-1] == "stopped"


@pytest.mark.databases("postgresql")
def test_worker_ends_at_a_signal_while_the_database_is_away(scene):
    with Door(scene.url) as door:
        door.shut()
        with work(door.url, scene.folder, "--daemon") as process:
            process.wait_for("database.away")
            process.signal(signal.SIGTERM)
            assert process.ended(20) == 0
