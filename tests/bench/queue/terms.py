"""What all parts are told: where the databases are, how often, how much, and where the others' queues are installed."""

import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from smsqueue.queue.dispatch import SECOND, enqueue_many, jobs
from smsqueue.queue.job import Job
from smsqueue.queue.models import WorkerRow
from tests.bench.figures import Run
from tests.bench.stage import Server, Stage
from tests.outside import ROOT

PEERS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"
REDIS = ("127.0.0.1", 6379)
INJECT = Path(__file__).parent / "inject"
KNOWS_OUR_JOBS = {"PYTHONPATH": f"{INJECT}{os.pathsep}{ROOT}"}
"""Settings by which `flask sms work` knows the jobs that are measured."""


@dataclass(frozen=True, slots=True)
class Terms:
    """The terms of one run. A share of less than 1 makes everything smaller, for a quick look."""

    server: Server
    rounds: int = 3
    share: float = 1

    def of(self, count: int) -> int:
        """Return how many, of so many in a whole run."""
        return max(100, round(count * self.share))


def work(stage: Stage, count: int, *options: str) -> Run:
    """Let `flask sms work` empty the queue: from before its first claim to its signing off, by the database's clock."""
    before = _children_cpu()
    first = _last_worker(stage) + 1
    with stage.program("-m", "smsqueue", "sms", "work", "--queue", "default", *options) as program:
        program.wait()
    cpu = _children_cpu() - before
    assert left(stage) == 0, "jobs are left"
    with stage.database.reading() as session:
        rows = session.scalars(sa.select(WorkerRow).where(WorkerRow.id >= first)).all()
    assert sum(row.jobs_done for row in rows) == count
    seconds = (max(row.expires_at for row in rows) - min(row.started_at for row in rows)) / SECOND
    return Run(count, seconds, cpu)


def left(stage: Stage) -> int:
    """Return how many jobs there are."""
    with stage.database.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(jobs)) or 0


def fill(stage: Stage, job_class: type[Job], count: int) -> None:
    """Put the same jobs into an empty queue, on tables as tidy as after a vacuum."""
    engine = stage.database.engine
    is_postgresql = engine.name == "postgresql"
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        connection.exec_driver_sql("TRUNCATE jobs" if is_postgresql else "DELETE FROM jobs")
    numbered = [job_class(number=number) for number in range(count)]  # type: ignore[call-arg]  # those measured have it
    stage.database.write(lambda session: enqueue_many(session, numbered))
    with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        if engine.name not in ("mysql", "mariadb"):
            connection.exec_driver_sql("VACUUM ANALYZE jobs" if is_postgresql else "ANALYZE")


def filled(stage: Stage, job_class: type[Job], count: int, side: Callable[[Stage, int], Run]) -> Callable[[], Run]:
    """Return how one side is run: on a queue that was just filled."""

    def run() -> Run:
        fill(stage, job_class, count)
        return side(stage, count)

    return run


def peer(name: str, *words: object) -> Run:
    """Run one of the others' queues."""
    return _figures([str(PEERS_PYTHON), "-m", f"tests.bench.queue.peers.{name}_peer", *map(str, words)])


def bare(name: str, stage: Stage, count: int) -> Run:
    """Run one of the references."""
    return _figures([sys.executable, "-m", "tests.bench.queue.bare", name, plain(stage.url), str(count)])


def plain(url: str) -> str:
    """Return the URL of a PostgreSQL as everybody else understands it."""
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def redis_url() -> str | None:
    """Return the address of an empty database of the Redis on this machine, if there is one."""
    try:
        with socket.create_connection(REDIS, timeout=2) as connection:
            for number in range(15, 0, -1):
                connection.sendall(b"SELECT %d\r\nDBSIZE\r\n" % number)
                answer = connection.recv(100)
                answer += b"" if answer.count(b"\r\n") == 2 else connection.recv(100)
                if answer == b"+OK\r\n:0\r\n":
                    return f"redis://{REDIS[0]}:{REDIS[1]}/{number}"
    except OSError:
        return None
    return None


def _figures(command: list[str]) -> Run:
    environ = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    found = json.loads(done.stdout.splitlines()[-1])
    return Run(found["count"], found["seconds"], found["cpu_seconds"])


def _last_worker(stage: Stage) -> int:
    with stage.database.reading() as session:
        return session.scalar(sa.select(sa.func.max(WorkerRow.id))) or 0


def _children_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
