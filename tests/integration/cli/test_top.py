"""`flask sms top`: plain without a terminal, live in one, which is left as it was."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pytest
import sqlalchemy as sa

from smsqueue.domain.jobs import QUEUES
from smsqueue.queue import claim, control, workers
from tests.outside import ROOT, wait_until

TOP = ("sms", "top", "--interval=0.1")
LOSES_EXCEPTIONS = """
import signal
from smsqueue.app import main

class Interrupted:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

signal.signal(signal.SIGUSR1, lambda *_: Interrupted())
main()
"""
"""Python has nobody to hand an exception to that comes while an object is cleared away: it prints it, and goes on."""
SEND = ("send", "--user", "ann@example.org", "--to", "07400 123456", "--text", "Hello")
OTHER_SCREEN, OWN_SCREEN, CURSOR = "\x1b[?1049h", "\x1b[?1049l", "\x1b[?25h"


@pytest.fixture
def worker_id(store):
    """A worker that is alive."""
    return store.write(lambda session: workers.register(session, QUEUES, 60))


def test_plain_form_shows_queues_workers_and_running_jobs(run, store, ann, worker_id):
    run(*SEND)
    run(*SEND)
    (held,) = store.write(lambda session: claim.claim(session, worker_id, "sms", 1))
    store.write(lambda session: control.pause(session, "default", author="ana"))
    lines = run("top").stdout.splitlines()
    assert "UTC  Paused: the queue default, by ana" in lines[0]
    sms = next(line.split() for line in lines if line.startswith("sms"))
    assert sms[:4] == ["sms", "1", "0", "1"]
    assert any(line.startswith(f"{worker_id} ") and "sms,notifications,default" in line for line in lines)
    assert any(line.split()[:4] == [str(held.id), "sms.send-single", "sms", str(worker_id)] for line in lines)
    assert run("top", "--once").stdout.count("\n") == len(lines)


@pytest.mark.databases("sqlite")
def test_plain_form_of_an_installation_at_rest(run):
    said = run("top", "--once").stdout
    assert "Stopped: no worker is running (try: flask sms work --daemon)" in said
    assert said.endswith("\nNo worker.\n\nNo job is in a worker's hands.\n")


class Terminal:
    """A program in a terminal of 120 columns and 30 lines."""

    def __init__(self, *arguments, **environment):
        self.near, self.far = pty.openpty()
        fcntl.ioctl(self.far, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        self.before = termios.tcgetattr(self.far)
        self.seen = ""
        self.process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env={**os.environ, "TERM": "xterm-256color", **environment},
            stdin=self.far,
            stdout=self.far,
            stderr=self.far,
            start_new_session=True,
        )

    def wait_for(self, text, times=1, seconds=30):
        """Read until the program has written something so often."""
        end = time.monotonic() + seconds
        while self.seen.count(text) < times:
            assert time.monotonic() < end, self.seen
            assert self.process.poll() is None or self.has_more(), self.seen
            if self.has_more():
                self.seen += os.read(self.near, 65536).decode(errors="replace")

    def has_more(self):
        """Say whether there is something to read, or comes in a moment."""
        return bool(select.select([self.near], [], [], 0.1)[0])

    def type(self, keys):
        """Press keys."""
        os.write(self.near, keys)

    def close(self):
        """End it, whatever it does."""
        self.process.kill()
        self.process.wait()
        os.close(self.near)
        os.close(self.far)


@pytest.fixture
def open_terminal(database, tmp_path):
    """Run Python in a terminal."""
    environment = {"DATABASE_URL": database.url, "SMS_INSTANCE": str(tmp_path)}
    opened = []

    def open_one(*arguments):
        opened.append(Terminal(*arguments, **environment))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


@pytest.fixture
def terminal(open_terminal):
    """Run `flask sms top` in a terminal."""
    return open_terminal("-m", "smsqueue", *TOP)


def end_by_key(terminal):
    terminal.type(b"xq")


def end_by_interrupt(terminal):
    os.kill(terminal.process.pid, signal.SIGINT)


def end_by_signal(terminal):
    os.kill(terminal.process.pid, signal.SIGTERM)


@pytest.mark.databases("postgresql")
@pytest.mark.parametrize("end", [end_by_key, end_by_interrupt, end_by_signal])
def test_live_form_follows_and_leaves_the_terminal_as_it_was(terminal, store, worker_id, end):
    terminal.wait_for("Healthy", times=2)
    assert OTHER_SCREEN in terminal.seen
    store.write(lambda session: control.pause(session, "sms", author="ana"))
    terminal.wait_for("Paused: the queue sms")
    end(terminal)
    terminal.wait_for(OWN_SCREEN)
    assert terminal.process.wait(10) == 0
    assert "Traceback" not in terminal.seen
    assert CURSOR in terminal.seen
    assert termios.tcgetattr(terminal.far) == terminal.before


@pytest.mark.databases("postgresql")
def test_live_form_ends_by_an_interrupt_where_no_exception_can_rise(open_terminal, worker_id):
    terminal = open_terminal("-c", LOSES_EXCEPTIONS, *TOP)
    terminal.wait_for("Healthy", times=2)
    os.kill(terminal.process.pid, signal.SIGUSR1)
    terminal.wait_for(OWN_SCREEN)
    assert terminal.process.wait(10) == 0


@pytest.mark.databases("postgresql")
def test_second_signal_does_not_wait_for_the_database(terminal, store, worker_id):
    terminal.wait_for("Healthy", times=2)
    with store.engine.begin() as connection:
        connection.execute(sa.text("LOCK TABLE workers IN ACCESS EXCLUSIVE MODE"))
        waiting = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        wait_until(lambda: connection.execute(waiting).scalar(), 20)
        end_by_interrupt(terminal)
        end_by_signal(terminal)
        terminal.wait_for(OWN_SCREEN)
    assert terminal.process.wait(10) == 0
