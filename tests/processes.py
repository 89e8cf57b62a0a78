"""Workers as real processes: started, signalled, watched and collected; and a door in front of a database server."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
import sqlalchemy as sa

from smsqueue.db import normalise_url
from tests.outside import ROOT, wait_until

NOISE = ("SMS_", "SIMULATED_", "MAIL_", "DATABASE_URL", "FLASK_", "QUEUE_", "SECRET_KEY")
"""Settings of whoever runs the tests are not those of the processes."""

COMPILED_ONCE = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir(), "smsqueue-pyc"))}
"""As installed programs are: processes that compile themselves at each start would make slow tests."""


class Process:
    """A program of ours in a process of its own; whatever happens, it and its children end with the `with` block."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        self.arguments = [sys.executable, *arguments]
        self.environment = environment
        self._folder = tempfile.TemporaryDirectory(prefix="smsqueue-process-")
        self._log = Path(self._folder.name, "output")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill_all()
        if error is not None:
            print(self.output)
        self._folder.cleanup()

    def start(self) -> Self:
        """Start it."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(NOISE)}
        environ = {**kept, "PYTHONUNBUFFERED": "1", **COMPILED_ONCE, **self.environment}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self.arguments, cwd=ROOT, env=environ, stdout=log, stderr=subprocess.STDOUT
            )
        return self

    @property
    def pid(self) -> int:
        """The process itself: the parent."""
        return self._running().pid

    @property
    def child(self) -> psutil.Process:
        """The worker that it watches."""
        wait_until(lambda: self.children)
        return self.children[0]

    @property
    def children(self) -> list[psutil.Process]:
        """The workers that it watches at this moment."""
        return psutil.Process(self.pid).children()

    @property
    def output(self) -> str:
        """All that it and its children have printed."""
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process itself."""
        os.kill(self.pid, number)

    def says(self, text: str, times: int = 1) -> bool:
        """Say whether it has printed something."""
        return self.output.count(text) >= times

    def wait_for(self, text: str, seconds: float = 30, *, times: int = 1) -> None:
        """Wait until it has printed something."""
        wait_until(lambda: self.says(text, times) or self._running().poll() is not None, seconds)
        assert self.says(text, times), f"It did not say {text!r}:\n{self.output}"

    def ended(self, seconds: float = 30) -> int:
        """Wait for its end; its exit code."""
        return self._running().wait(seconds)

    def is_running(self) -> bool:
        """Say whether it has not ended yet."""
        return self._running().poll() is None

    def kill_all(self) -> None:
        """End it and its children with SIGKILL."""
        process = self._running()
        family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        process.kill()
        process.wait(10)
        for each in family:
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=10)

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "it was not started"
        return self._process


def work(url: str, folder: Path, *options: str, **environment: str) -> Process:
    """Build `flask sms work` with options, on a database, with an instance folder of its own."""
    environment = {"DATABASE_URL": url, "SMS_INSTANCE": str(folder), **environment}
    return Process("-m", "smsqueue", "sms", "work", *options, **environment)


class Door:
    """Stands in front of a database server; while it is shut, nothing gets through and what was open is broken off."""

    def __init__(self, url: str) -> None:
        self._target = sa.make_url(normalise_url(url))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._lock = threading.Lock()
        self._is_open = True
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()

    @property
    def url(self) -> str:
        """The database's address through the door."""
        url = self._target.difference_update_query(["host"]).set(host="127.0.0.1", port=self.port)
        return url.render_as_string(hide_password=False)

    def shut(self) -> None:
        """Refuse connections and break those that are open."""
        if not self._is_open:
            return
        self._is_open = False
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for each in (end for pair in pairs for end in pair):
            _hang_up(each)

    def open(self) -> None:
        """Let everybody in again."""
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._is_open = True
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def carry(self, source: socket.socket, sink: socket.socket) -> None:
        """Pass on what comes from one end until it ends."""
        try:
            while data := source.recv(65_536):
                if self.lets_through(source, sink, data):
                    sink.sendall(data)
        except OSError:
            return
        finally:
            _hang_up(source)
            _hang_up(sink)

    def lets_through(self, _source: socket.socket, _sink: socket.socket, _data: bytes) -> bool:
        """Say whether something gets through; what does not is swallowed, and nobody is told."""
        return True

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = self._connect()
            except OSError:
                return
            with self._lock:
                self._pairs.append((near, far))
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    def _connect(self) -> socket.socket:
        folder = self._target.query.get("host")
        if isinstance(folder, str) and folder.startswith("/"):
            far = socket.socket(socket.AF_UNIX)
            far.connect(f"{folder}/.s.PGSQL.{self._target.port or 5432}")
            return far
        return socket.create_connection((self._target.host or "127.0.0.1", self._target.port or 3306))


class DeafDoor(Door):
    """A door behind which, while it is deaf, lines of listeners are half open: both ends are there, nothing passes."""

    is_deaf = False

    def __init__(self, url: str) -> None:
        self._listeners: set[socket.socket] = set()
        super().__init__(url)

    def lets_through(self, source: socket.socket, sink: socket.socket, data: bytes) -> bool:
        """Swallow what a listener says or is told."""
        if data[:1] == b"Q" and b"LISTEN " in data:
            self._listeners |= {source, sink}
        return not (self.is_deaf and source in self._listeners)


def _hang_up(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
    finally:
        end.close()


def eventually(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait for what a process on a busy machine will do."""
    wait_until(condition, seconds)
