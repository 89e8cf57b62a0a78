"""The demo's processes: started, watched and ended together, by honcho."""

import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection
from pathlib import Path
from typing import NamedTuple

import click
from honcho.manager import SYSTEM_PRINTER_NAME, Manager
from honcho.printer import Message, Printer

from smsqueue.paths import PACKAGE

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOPPED_BY_US = (130, 143)  # honcho's codes after INT and TERM


class Ports(NamedTuple):
    """Where the demo listens."""

    web: int
    outside: int
    mailbox: int


class Crew:
    """Web server, worker and outside world."""

    def __init__(self, ports: Ports, log: Path, environment: Mapping[str, str], *, secret: str) -> None:
        self.ports = ports
        given = {name: value for name, value in environment.items() if value}
        self.environment = {**self._defaults(), **self._callbacks(given, secret), **given}
        self.environment["PYTHONUNBUFFERED"] = "1"
        commands = self._commands(log)
        self._ears = _Ears(len(commands), self._when_started)
        self._manager = _Manager(self._ears)
        for name, command in commands.items():
            self._manager.add_process(name, f"exec {shlex.join(command)}", env=self.environment)
        self._login = ""
        self._over = threading.Event()

    @property
    def first_to_end(self) -> str:
        """The process whose end ended all."""
        return self._ears.first_to_end

    def run(self, login: str) -> int:
        """Run until a signal or until one of them ends; 0 after a signal."""
        self._login = login
        # Without a terminal any more there is nobody to press Ctrl-C.
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
        try:
            self._manager.loop()
        finally:
            self._over.set()
        code: int = self._manager.returncode or 0
        return 0 if code in STOPPED_BY_US else code

    def _defaults(self) -> dict[str, str]:
        """What the parts need to know of each other, unless the person has set it otherwise."""
        return {
            "BASE_URL": f"http://{HOST}:{self.ports.web}",
            "SMS_GATEWAY": "simulated",
            "SIMULATED_URL": f"http://{HOST}:{self.ports.outside}",
            "MAIL_SERVER": HOST,
            "MAIL_PORT": str(self.ports.mailbox),
            # A call must be over before the grace is, and the grace before honcho loses its patience (5 s).
            "SMS_CONNECT_TIMEOUT": "0.5",
            "SMS_READ_TIMEOUT": "3",
            "SMS_GRACE": "4",
        }

    def _callbacks(self, given: Mapping[str, str], secret: str) -> dict[str, str]:
        """Where the outside world reports to, and what it signs with; a real gateway cannot call this machine."""
        if given.get("SMS_GATEWAY", "simulated") != "simulated":
            return {}
        base = given.get("SMS_CALLBACK_BASE_URL", f"http://{HOST}:{self.ports.web}")
        ours = {} if "SMS_CALLBACK_SECRET_FILE" in given else {"SMS_CALLBACK_SECRET": secret}
        return ours | {
            "SMS_CALLBACK_BASE_URL": base,
            "SIMULATED_CALLBACK_URL": f"{base}/callbacks/simulated/report",
            "SIMULATED_CALLBACK_SECRET": secret,
        }

    def _commands(self, log: Path) -> dict[str, list[str]]:
        python = [sys.executable, "-m"]
        in_checkout = Path.cwd() == PACKAGE.parent and Path("wsgi.py").is_file()
        application = "wsgi:app" if in_checkout else "smsqueue.app:create_app()"
        bind = ["--bind", f"{HOST}:{self.ports.web}", "--worker-class", "gthread", "--workers", "2", "--threads", "12"]
        quiet = ["--log-level", "warning", "--graceful-timeout", "3", "--no-control-socket"]
        outside = ["--port", str(self.ports.outside), "--smtp-port", str(self.ports.mailbox), "--log", str(log)]
        return {
            "outside": [*python, "smsqueue.simulator", *outside],
            "web": [*python, "gunicorn", application, *bind, *quiet],
            # The demo has nobody to start a worker again that grew past Laravel's 128 MiB.
            "worker": [*python, "smsqueue", "sms", "work", "--daemon", "--sleep=1", "--memory=512"],
        }

    def _when_started(self) -> None:
        threading.Thread(target=self._welcome, daemon=True).start()

    def _welcome(self) -> None:
        """Say where everything is, once the pages answer and the worker works."""
        deadline = time.monotonic() + START_SECONDS
        while not (self._ears.worker_is_up and self._answers()):
            if self._over.wait(0.1) or time.monotonic() > deadline:
                return
        pages = f"smsqueue is ready: {self.environment['BASE_URL']}"
        phones = f"The phones and mails that it reaches: http://{HOST}:{self.ports.outside}"
        click.echo(f"\n{pages}\n{phones}\n{self._login}\nCtrl-C ends it.\n")

    def _answers(self) -> bool:
        connection = HTTPConnection(HOST, self.ports.web, timeout=5)
        try:
            connection.request("GET", "/healthz")
            return connection.getresponse().status < 500
        except OSError:
            return False
        finally:
            connection.close()


class _Manager(Manager):  # type: ignore[misc]  # the library has no types
    """honcho's manager, which can also be told to stop while it is still starting."""

    def terminate(self) -> None:
        """End all processes; those that are still on their way are waited for."""
        if self._all_started():
            super().terminate()
        else:
            signal.signal(signal.SIGALRM, lambda *_: self.terminate())
            signal.setitimer(signal.ITIMER_REAL, 0.1)


class _Ears(Printer):  # type: ignore[misc]  # the library has no types
    """honcho's printer, which hears when all have been started, when the worker works, and who ended first."""

    def __init__(self, count: int, when_started: Callable[[], None]) -> None:
        super().__init__(sys.stdout)
        self.first_to_end, self.worker_is_up = "", False
        self._missing, self._when_started = count, when_started

    def write(self, message: Message) -> None:
        """Print a line, and understand honcho's own ones: `web started (pid=1)`, `web stopped (rc=0)`."""
        super().write(message)
        if message.name != SYSTEM_PRINTER_NAME:
            self.worker_is_up = self.worker_is_up or b"worker.started" in message.data
            return
        name, verb, *_ = message.data.split()
        if verb == "stopped":
            self.first_to_end = self.first_to_end or name
        elif verb == "started":
            self._missing -= 1
            if not self._missing:
                self._when_started()
