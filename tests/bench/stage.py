"""Where the measured programs play: a PostgreSQL, migrated databases, and real processes on them."""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import psutil
import sqlalchemy as sa
from requests import RequestException, Session

from smsqueue.db import Database, build_engine, normalise_url
from smsqueue.queue.models import WorkerRow
from tests.databases import Postgresql
from tests.outside import ROOT, Outside, wait_until

URL_NAMES = ("BENCH_DATABASE_URL", "TEST_POSTGRESQL_URL")
START_SECONDS = 60


class Server(Protocol):
    """Something that makes databases."""

    def create(self) -> str:
        """Make an empty database and return its URL."""

    def stop(self) -> None:
        """Remove everything that was made."""


class RunningServer:
    """Databases with random names on a PostgreSQL that runs anyway."""

    def __init__(self, url: str) -> None:
        self.url = sa.make_url(normalise_url(url))
        self.made: list[str] = []

    def create(self) -> str:
        """Create a database beside the one that was named."""
        name = f"smsqueue_bench_{secrets.token_hex(6)}"
        self._run(f"CREATE DATABASE {name}")
        self.made.append(name)
        return self.url.set(database=name).render_as_string(hide_password=False)

    def stop(self) -> None:
        """Drop what was created."""
        for name in self.made:
            self._run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def _run(self, statement: str) -> None:
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)


@contextmanager
def postgresql() -> Iterator[Server]:
    """Use the PostgreSQL that the environment names, else one of our own; say what it is like."""
    url = next((os.environ[name] for name in URL_NAMES if os.environ.get(name, "").strip()), None)
    server = RunningServer(url) if url else Postgresql()
    try:
        engine = build_engine(server.create())
        with engine.connect() as connection:
            asked = {name: connection.exec_driver_sql(f"SHOW {name}").scalar() for name in SHOWN}
        engine.dispose()
        print("PostgreSQL:", ", ".join(f"{name} {value}" for name, value in asked.items()), flush=True)
        yield server
    finally:
        server.stop()


SHOWN = ("server_version", "fsync", "synchronous_commit", "shared_buffers")


class Program:
    """A process of the program under test, with what it printed kept in a file."""

    def __init__(self, command: list[str], environ: dict[str, str], log: Path) -> None:
        self.log = log
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, env=environ, stdout=out, stderr=subprocess.STDOUT
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(timeout=60)

    def wait(self) -> None:
        """Wait for its end; complain when it is not a good one."""
        if self.process.wait(timeout=600):
            raise AssertionError(f"{self.process.args!r} ended with {self.process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """Return the end of what it printed."""
        return self.log.read_text(errors="replace")[-2000:]

    def family(self) -> list[psutil.Process]:
        """Return the process and those that it started."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return the CPU time that it and its children have used."""
        return sum(times.user + times.system for times in (each.cpu_times() for each in self.family()))

    def peak_mib(self) -> float:
        """Return the most memory that any one of its processes ever had (Linux: VmHWM)."""
        return max(_peak_mib(each.pid) for each in self.family())


def _peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in status.splitlines() if line.startswith("VmHWM"))


@dataclass
class Stage:
    """A migrated database with everything that runs on it; `with Stage(url) as stage`."""

    url: str
    settings: dict[str, str] = field(default_factory=dict)
    ends: ExitStack = field(default_factory=ExitStack)

    def __enter__(self) -> Self:
        self.folder = Path(tempfile.mkdtemp(prefix="smsqueue-bench-"))
        self.ends.callback(shutil.rmtree, self.folder)
        self.web_port = _free_port()
        self.database = Database(build_engine(self.url))
        self.ends.callback(self.database.dispose)
        self.command("db", "upgrade")
        return self

    def __exit__(self, *_: object) -> None:
        self.ends.close()

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the program, as in production."""
        ours = ("SMS_", "SIMULATED_", "MAIL_", "DATABASE_URL", "SECRET_KEY", "BASE_URL", "TRUSTED_HOSTS")
        return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | {
            "DATABASE_URL": self.url,
            "SMS_ENV": "production",
            "SMS_ALLOW_FAKE_GATEWAY": "yes",
            "SECRET_KEY": "benchmark-" + "0f1e2d3c4b5a69788796a5b4c3d2e1f0" * 2,
            "BASE_URL": self.web_url,
            "SMS_INSTANCE": str(self.folder),
            **self.settings,
        }

    @property
    def web_url(self) -> str:
        """The address of the pages."""
        return f"http://127.0.0.1:{self.web_port}"

    def command(self, *words: str, stdin: str = "") -> None:
        """Run a command of the program to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "smsqueue", *words],
            cwd=ROOT,
            env=self.environ,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    def program(self, *command: str) -> Program:
        """Start a process that ends with the `with` it is used in."""
        return Program(list(command), self.environ, self.folder / "programs.log")

    def worker(self, *options: str) -> Program:
        """Start a worker and wait until it looks for jobs."""
        before = self._workers()
        program = self.program("-m", "smsqueue", "sms", "work", "--daemon", *options)
        try:
            until(lambda: self._workers() - before, program)
        except BaseException:
            program.__exit__()
            raise
        return program

    def web(self, application: str = "wsgi:app") -> Program:
        """Start the web server as `docs/operations.md` has it, and wait until it answers."""
        bind = ["--bind", f"127.0.0.1:{self.web_port}", "--worker-class", "gthread"]
        bind += ["--workers", "2", "--threads", "12"]
        program = self.program("-m", "gunicorn", application, *bind, "--log-level", "warning", "--no-control-socket")
        with Session() as session:
            until(lambda: _answers(session, f"{self.web_url}/healthz"), program)
        return program

    def outside(self, **settings: object) -> Outside:
        """Start a simulated gateway and make it the one that workers send to."""
        outside = self.ends.enter_context(Outside(self.folder, fates="off", **settings))
        self.settings["SIMULATED_URL"] = outside.url
        return outside

    def _workers(self) -> set[int]:
        with self.database.reading() as session:
            return set(session.scalars(sa.select(WorkerRow.id)))


def until(condition: Callable[[], object], program: Program) -> None:
    """Wait for a condition while a program runs."""

    def holds() -> object:
        assert program.process.poll() is None, f"{program.process.args!r} ended: {program.last_words()}"
        return condition()

    wait_until(holds, START_SECONDS)


def _answers(session: Session, url: str) -> bool:
    try:
        return session.get(url, timeout=5).status_code < 500
    except RequestException:
        return False


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port
