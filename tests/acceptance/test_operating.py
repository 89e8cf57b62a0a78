"""What an operator types while real workers run: a pause holds, a restart reports every worker."""

import pytest

from smsqueue.domain.jobs import SendMailJob
from smsqueue.queue import control
from smsqueue.queue.dispatch import enqueue
from smsqueue.queue.models import WorkerRow
from tests.acceptance.test_worker_process import Scene
from tests.processes import Process, eventually, work


@pytest.fixture
def scene(database, tmp_path):
    scene = Scene(database.url, tmp_path)
    yield scene
    scene.store.dispose()


def command(scene: Scene, *words: str) -> str:
    """Run `flask sms …` to its end and return what it printed."""
    environment = {"DATABASE_URL": scene.url, "SMS_INSTANCE": str(scene.folder)}
    with Process("-m", "smsqueue", "sms", *words, **environment) as process:
        assert process.ended() == 0, process.output
        return process.output


@pytest.mark.databases("postgresql")
def test_restart_reports_every_worker_and_a_pause_holds_for_the_new_ones(scene):
    with work(scene.url, scene.folder, "--daemon", "--workers", "2", "--sleep", "0.05", SMS_HEARTBEAT="1"):
        eventually(lambda: scene.states() == ["running", "running"])
        scene.store.write(lambda session: control.pause(session, "notifications"))
        said = command(scene, "restart", "--wait", "--timeout", "60s")
        old, new = scene.rows(WorkerRow)[:2], scene.rows(WorkerRow)[2:]
        assert all(f"Worker {row.id} ({row.host}:{row.pid}) has stopped." in said for row in old)
        assert all(f"Worker {row.id} ({row.host}:{row.pid}) has started." in said for row in new)
        assert said.endswith("2 workers started anew.\n")
        scene.store.write(lambda session: enqueue(session, SendMailJob(notice_id="0" * 32)))
        eventually(lambda: all(row.heartbeat_at > row.started_at for row in scene.rows(WorkerRow)[2:]))
        assert len(scene.rows()) == 1
        scene.store.write(control.resume)
        eventually(lambda: scene.rows() == [])
