"""The outside world in another process, and small servers that misbehave, for tests on both sides of a gateway."""

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).parent.parent
READY = re.compile(r"http://127\.0\.0\.1:(\d+)/ mailbox smtp://127\.0\.0\.1:(\d+) .* seed (\d+)")
START_SECONDS = 20.0


class Outside:
    """A simulator in a process of its own: `with Outside(tmp_path, fates="off") as outside: outside.url`.

    Keyword arguments are its settings. The log stays in `folder`, so that `start()` after `kill()` goes on with the
    same log on the same ports.
    """

    def __init__(self, folder: Path, **settings: object) -> None:
        self.log = folder / "simulated.log"
        self.port = self.smtp_port = self.seed = 0
        self._errors = folder / "simulator.stderr"
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def url(self) -> str:
        """The address of gateway and page, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process."""
        return self._running().pid

    def start(self) -> Self:
        """Start it, on the ports that it had before if there were any, and wait until it answers."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SIMULATED_")}
        environ |= {f"SIMULATED_{name.upper()}": str(value) for name, value in self._settings.items()}
        command = [sys.executable, "-m", "smsqueue.simulator", "--port", str(self.port)]
        command += ["--smtp-port", str(self.smtp_port), "--log", str(self.log)]
        with self._errors.open("a") as errors:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True
            )
        ready = self._first_line(self._process)
        self.port, self.smtp_port, self.seed = (int(number) for number in ready.groups())
        return self

    def stop(self) -> int:
        """Ask it to end; the exit code."""
        process = self._running()
        process.send_signal(signal.SIGTERM)
        return self._ended(process)

    def kill(self) -> None:
        """End it with SIGKILL, if it runs."""
        if self._process:
            self._process.kill()
            self._ended(self._process)

    def settings(self, **values: object) -> dict[str, Any]:
        """Change settings while it runs; all of them as they are now."""
        shown: dict[str, Any] = self.call("PUT", "/settings", values)
        return shown

    def log_lines(self) -> list[dict[str, Any]]:
        """What was taken, oldest first; lines with `again` were not taken a second time."""
        return _json_lines(self.log)

    def refused_lines(self) -> list[dict[str, Any]]:
        """The calls that were not taken."""
        return _json_lines(self.log.with_name("simulated.refused.log"))

    def texts(self, to: str | None = None) -> list[dict[str, Any]]:
        """The texts on all phones or on one, newest first."""
        texts: list[dict[str, Any]] = self.call("GET", f"/phones.json{f'?to=%2B{to[1:]}' if to else ''}")
        return texts

    def mails(self, to: str | None = None) -> list[dict[str, Any]]:
        """The mails to all or to one address, newest first."""
        mails: list[dict[str, Any]] = self.call("GET", f"/mails.json{f'?to={to}' if to else ''}")
        return mails

    def call(self, method: str, path: str, values: object = None) -> Any:
        """One HTTP call; its JSON, or an AssertionError with what was answered instead."""
        status, body = self.raw_call(method, path, values)
        assert status < 300, f"{method} {path}: {status} {body.decode()}"
        return json.loads(body)

    def raw_call(self, method: str, path: str, values: object = None) -> tuple[int, bytes]:
        """One HTTP call; status and body."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path, body=None if values is None else json.dumps(values))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _first_line(self, process: subprocess.Popen[str]) -> re.Match[str]:
        assert process.stdout is not None
        line = ""
        if select.select([process.stdout], [], [], START_SECONDS)[0]:
            line = process.stdout.readline()
        ready = READY.search(line)
        if ready is None:
            self.kill()
            raise AssertionError(f"The simulator did not start: {line}{self._errors.read_text()}")
        return ready

    def _running(self) -> subprocess.Popen[str]:
        assert self._process is not None, "the simulator does not run"
        return self._process

    def _ended(self, process: subprocess.Popen[str]) -> int:
        code = process.wait(timeout=10)
        if process.stdout:
            process.stdout.close()
        self._process = None
        return code


class RawServer:
    """A server on a free port that reads a request from each connection and then does to it what `behave` does."""

    def __init__(self, behave: Callable[[socket.socket], None], *, reads: bool = True) -> None:
        self._behave = behave
        self._reads = reads
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.closing = threading.Event()
        self.requests: list[bytes] = []

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join(10)
        for connection in self._open:
            connection.close()
        for thread in self._threads[1:]:
            thread.join(10)
        self._listener.close()

    @property
    def port(self) -> int:
        """The port it listens on."""
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            self._threads.append(threading.Thread(target=self._serve, args=(connection,)))
            self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._reads:
                self.requests.append(read_request(connection))
            self._behave(connection)
        except OSError:
            return  # the other side has gone


def read_request(connection: socket.socket) -> bytes:
    """One HTTP request with its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += _received(connection)
    head, body = data.split(b"\r\n\r\n", 1)
    length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
    while length and len(body) < int(length.group(1)):
        body += _received(connection)
    return head + b"\r\n\r\n" + body


def wait_until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Return as soon as the condition holds; fail when it does not within the time."""
    end = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s"
        pause.wait(0.02)


def rest(seconds: float) -> None:
    """Let others work for a while."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, seconds + 5)


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65_536)
    if not data:
        raise ConnectionError("closed")
    return data


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
