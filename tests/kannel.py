"""A real Kannel, bearerbox and smsbox from the system's packages, and the SMSC that it hands its texts to."""

import os
import random
import shutil
import signal
import socket
import subprocess
import threading
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import unquote_to_bytes

from tests.outside import wait_until

PATH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
MISSING = "Kannel is not installed (Debian: apt install kannel)"
CONFIGURATION = """
group = core
admin-port = {admin}
admin-password = {password}
smsbox-port = {boxes}
box-allow-ip = 127.0.0.1
log-file = {folder}/bearerbox.log
store-type = spool
store-location = {folder}/spool

group = smsc
smsc = fake
smsc-id = fake
host = 127.0.0.1
port = {smsc}
connect-allow-ip = 127.0.0.1

group = smsbox
bearerbox-host = 127.0.0.1
sendsms-port = {sendsms}
log-file = {folder}/smsbox.log
http-request-retry = 20
http-queue-delay = 1

group = sendsms-user
username = drill
password = {password}
max-messages = 10
concatenation = true
"""
PASSWORD = "of-no-use-elsewhere"


def find(program: str) -> str | None:
    """Look for one of its programs."""
    return shutil.which(program, path=PATH)


def is_strict() -> bool:
    """Say whether this run may leave out nothing that it could have."""
    return bool(os.environ.get("CI") or os.environ.get("SMSQUEUE_TEST_STRICT"))


def is_installable() -> bool:
    """Say whether this machine could have it: it has Debian's packages, and we may install them."""
    if os.getuid() != 0 or not shutil.which("apt-cache"):
        return False
    asked = subprocess.run(["apt-cache", "show", "kannel"], capture_output=True, check=False)
    return asked.returncode == 0


@dataclass
class Arrived:
    """A text that the SMSC was handed, or one part of it."""

    to: str
    text: str


@dataclass
class Smsc:
    """The other end of Kannel's `fake` SMSC: it connects, again and again, and keeps every text it is handed."""

    port: int
    lines: list[str] = field(default_factory=list)
    _over: threading.Event = field(default_factory=threading.Event)
    _line: socket.socket | None = None
    _is_away: bool = False

    def start(self) -> None:
        """Listen to it from now on."""
        threading.Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Hang up for good."""
        self._over.set()
        self.hang_up()

    def hang_up(self) -> None:
        """Be away: Kannel keeps what it is given."""
        self._is_away = True
        if self._line:
            self._line.shutdown(socket.SHUT_RDWR)

    def come_back(self) -> None:
        """Take texts again."""
        self._is_away = False

    def texts(self) -> dict[str, list[str]]:
        """The texts that arrived, by number, parts put together."""
        found: dict[str, list[str]] = defaultdict(list)
        parts: dict[tuple[str, int], dict[int, bytes]] = defaultdict(dict)
        for line in list(self.lines):
            _, to, kind, rest = line.split(" ", 3)
            if kind != "udh":
                found[to].append(
                    rest if kind == "text" else unquote_to_bytes(rest.replace("+", " ")).decode("utf-16-be")
                )
                continue
            header, _, data = rest.split(" ", 2)
            reference, count, number = unquote_to_bytes(header)[3:6]
            parts[to, reference][number] = unquote_to_bytes(data.replace("+", " "))
            if len(parts[to, reference]) == count:
                whole = b"".join(parts[to, reference][each] for each in range(1, count + 1))
                found[to].append(whole.decode("utf-16-be" if b"\0" in whole else "utf-8"))
        return dict(found)

    def _run(self) -> None:
        while not self._over.wait(0.1):
            try:
                if not self._is_away:
                    self._take()
            except OSError:
                continue  # bearerbox is away

    def _take(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as line, line.makefile("rb") as file:
            self._line = line
            try:
                for each in file:
                    self.lines.append(each.decode().rstrip("\n"))
            finally:
                self._line = None


class Kannel:
    """`with Kannel(tmp_path) as kannel: kannel.url`; `kill()` and `start()` are of bearerbox."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "spool").mkdir(parents=True)
        self._ports = ports = dict(zip(("admin", "boxes", "smsc", "sendsms"), free_ports(4), strict=True))
        self.url = f"http://127.0.0.1:{ports['sendsms']}"
        self.smsc = Smsc(ports["smsc"])
        self._file = folder / "kannel.conf"
        self._file.write_text(CONFIGURATION.format(folder=folder, password=PASSWORD, **ports))
        self._boxes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        with ExitStack() as undone:
            undone.callback(self.stop)
            self.start()
            wait_until(lambda: answers(self._ports["boxes"]), 30)  # smsbox ends when nobody is there yet
            self._start("smsbox", "--parachute")  # 1.4.5 may panic when bearerbox goes: it starts anew
            self.smsc.start()
            wait_until(lambda: answers(self._ports["sendsms"]), 30)
            undone.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End both with SIGKILL."""
        self.smsc.stop()
        for box in reversed(self._boxes.values()):
            _kill(box)

    @property
    def settings(self) -> dict[str, str]:
        """What smsqueue has to know."""
        mine = {"URL": self.url, "USERNAME": "drill", "PASSWORD": PASSWORD, "FROM": "12345"}
        return {"SMS_GATEWAY": "kannel", **{f"KANNEL_{name}": value for name, value in mine.items()}}

    def start(self) -> None:
        """Start bearerbox, on what it had stored."""
        self._start("bearerbox")

    def kill(self) -> None:
        """End bearerbox with SIGKILL."""
        _kill(self._boxes["bearerbox"])

    def signal(self, number: signal.Signals) -> None:
        """Stop bearerbox in its tracks, or let it go on."""
        self._boxes["bearerbox"].send_signal(number)

    def _start(self, name: str, *options: str) -> None:
        program = find(name)
        assert program, MISSING
        with (self._folder / f"{name}.out").open("ab") as output:
            self._boxes[name] = subprocess.Popen(
                [program, *options, str(self._file)],
                cwd=self._folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


def _kill(box: subprocess.Popen[bytes]) -> None:
    """End a box, and what it started, with SIGKILL."""
    if box.poll() is None:
        os.killpg(box.pid, signal.SIGKILL)
    box.wait(10)


def answers(port: int) -> bool:
    """Say whether somebody listens."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_ports(count: int) -> list[int]:
    """Find ports that nobody listens on, from below those that outgoing connections take meanwhile."""
    found: list[int] = []
    while len(found) < count:
        port = random.randrange(20_000, 32_000)
        with socket.socket() as probe:
            if port not in found and probe.connect_ex(("127.0.0.1", port)):
                found.append(port)
    return found
