"""Workers under a service manager: ready when all are, alive while they live, and what is said at the end."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from smsqueue.queue import control
from tests.acceptance.test_worker_process import Scene
from tests.processes import eventually


class Manager:
    """Stands in for systemd: a datagram socket and what came there, with the time."""

    def __init__(self, address: str) -> None:
        self.address = address
        self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._ear.bind(address)
        self._ear.setblocking(False)
        self._heard: list[tuple[float, str]] = []

    def heard(self, text: str) -> list[float]:
        """When it was told this."""
        try:
            while True:
                self._heard.append((time.monotonic(), self._ear.recv(4096).decode()))
        except BlockingIOError:
            return [when for when, what in self._heard if text in what]

    def close(self) -> None:
        """Hear no more."""
        self._ear.close()


@pytest.fixture
def scene(database, tmp_path):
    scene = Scene(database.url, tmp_path)
    yield scene
    scene.store.dispose()


@pytest.fixture
def manager(tmp_path) -> Iterator[Manager]:
    """A service manager."""
    with closing(Manager(str(tmp_path / "notify"))) as manager:
        yield manager


@pytest.mark.databases("postgresql")
def test_manager_is_told_of_start_status_restart_and_end(scene, manager):
    with scene.worker("--daemon", TEST_WORKERS="2", NOTIFY_SOCKET=manager.address) as process:
        eventually(lambda: manager.heard("READY=1"))
        assert scene.states() == ["running", "running"]
        eventually(lambda: manager.heard("STATUS=workers 2 of 2, idle"))
        scene.put("wait")
        eventually(lambda: manager.heard("STATUS=workers 2 of 2, busy"))
        scene.say_the_word()
        scene.store.write(control.request_restart)
        eventually(lambda: len(manager.heard("READY=1")) == 2)
        assert len(manager.heard("RELOADING=1\nMONOTONIC_USEC=")) == 1
        assert not manager.heard("WATCHDOG=1")
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
    assert len(manager.heard("STOPPING=1")) == 1


@pytest.mark.databases("sqlite")
def test_watchdog_is_fed_while_all_workers_live_and_not_while_one_is_frozen(scene, manager):
    environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "800000", "TEST_WORKERS": "2"}
    with scene.worker("--daemon", **environment) as process:
        eventually(lambda: manager.heard("READY=1"))
        begin = len(manager.heard("WATCHDOG=1"))
        eventually(lambda: len(manager.heard("WATCHDOG=1")) >= begin + 3)
        process.children[0].suspend()
        eventually(lambda: time.monotonic() - manager.heard("WATCHDOG=1")[-1] > 1.6)  # systemd would act by now
        process.children[0].resume()
        fed = len(manager.heard("WATCHDOG=1"))
        eventually(lambda: len(manager.heard("WATCHDOG=1")) > fed)
        process.signal(signal.SIGTERM)
        assert process.ended() == 0
