"""`flask sms work` and the engine's own parent and worker as real processes, with real signals."""

import os
import signal
from functools import partial
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from smsqueue.db import Database, build_engine
from smsqueue.domain.jobs import SendMailJob
from smsqueue.queue import control
from smsqueue.queue.dispatch import enqueue
from smsqueue.queue.models import FailedJob, JobRow, WorkerRow
from tests.entries.worker import Act, LastAct, PatientAct, ShortAct
from tests.processes import Process, eventually, work


class Scene:
    """A database, a diary that the jobs write, and short ways to look at them."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.store = Database(build_engine(url))

    def put(self, *deeds: str, job_class: type[Act] = Act) -> None:
        """Queue jobs, named 0, 1, 2 …"""
        for number, deed in enumerate(deeds):
            self.store.write(partial(enqueue, job=job_class(deed=deed, name=str(number))))

    def worker(self, *options: str, **environment: str) -> Process:
        """Build a parent and worker for these jobs."""
        diary = str(self.folder / "diary")
        environment = {"DATABASE_URL": self.url, "TEST_DIARY": diary, **environment}
        return Process("-m", "tests.entries.worker", *options, **environment)

    @property
    def diary(self) -> list[str]:
        """What the jobs have written."""
        diary = self.folder / "diary"
        return diary.read_text().splitlines() if diary.exists() else []

    def say_the_word(self) -> None:
        """Let the job that waits for a word end."""
        (self.folder / "word").touch()

    def rows(self, model=JobRow):
        """All rows of a table, oldest first."""
        with self.store.reading() as session:
            return list(session.scalars(sa.select(model).order_by(model.id)))

    def held(self):
        """The jobs that somebody holds."""
        return [row for row in self.rows() if row.reserved_at is not None]

    def states(self) -> list[str]:
        """The states of all workers, oldest first."""
        return [row.state for row in self.rows(WorkerRow)]


@pytest.fixture
def scene(database, tmp_path):
    scene = Scene(database.url, tmp_path)
    yield scene
    scene.store.dispose()


@pytest.mark.databases("sqlite", "postgresql")
def test_command_without_daemon_runs_what_is_ready_and_ends(scene):
    for _ in range(2):  # mails about notices that are gone
        scene.store.write(lambda session: enqueue(session, SendMailJob(notice_id="0" * 32)))
    with work(scene.url, scene.folder) as process:
        assert process.ended() == 0
        assert "Traceback" not in process.output
    assert scene.rows() == []
    (row,) = scene.rows(WorkerRow)
    assert (row.state, row.stop_reason, row.jobs_done) == ("stopped", "no job is ready", 2)


@pytest.mark.databases("sqlite")
def test_command_over_its_memory_ends_with_12(scene):
    with work(scene.url, scene.folder, "--daemon", "--memory", "1") as process:
        assert process.ended() == 12
    assert [row.stop_reason for row in scene.rows(WorkerRow)] in ([], ["memory is over 1 MiB"])


@pytest.mark.databases("postgresql")
def test_command_starts_anew_when_asked_to(scene):
    with work(scene.url, scene.folder, "--daemon", "--sleep", "0.05") as process:
        eventually(lambda: scene.states() == ["running"])
        before = process.child.pid
        scene.store.write(control.request_restart)
        eventually(lambda: scene.states() == ["stopped", "running"])
        assert process.is_running()
        assert process.child.pid != before
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
    assert [row.stop_reason for row in scene.rows(WorkerRow)] == ["restart was asked for", "signal SIGTERM"]


@pytest.mark.databases("sqlite")
def test_command_ends_in_order_at_a_signal(scene):
    with work(scene.url, scene.folder, "--daemon") as process:
        eventually(lambda: scene.states() == ["running"])
        process.signal(signal.SIGQUIT)
        assert process.ended() == 0
        assert "Traceback" not in process.output
    (row,) = scene.rows(WorkerRow)
    assert (row.state, row.stop_reason) == ("stopped", "signal SIGTERM")  # the parent passes on its wish


def test_job_in_hand_is_finished_and_nothing_stays_held(scene):
    scene.put("note", "note", "wait", "note", "note", "note")
    with scene.worker("--daemon") as process:
        eventually(lambda: "begun 2" in scene.diary)
        process.signal(signal.SIGTERM)
        eventually(lambda: process.says("worker.stopped") or not scene.say_the_word())
        assert process.ended() == 0
    assert scene.diary[-1] == "done 2"
    assert [(row.attempts, row.reserved_at) for row in scene.rows()] == [(0, None)] * 3
    assert scene.states() == ["stopped"]


@pytest.mark.databases("sqlite")
def test_signal_to_the_whole_group_is_one_signal(scene):
    scene.put("wait", "note")
    with scene.worker("--daemon") as process:
        eventually(lambda: "begun 0" in scene.diary)
        for _ in range(3):
            process.child.send_signal(signal.SIGINT)
            process.signal(signal.SIGINT)
        eventually(lambda: process.says("worker.stopped") or not scene.say_the_word())
        assert process.ended() == 0
    assert scene.diary == ["begun 0", "done 0"]
    assert [(row.attempts, row.reserved_at) for row in scene.rows()] == [(0, None)]


def test_killed_worker_is_replaced_and_what_it_had_not_begun_is_free_at_once(scene):
    scene.put("note", "note", "note", "wait", "note", "note")
    with scene.worker("--daemon") as process:
        eventually(lambda: "begun 3" in scene.diary)
        assert [row.attempts for row in scene.held()][:1] == [1]
        process.child.kill()
        eventually(lambda: scene.diary.count("begun 3") == 2)
        (running,) = scene.held()
        assert running.attempts == 2  # the broken run and this one
        assert [row.attempts for row in scene.rows()] == [2]  # those in its hand were free at once, and unspent
        scene.say_the_word()
        eventually(lambda: scene.rows() == [])
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
    assert scene.states() == ["lost", "stopped"]
    assert scene.rows(FailedJob) == []


@pytest.mark.databases("sqlite", "mariadb")
def test_job_that_kills_its_worker_meets_only_itself_and_is_given_up(scene):
    scene.put("note", "note", "note", "die", "note", "note")
    with scene.worker() as process:
        assert process.ended() == 0
    assert [line for line in scene.diary if line.startswith("begun")] == [f"begun {n}" for n in (0, 1, 2, 3, 4, 5, 3)]
    assert [line for line in scene.diary if line.startswith("done")] == [f"done {n}" for n in (0, 1, 2, 4, 5)]
    (row,) = scene.rows(FailedJob)
    assert row.exception == "WorkerDied: the worker ended in the middle (killed by SIGKILL)"
    assert scene.rows() == []


@pytest.mark.databases("sqlite")
def test_job_that_ends_its_process_is_given_up_and_the_worker_goes_on(scene):
    scene.put("leave", "note")
    with scene.worker() as process:
        assert process.ended() == 0
    reason = "WorkerDied: the worker ended in the middle (exit code 3)"
    assert [row.exception for row in scene.rows(FailedJob)] == [reason]
    assert "done 1" in scene.diary


@pytest.mark.databases("sqlite")
def test_worker_ends_by_itself_when_its_parent_is_killed(scene):
    scene.put("wait", "note")
    with scene.worker("--daemon") as process:
        eventually(lambda: "begun 0" in scene.diary)
        child = process.child
        process.signal(signal.SIGKILL)
        scene.say_the_word()
        gone, _ = psutil.wait_procs([child], timeout=20)
        assert gone
    (row,) = scene.rows(WorkerRow)
    assert (row.state, row.stop_reason) == ("stopped", "parent is gone")
    assert scene.held() == []
    assert "done 0" in scene.diary


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("deed", ["sleep", "block"])
def test_job_past_its_time_is_ended_tried_again_and_given_up(scene, deed):
    scene.put(deed, job_class=ShortAct)
    with scene.worker() as process:
        assert process.ended() == 0
    assert scene.diary == ["begun 0", "begun 0"]
    (row,) = scene.rows(FailedJob)
    assert row.exception == "TimedOut: stopped after 1 s"
    assert scene.rows() == []


@pytest.mark.databases("sqlite")
def test_job_past_its_time_is_ended_under_once_too(scene):
    scene.put("sleep", "note", job_class=ShortAct)
    with scene.worker("--once") as process:
        assert process.ended() == 1
    assert scene.diary == ["begun 0"]
    first, second = scene.rows()
    assert (first.attempts, first.reserved_at, first.last_error) == (1, None, "TimedOut: stopped after 1 s")
    assert (second.attempts, second.reserved_at) == (0, None)


@pytest.mark.databases("sqlite")
def test_second_signal_ends_the_worker_at_once_but_not_within_a_second(scene):
    scene.put("deaf")
    with scene.worker("--daemon") as process:
        eventually(lambda: "begun 0" in scene.diary)
        child = process.child
        process.signal(signal.SIGTERM)
        process.signal(signal.SIGTERM)
        eventually(lambda: _signal_until_gone(process, child))
        assert process.ended() == 0
    assert [(row.attempts, row.reserved_at) for row in scene.rows()] == [(1, None)]
    assert scene.states() == ["lost"]


def _signal_until_gone(process: Process, child: psutil.Process) -> bool:
    """Insist until the worker is gone; true once it is."""
    if process.is_running() and child.is_running():
        os.kill(process.pid, signal.SIGTERM)
        return False
    return True


@pytest.mark.databases("sqlite")
def test_worker_that_does_not_end_within_its_grace_is_ended(scene):
    scene.put("deaf")
    with scene.worker("--daemon", TEST_GRACE="0.5") as process:
        eventually(lambda: "begun 0" in scene.diary)
        process.signal(signal.SIGTERM)
        assert process.ended(10) == 0
    assert [(row.attempts, row.reserved_at) for row in scene.rows()] == [(1, None)]


@pytest.mark.databases("sqlite")
def test_worker_that_dies_at_its_start_is_replaced_ever_more_slowly(scene):
    with scene.worker("--daemon", "--broken") as process:
        process.wait_for("'pause': 1.0")
        process.wait_for("'pause': 2.0")
        process.signal(signal.SIGTERM)
        assert process.ended(6) == 0


@pytest.mark.databases("postgresql")
def test_frozen_worker_is_taken_for_dead_and_changes_nothing_when_it_wakes(scene):
    scene.put("wait")
    with scene.worker("--daemon", TEST_LEASE="2") as frozen:
        eventually(lambda: "begun 0" in scene.diary)
        child = frozen.child
        child.suspend()
        with scene.worker("--daemon", TEST_LEASE="60") as other:
            eventually(lambda: scene.diary.count("begun 0") == 2)
            child.resume()
            scene.say_the_word()
            frozen.wait_for("worker.lost")
            eventually(lambda: frozen.says("job.lost") and other.says("job.finished"))
            eventually(lambda: scene.states().count("running") == 2)  # the frozen one has begun anew
            for each in (frozen, other):
                each.signal(signal.SIGTERM)
                assert each.ended() == 0
    assert (scene.rows(), scene.rows(FailedJob)) == ([], [])
    assert sorted(scene.states()) == ["lost", "stopped", "stopped"]


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
def test_job_whose_worker_died_waits_as_its_class_says_before_it_is_tried_again(scene):
    scene.put("die", job_class=PatientAct)
    scene.put("note")
    with scene.worker() as process:
        assert process.ended() == 0
    assert scene.diary == ["begun 0", "begun 0", "done 0"]
    (row,) = scene.rows()
    assert (row.attempts, row.reserved_at) == (1, None)
    assert row.last_error == "WorkerDied: the worker ended in the middle (killed by SIGKILL)"
    assert row.available_at - row.created_at > 50_000_000  # microseconds


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
def test_job_that_may_not_run_late_is_given_up_at_the_first_time(scene):
    scene.put("block", job_class=LastAct)
    with scene.worker() as process:
        assert process.ended() == 0
    assert scene.diary == ["begun 0"]
    (row,) = scene.rows(FailedJob)
    assert (row.exception, row.error, row.attempts) == ("TimedOut: stopped after 0.5 s", "TimedOut", 1)
    assert scene.rows() == []


@pytest.mark.databases("sqlite", "postgresql")
def test_other_jobs_of_a_worker_that_was_stopped_for_one_go_back_unspent(scene):
    scene.put("wait")
    with scene.worker("--daemon", TEST_THREADS="2") as process:
        eventually(lambda: "begun 0" in scene.diary)
        scene.store.write(partial(enqueue, job=LastAct(deed="block", name="late")))
        eventually(lambda: scene.diary.count("begun 0") == 2)  # the second time without the other
        assert [row.attempts for row in scene.rows()] == [1]
        scene.say_the_word()
        eventually(lambda: scene.rows() == [])
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
    assert [row.error for row in scene.rows(FailedJob)] == ["TimedOut"]
    assert [row.stop_reason for row in scene.rows(WorkerRow)] == ["a job ran longer than it may", "signal SIGTERM"]
