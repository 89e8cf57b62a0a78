"""What `explain` says while real workers work, freeze, pause and die; and that the command it names helps."""

import os
import shlex
import signal
import subprocess
from functools import partial

import pytest
import sqlalchemy as sa

from smsqueue.queue import control, explain
from smsqueue.queue.dispatch import enqueue
from smsqueue.queue.groups import Limit
from smsqueue.queue.models import FailedJob, JobRow, WorkerRow
from tests.acceptance.test_worker_process import Scene
from tests.entries.worker import Act, PatientAct, limit_of
from tests.processes import eventually

pytestmark = pytest.mark.databases("postgresql")
KINDS = ("test.act", "test.patient-act")
SHORT = {"TEST_LEASE": "2"}
_due_now = sa.update(JobRow).values(available_at=1)


class Asking(Scene):
    """A database with workers, and somebody who asks why a job does not move."""

    limit_of: Limit | None = None
    """How many jobs of a group may be held at once."""

    def add(self, deed, job_class=Act, **more) -> int:
        """Queue one job and return its number."""
        job = job_class(deed=deed, name="0")
        return self.store.write(lambda session: enqueue(session, job, **more))

    def why(self, wanted) -> str:
        """All sentences, with commands, in one text."""
        with self.store.reading() as session:
            answer = explain.explain(session, str(wanted), KINDS, self.limit_of)
        if answer is None:
            return "nothing"
        return "\n".join(f"{reason.sentence} => {reason.command}" for reason in answer.reasons)

    def says(self, wanted, *words) -> None:
        """Wait until the answer has all these words."""
        eventually(lambda: all(word in self.why(wanted) for word in words))

    def begins(self, wanted, words) -> bool:
        """Say whether this is the first reason."""
        return self.why(wanted).startswith(words)

    def is_over(self, wanted) -> None:
        """Wait until the job is done."""
        eventually(lambda: self.why(wanted) == "nothing")


@pytest.fixture
def scene(database, tmp_path):
    scene = Asking(database.url, tmp_path)
    yield scene
    scene.store.dispose()


def test_job_waits_for_a_worker_then_runs_then_is_gone(scene):
    job_id = scene.add("wait")
    scene.says(job_id, "No worker listens on queue default => flask sms work --daemon --queue=default")
    with scene.worker("--daemon") as process:
        scene.says(job_id, "Held by worker ", f"pid {process.child.pid})", "it runs, or is about to")
        waiting = [scene.add("note") for _ in range(3)]
        scene.says(waiting[0], "Next in line: 1 worker, busy with 1 job, the longest for ")
        scene.says(waiting[2], "Waits behind 2 older jobs: 1 worker, the oldest has waited for ")
        later = scene.add("note", delay=3600)
        scene.says(later, "Not to be run until ", ", for 60 min")
        scene.say_the_word()
        scene.is_over(job_id)
        scene.is_over(waiting[2])


def test_worker_that_is_frozen_is_late_then_its_lease_runs_out(scene):
    job_id = scene.add("wait")
    with scene.worker("--daemon", **SHORT) as process:
        scene.says(job_id, "it runs, or is about to")
        frozen = (process.child.pid, process.pid)
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        scene.says(job_id, f"pid {frozen[0]}), last heartbeat ", " s ago, taken over in ", "unless it beats again")
        scene.says(job_id, "its lease ran out ", "No worker runs that could take it over => flask sms work")
        with scene.worker("--daemon", **SHORT) as second:
            scene.says(job_id, f"pid {second.child.pid})", "it runs, or is about to")
            for pid in frozen:
                os.kill(pid, signal.SIGCONT)
            scene.say_the_word()
            scene.is_over(job_id)


def test_workers_that_a_signal_paused_go_on_by_the_command_named(scene):
    with scene.worker("--daemon") as process:
        eventually(lambda: scene.states() == ["running"])
        os.kill(process.child.pid, signal.SIGUSR2)
        eventually(lambda: scene.rows(WorkerRow)[0].is_paused)
        job_id = scene.add("note")
        command = f"kill -CONT {process.child.pid}"
        scene.says(job_id, "Every worker of queue default is paused by a signal", command)
        subprocess.run(shlex.split(command), check=True)
        scene.is_over(job_id)


def test_what_somebody_asked_for_holds_workers_back(scene):
    wishes = {
        "Queue default is paused by ana since ": (lambda s: control.pause(s, "default", author="ana"), control.resume),
        "All queues are paused since ": (control.pause, control.resume),
        "Maintenance mode since ": (control.begin_maintenance, control.end_maintenance),
    }
    with scene.worker("--daemon") as process:
        process.wait_for("worker.started")
        for words, (begin, end) in wishes.items():
            scene.store.write(begin)
            job_id = scene.add("note", delay=1)  # by then the worker knows
            scene.says(job_id, words)
            eventually(partial(scene.begins, job_id, words))
            scene.store.write(end)
            scene.is_over(job_id)


def test_jobs_that_cannot_be_done_are_put_off_then_given_up(scene):
    deadly, strange = (
        scene.add("die", PatientAct),
        scene.add("note", type("Stranger", (Act,), {"kind": "test.stranger"})),
    )
    uuids = [row.uuid for row in scene.rows()]
    scene.says(strange, "No handler is registered for jobs of kind test.stranger: whoever claims it gives it up")
    with scene.worker("--daemon"):
        scene.says(deadly, "Put off until ", "SIGKILL")
        scene.store.write(lambda session: session.execute(_due_now))
        scene.says(uuids[0], "Given up at ", "SIGKILL", f"flask sms retry-failed {uuids[0]}")
        scene.says(uuids[1], "Given up at ", "UnknownJob")
    assert len(scene.rows(FailedJob)) == 2


def test_jobs_of_a_group_wait_for_each_other(scene):
    scene.limit_of = limit_of(1)
    held, following, last = [scene.add("wait", group="red") for _ in range(3)]
    with scene.worker("--daemon", TEST_GROUP_LIMIT="1"), scene.worker("--daemon", TEST_GROUP_LIMIT="1"):
        scene.says(held, "Held by worker ", "it runs, or is about to")
        scene.says(following, "Its group red has 1 job in workers' hands, as many as it may")
        scene.limit_of = None  # what somebody sees who knows of no limit
        scene.says(last, "Waits behind 1 older job of its group red: 2 workers, the oldest has waited for ")
        scene.say_the_word()
        for job_id in (held, following, last):
            scene.is_over(job_id)
