"""smsqueue as it runs in earnest, on one database: gunicorn, a worker and the outside world, each a process."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import count
from pathlib import Path

import sqlalchemy as sa

from smsqueue.db import Database, build_engine
from smsqueue.domain import credits
from smsqueue.models import Campaign, User
from smsqueue.queue.models import WorkerRow
from tests.factories import Factory
from tests.outside import ROOT, Outside, wait_until

OURS = ("SMS_", "SIMULATED_", "MAIL_", "DATABASE_", "QUEUE_", "SECRET_", "BASE_URL", "TRUSTED_", "LOG_GATEWAY_")
START_SECONDS = 60
_numbers = count(1)


@dataclass
class Installation:
    """One database and the processes on it. Each test hires people of its own, so that all can share it."""

    folder: Path
    database_url: str
    outside: Outside | None = None
    settings: dict[str, str] = field(default_factory=dict)
    store: Database = field(init=False)
    factory: Factory = field(init=False)
    port: int = field(init=False)
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.store = Database(build_engine(self.database_url))
        self.factory = Factory(self.store)
        self.port = _free_port()

    @property
    def url(self) -> str:
        """The address of the pages, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environ(self) -> dict[str, str]:
        """What every process here is told."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        outside = self.outside
        reached = {"SIMULATED_URL": outside.url, "MAIL_PORT": str(outside.smtp_port)} if outside else {}
        here = {"SMS_INSTANCE": str(self.folder / "instance"), "DATABASE_URL": self.database_url, "BASE_URL": self.url}
        return {**inherited, **here, **reached, **self.settings, "SECRET_KEY": "of-no-use-elsewhere " * 2}

    def start_web(self, application: str = "wsgi:app") -> None:
        """Start the pages, on the same port as before."""
        bind = ["--bind", f"127.0.0.1:{self.port}", "--worker-class", "gthread", "--workers", "1", "--threads", "8"]
        options = ["--log-level", "warning", "--graceful-timeout", "3", "--no-control-socket"]
        self._start("web", ["gunicorn", application, *bind, *options])
        wait_until(self._answers, START_SECONDS)

    def start_worker(self) -> None:
        """Start a worker and wait until it works."""
        self._start("worker", ["smsqueue", "sms", "work", "--daemon", "--sleep=0.3"])
        wait_until(self._has_worker, START_SECONDS)

    def stop(self, name: str) -> None:
        """End a process; once more when it does not listen."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def close(self) -> None:
        """End everything."""
        for name in list(self._running):
            self.stop(name)
        self.store.dispose()

    def hire(self, balance: int = 1000, *, team: str = "", email: str = "", operator: bool = False) -> User:
        """Make a person in a team of their own."""
        number = next(_numbers)
        made = self.factory.team(team or f"Team {number}", balance=balance)
        return self.factory.user(email or f"person{number}@example.com", team=made, operator=operator)

    def campaigns(self, user: User) -> list[Campaign]:
        """Read all campaigns of a person's team, oldest first."""
        with self.store.reading() as session:
            found = sa.select(Campaign).where(Campaign.team_id == user.team_id).order_by(Campaign.id)
            return list(session.scalars(found))

    def balance(self, user: User) -> int:
        """Read what a person's team can spend."""
        with self.store.reading() as session:
            return credits.balance(session, user.team_id)

    def movements(self, user: User) -> list[tuple[str, int]]:
        """List what changed the wallet of a person's team, oldest first: kind and amount."""
        with self.store.reading() as session:
            lines = credits.history(session, user.team_id, None, 50)
        return [(line.kind, line.amount) for line in reversed(lines)]

    def audit(self) -> tuple[int, str]:
        """Run `flask sms audit`; its exit code and what it said."""
        command = [sys.executable, "-m", "smsqueue", "sms", "audit"]
        done = subprocess.run(command, cwd=ROOT, env=self.environ, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr

    def _start(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.stderr").open("ab") as errors:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-m", *command], cwd=ROOT, env=self.environ, stderr=errors, start_new_session=True
            )

    def _answers(self) -> bool:
        self._still_runs("web")
        connection = HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def _has_worker(self) -> bool:
        self._still_runs("worker")
        with self.store.reading() as session:
            return session.scalar(sa.select(WorkerRow.id).where(WorkerRow.state == "running")) is not None

    def _still_runs(self, name: str) -> None:
        errors = self.folder / f"{name}.stderr"
        assert self._running[name].poll() is None, f"{name} did not start: {errors.read_text()}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
