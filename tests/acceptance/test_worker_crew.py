"""Several workers under one parent: watched, replaced, drained, restarted, each started by exec."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from smsqueue.domain.jobs import SendMailJob
from smsqueue.queue import control
from smsqueue.queue.dispatch import enqueue
from smsqueue.queue.models import FailedJob, WorkerRow
from tests.acceptance.test_worker_process import Scene
from tests.processes import eventually, work


@pytest.fixture
def scene(database, tmp_path):
    scene = Scene(database.url, tmp_path)
    yield scene
    scene.store.dispose()


def crew(scene: Scene, *options: str, **environment: str):
    """Build a parent with three workers."""
    return scene.worker("--daemon", *options, TEST_WORKERS="3", **environment)


@pytest.mark.databases("postgresql", "mariadb")
def test_killed_worker_of_several_is_replaced_and_the_others_work_on(scene):
    scene.put("wait", "wait", "note")
    with crew(scene) as process:
        process.wait_for("worker.started", times=3)
        eventually(lambda: {"begun 0", "begun 1"} <= set(scene.diary))
        before = {child.pid for child in process.children}
        victim = next(row for row in scene.rows(WorkerRow) if row.id == scene.held()[0].worker_id)
        psutil.Process(victim.pid).kill()
        process.wait_for("worker.started", times=4)
        eventually(lambda: len([line for line in scene.diary if line in ("begun 0", "begun 1")]) == 3)
        assert len(before & {child.pid for child in process.children}) == 2
        scene.say_the_word()
        eventually(lambda: scene.rows() == [])
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
    assert sorted(scene.states()) == ["lost", "stopped", "stopped", "stopped"]
    assert scene.rows(FailedJob) == []
    assert "killed by SIGKILL" in [row.stop_reason for row in scene.rows(WorkerRow)]


@pytest.mark.databases("sqlite", "postgresql")
def test_all_workers_finish_what_is_in_hand_at_a_signal(scene):
    scene.put("wait", "wait", "wait", "wait")
    with crew(scene) as process:
        eventually(lambda: len(scene.diary) == 3)
        process.signal(signal.SIGTERM)
        eventually(lambda: not scene.say_the_word() and len(scene.states()) == 3)
        assert process.ended() == 0
    assert scene.states() == ["stopped"] * 3
    assert len([line for line in scene.diary if line.startswith("done")]) == 3
    assert [(row.attempts, row.reserved_at) for row in scene.rows()] == [(0, None)]


@pytest.mark.databases("sqlite")
def test_second_signal_ends_all_workers_at_once(scene):
    scene.put("deaf", "deaf", "deaf")
    with crew(scene) as process:
        eventually(lambda: len(scene.diary) == 3)
        children = process.children
        process.signal(signal.SIGTERM)
        eventually(lambda: not any(child.is_running() for child in children) or process.signal(signal.SIGTERM))
        assert process.ended() == 0
    assert [(row.attempts, row.reserved_at) for row in scene.rows()] == [(1, None)] * 3
    assert scene.states() == ["lost"] * 3


@pytest.mark.databases("postgresql")
def test_restart_lets_every_worker_finish_and_starts_all_anew_under_the_same_process_id(scene):
    scene.put("wait", "note", "note")
    with crew(scene) as process:
        process.wait_for("worker.started", times=3)
        eventually(lambda: "begun 0" in scene.diary)
        pid = process.pid
        scene.store.write(control.request_restart)
        eventually(lambda: scene.states().count("stopped") == 2)
        scene.say_the_word()
        process.wait_for("worker.started", times=6)
        assert psutil.Process(pid).is_running()
        assert (scene.rows(), scene.rows(FailedJob)) == ([], [])
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
        assert not process.says("worker.died")
    assert scene.states() == ["stopped"] * 6
    assert "restart was asked for" in [row.stop_reason for row in scene.rows(WorkerRow)]


@pytest.mark.databases("sqlite")
def test_all_workers_end_when_their_parent_is_killed(scene):
    with crew(scene) as process:
        process.wait_for("worker.started", times=3)
        children = process.children
        process.signal(signal.SIGKILL)
        gone, alive = psutil.wait_procs(children, timeout=20)
        assert (len(gone), alive) == (3, [])
    assert [row.stop_reason for row in scene.rows(WorkerRow)] == ["parent is gone"] * 3


@pytest.mark.databases("postgresql", "sqlite")
def test_command_starts_workers_with_threads_and_ends_them_in_order(scene):
    options = ("--workers", "2", "--threads", "3", "--urgent-priority", "0", "--force")
    with work(scene.url, scene.folder, "--daemon", "--sleep", "0.05", *options) as process:
        eventually(lambda: scene.states() == ["running", "running"])
        scene.store.write(lambda session: enqueue(session, SendMailJob(notice_id="0" * 32)))  # a notice that is gone
        eventually(lambda: scene.rows() == [])
        assert [row.threads for row in scene.rows(WorkerRow)] == [3, 3]
        process.signal(signal.SIGINT)
        assert process.ended() == 0
        assert "Traceback" not in process.output
    assert [row.stop_reason for row in scene.rows(WorkerRow)] == ["signal SIGTERM"] * 2


@pytest.mark.databases("sqlite")
def test_workers_too_large_to_begin_end_with_12(scene):
    with work(scene.url, scene.folder, "--daemon", "--memory", "1", "--workers", "2") as process:
        assert process.ended() == 12


@pytest.mark.databases("sqlite")
def test_worker_grown_too_large_is_replaced_when_it_is_one_of_several(scene):
    scene.put("grow")
    with crew(scene, TEST_MEMORY="200") as process:
        process.wait_for("worker.started", times=4)
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
    reasons = sorted(str(row.stop_reason) for row in scene.rows(WorkerRow))
    assert reasons == ["memory is over 200 MiB", *["signal SIGTERM"] * 3]


@pytest.mark.databases("sqlite")
def test_workers_pause_and_go_on_with_their_parent(scene):
    with crew(scene) as process:
        process.wait_for("worker.started", times=3)
        process.signal(signal.SIGUSR2)
        eventually(lambda: [row.is_paused for row in scene.rows(WorkerRow)] == [True] * 3)
        scene.put("note")
        process.signal(signal.SIGCONT)
        eventually(lambda: scene.rows() == [])
        process.signal(signal.SIGTERM)
        assert process.ended() == 0


@pytest.mark.databases("postgresql", "mariadb")
def test_no_two_processes_share_a_connection(scene):
    scene.put("wait", "wait", "wait")
    with crew(scene) as process:
        eventually(lambda: len(scene.diary) == 3)
        parent, *workers = (_sockets(pid) for pid in (process.pid, *(child.pid for child in process.children)))
        assert all(workers)
        assert len(set.union(*workers)) == sum(len(each) for each in workers)
        assert parent == set()  # it has none that could be inherited
        scene.say_the_word()
        process.signal(signal.SIGTERM)
        assert process.ended() == 0


def _sockets(pid: int) -> set[str]:
    """The open sockets of a process, by their numbers in the kernel."""
    links = []
    for each in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed by now
            links.append(os.readlink(each))
    return {link for link in links if link.startswith("socket:")}
