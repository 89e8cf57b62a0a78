"""A real Kannel between a real worker and an SMSC: whole texts, reports that come back, and a bearerbox that dies."""

import signal
from contextlib import ExitStack
from dataclasses import dataclass
from http.client import HTTPConnection

import pytest

from smsqueue.db import Database, build_engine
from smsqueue.models import Campaign
from tests import kannel
from tests.domain_fixtures import Office, plain
from tests.kannel import Kannel
from tests.outside import wait_until
from tests.processes import Process, work

LONG = "Grüße aus Zürich für 5 €: " + "abcdefghi " * 20
EMOJI = "Glückwunsch 🎉 你好 👩‍👩‍👧 – ende"
STORED, WHILE_AWAY, FROZEN = 30, 5, 3


@dataclass
class Stage:
    """A worker and a web process that know a Kannel, and an office that sends by it."""

    kannel: Kannel
    office: Office
    used: int = 0

    def send(self, text: str) -> tuple[Campaign, str]:
        """Send one text to a number that nobody else has here."""
        (number,) = self.numbers(1)
        return self.office.launch(self.office.single(number, text)), number

    def numbers(self, count: int) -> list[str]:
        """Take numbers that were not used before."""
        self.used += count
        return plain(self.used)[-count:]

    def is_delivered(self, campaign: Campaign) -> bool:
        """Say whether each recipient has its report."""
        return self.office.reload(campaign).delivered == campaign.total

    def is_told(self, campaign: Campaign) -> bool:
        """Say whether each recipient was delivered to, or had its line cut by a smsbox that just went."""
        now = self.office.reload(campaign)
        return now.delivered + now.unknown == campaign.total


@pytest.fixture(scope="module")
def stage(databases, tmp_path_factory):
    """Start all of it once."""
    if not (kannel.find("bearerbox") and kannel.find("smsbox")):
        assert not (kannel.is_strict() and kannel.is_installable()), kannel.MISSING
        pytest.skip(kannel.MISSING)
    folder, url = tmp_path_factory.mktemp("kannel"), databases.ready("postgresql")
    (port,) = kannel.free_ports(1)
    store = Database(build_engine(url))
    with ExitStack() as opened:
        opened.callback(store.dispose)
        box = opened.enter_context(Kannel(folder / "kannel"))
        environment = box.settings | {
            "SMS_CALLBACK_BASE_URL": f"http://127.0.0.1:{port}",
            "SMS_CALLBACK_SECRET": "of no use anywhere else " * 2,
            "SMS_CONNECT_TIMEOUT": "1",
            "SMS_READ_TIMEOUT": "2",
        }
        bind = ("--bind", f"127.0.0.1:{port}", "--threads", "4", "--no-control-socket")
        known = {"DATABASE_URL": url, "SMS_INSTANCE": str(folder), **environment}
        web = opened.enter_context(Process("-m", "gunicorn", "wsgi:app", *bind, **known))
        worker = opened.enter_context(work(url, folder, "--daemon", "--sleep", "0.1", **environment))
        worker.wait_for("worker.started", 60)
        wait_until(lambda: web.says("Booting worker") and is_healthy(port), 60)
        yield Stage(box, Office.open(store, "Kannel", 10_000))


def is_healthy(port: int) -> bool:
    """Say whether the web process answers."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    finally:
        connection.close()


@pytest.mark.parametrize("text", [EMOJI, LONG, EMOJI + LONG], ids=["emoji", "long", "long-with-emoji"])
def test_text_arrives_whole_and_its_report_comes_back(stage, text):
    campaign, number = stage.send(text)
    wait_until(lambda: stage.is_delivered(campaign), 60)
    wait_until(lambda: number in stage.kannel.smsc.texts())  # the report may come before the last part
    assert stage.kannel.smsc.texts()[number] == [text]
    assert stage.office.problems() == []


def test_bearerbox_that_is_killed_loses_nothing_and_sends_nothing_twice(stage):
    stage.kannel.smsc.hang_up()  # so that all of it lies in the store of the bearerbox that dies
    stored = stage.office.launched(stage.numbers(STORED))
    wait_until(lambda: stage.office.reload(stored).sent == STORED, 60)
    stage.kannel.kill()
    away = stage.office.launched(stage.numbers(WHILE_AWAY))
    wait_until(lambda: {attempt.outcome for attempt in stage.office.attempts(away)} & {"deferred", "unknown"}, 60)
    stage.kannel.start()
    stage.kannel.smsc.come_back()
    wait_until(lambda: stage.is_delivered(stored) and stage.is_told(away), 60)
    texts = stage.kannel.smsc.texts()
    for each in (*stage.office.recipients(stored), *stage.office.recipients(away)):
        assert texts.get(each.number, []) in ([["Hello"]] if each.state == "delivered" else [[], ["Hello"]])
    assert stage.office.problems() == []


def test_text_that_a_frozen_bearerbox_took_is_unknown_until_its_report(stage):
    stage.kannel.signal(signal.SIGSTOP)
    campaign = stage.office.launched(stage.numbers(FROZEN))
    wait_until(lambda: stage.office.reload(campaign).unknown > 0, 60)
    stage.kannel.signal(signal.SIGCONT)
    wait_until(lambda: stage.is_delivered(campaign), 60)
    texts = stage.kannel.smsc.texts()
    assert all(texts[each.number] == ["Hello"] for each in stage.office.recipients(campaign))
    assert stage.office.problems() == []
