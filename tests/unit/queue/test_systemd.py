"""What the service manager is told, on real datagram sockets."""

import os
import re
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from secrets import token_hex

import pytest

from smsqueue.queue.systemd import Systemd


@pytest.fixture(params=["a path", "an abstract name"])
def manager(request, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    """A socket that hears, and the address to give to those who shall speak to it."""
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as ear:
        ear.settimeout(5)
        name = f"smsqueue-{token_hex(8)}"
        address = f"@{name}" if request.param == "an abstract name" else str(tmp_path / name)
        ear.bind(f"\0{name}" if address.startswith("@") else address)
        yield ear, address


def test_manager_is_told_in_its_own_words(manager):
    ear, address = manager
    systemd = Systemd.from_environment({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "3000000"})
    assert systemd.watchdog_seconds == 3
    systemd.ready()
    systemd.status("workers 1 of 2, idle")
    systemd.status("workers 1 of 2, idle")  # nothing new: nothing said
    systemd.alive()
    systemd.reloading()
    systemd.stopping()
    heard = [ear.recv(4096).decode() for _ in range(5)]
    assert heard[:3] == ["READY=1", "STATUS=workers 1 of 2, idle", "WATCHDOG=1"]
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", heard[3])
    assert heard[4] == "STOPPING=1"


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 0),
        ({"WATCHDOG_USEC": "3000000"}, 0),  # nobody to tell
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, 0),  # another process's
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 3),
        ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"}, 0),
    ],
)
def test_watchdog_is_ours_only_when_it_is_meant_for_us(environ, seconds):
    assert Systemd.from_environment(environ).watchdog_seconds == seconds


def test_manager_that_is_away_or_deaf_holds_nobody_up(tmp_path):
    Systemd().ready()
    Systemd(str(tmp_path / "nobody")).ready()
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as ear:
        ear.bind(str(tmp_path / "deaf"))
        systemd = Systemd(str(tmp_path / "deaf"))
        for _ in range(5000):
            systemd.alive()
