"""`make run`: the login that is kept, and all processes from the first line to the last."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
from flask_security import verify_password

from smsqueue.cli.crew import Crew, Ports
from smsqueue.cli.demo import make_login
from smsqueue.domain import accounts, credits
from smsqueue.models import User
from tests.integration.cli.conftest import runner_of
from tests.outside import ROOT, wait_until

DEMO = "demo@example.org"


def demo_person(store) -> User:
    """The demo's person."""
    with store.reading() as session:
        return accounts.find_user(session, DEMO)


def login(app, file: Path) -> str:
    """Make the login as the command does."""
    with app.test_request_context():
        return make_login(file)


def is_right(app, store, password: str) -> bool:
    """Say whether the demo's person can sign in so."""
    with app.test_request_context():
        return bool(verify_password(password, demo_person(store).password))


def test_first_time_makes_a_team_with_credits_and_an_operator(app, store, tmp_path):
    password = login(app, tmp_path / "demo.txt")
    person = demo_person(store)
    assert person.operator
    assert (person.team.name, person.team.country, person.team.countries) == ("Demo", "US", "*")
    with store.reading() as session:
        assert credits.balance(session, person.team_id) == 20_000
    assert is_right(app, store, password)


@pytest.mark.databases("sqlite")
def test_login_is_kept_for_its_owner_only(app, store, tmp_path):
    file = tmp_path / "demo.txt"
    password = login(app, file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert password in file.read_text(encoding="utf-8")
    assert login(app, file) == password
    assert is_right(app, store, password)


@pytest.mark.databases("sqlite")
def test_lost_file_means_a_new_password(app, store, tmp_path):
    first = login(app, tmp_path / "demo.txt")
    (tmp_path / "demo.txt").unlink()
    second = login(app, tmp_path / "demo.txt")
    assert first != second
    assert is_right(app, store, second)
    with store.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(User)) == 1


@pytest.mark.databases("sqlite")
def test_other_database_gets_the_same_login(app, store, tmp_path):
    (tmp_path / "demo.txt").write_text(f"E-mail {DEMO}\nPassword abcd-efgh-jkmn-pqrs\n", encoding="utf-8")
    assert login(app, tmp_path / "demo.txt") == "abcd-efgh-jkmn-pqrs"
    assert is_right(app, store, "abcd-efgh-jkmn-pqrs")


@pytest.mark.databases("sqlite")
def test_production_is_no_place_for_a_demo(make_cli_app):
    production = {"SMS_ENV": "production", "SECRET_KEY": "0123456789abcdef" * 4, "SMS_ALLOW_FAKE_GATEWAY": "yes"}
    run = runner_of(make_cli_app(**production, BASE_URL="https://sms.example.org"))
    assert "SMS_ENV is production" in run("demo", code=1).stderr


@pytest.mark.databases("sqlite")
def test_taken_port_says_so_and_how_to_choose_another(run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("demo", "--port", str(port), code=1)
    assert result.stderr == f"Error: Port {port} of 127.0.0.1 is taken. Choose others: make run PORT={port + 10}\n"


class Demo:
    """The demo as a process, in a session of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port, self.said = port, folder / "demo.out"
        named = {name: value for name, value in os.environ.items() if not name.startswith(("SMS_", "SIMULATED_"))}
        environ = {**named, "SMS_INSTANCE": str(folder / "instance"), "SIMULATED_LATENCY_MS": "1500"}
        environ.pop("DATABASE_URL", None)
        command = [sys.executable, "-m", "flask", "sms", "demo", "--port", str(port)]
        with self.said.open("w") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=environ, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.environ = environ

    def text(self) -> str:
        """What was printed so far."""
        return self.said.read_text(encoding="utf-8")

    def sms(self, *words: str) -> str:
        """Run a command beside it."""
        command = [sys.executable, "-m", "flask", "sms", *words]
        done = subprocess.run(command, cwd=ROOT, env=self.environ, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status_of(self, path: str) -> int:
        """What the pages answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        finally:
            connection.close()


@pytest.fixture
def start_demo(tmp_path) -> Iterator[Callable[[], Demo]]:
    """Start the demo and wait until it is ready; whatever is left of it at the end is killed."""
    started: list[Demo] = []

    def start() -> Demo:
        demo = Demo(tmp_path, three_free_ports())
        started.append(demo)
        wait_until(lambda: "Ctrl-C ends it." in demo.text() or demo.process.poll() is not None, 60)
        assert demo.process.poll() is None, demo.text()
        return demo

    yield start
    for demo in started:
        if demo.process.poll() is None:
            for child in psutil.Process(demo.process.pid).children(recursive=True):
                child.kill()
            demo.process.kill()
            demo.process.wait(10)


def three_free_ports() -> int:
    """Find a port that is free, and the two after it."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port: int = first.getsockname()[1]
            try:
                for more in (1, 2):
                    socket.create_server(("127.0.0.1", port + more)).close()
            except (OSError, OverflowError):
                continue
        return port


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("given", "base"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"SMS_CALLBACK_BASE_URL": "http://here:1"}, "http://here:1"),
        ({"SMS_GATEWAY": "twilio"}, None),
    ],
)
def test_outside_world_is_told_where_to_report_and_a_real_gateway_is_not(tmp_path, given, base):
    crew = Crew(Ports(8000, 8001, 8002), tmp_path / "log", given, secret="s" * 32)
    assert crew.environment.get("SMS_CALLBACK_BASE_URL") == base
    assert crew.environment.get("SIMULATED_CALLBACK_URL") == (base and f"{base}/callbacks/simulated/report")
    assert crew.environment.get("SMS_CALLBACK_SECRET") == (base and "s" * 32)


@pytest.mark.parametrize("whom", ["the demo alone", "the whole group"])
def test_demo_starts_everything_and_ends_it_with_no_call_left_unknown(start_demo, tmp_path, whom):
    demo = start_demo()
    pages = re.search(r"smsqueue is ready: http://127\.0\.0\.1:(\d+)\n", demo.text())
    assert pages is not None
    assert int(pages[1]) == demo.port
    assert demo.status_of("/healthz") == 200
    csv = tmp_path / "list.csv"
    csv.write_text("number\n" + "".join(f"+1201555{number:04}\n" for number in range(100, 400)), encoding="utf-8")
    demo.sms("campaign", "create", "--user", DEMO, "--csv", str(csv), "--text", "Hello")
    wait_until(lambda: "window.sent" in demo.text(), 30)
    family = [psutil.Process(demo.process.pid), *psutil.Process(demo.process.pid).children(recursive=True)]
    if whom == "the demo alone":
        demo.process.send_signal(signal.SIGTERM)
    else:
        os.killpg(demo.process.pid, signal.SIGINT)
    assert demo.process.wait(5) == 0, demo.text()
    assert [each for each in family if each.is_running()] == []
    assert '"unknown": 0' in demo.sms("campaign", "show", campaign_id(demo), "--json")
    demo.sms("audit")


def campaign_id(demo: Demo) -> str:
    """The only campaign."""
    found = re.search(r"[0-9a-f-]{36}", demo.sms("campaign", "list"))
    assert found is not None
    return found[0]
