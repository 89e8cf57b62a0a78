"""What every gateway keeps to, against the simulator and against servers that misbehave."""

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from smsqueue.core import clock
from smsqueue.gateways import build
from smsqueue.gateways.base import (
    BadGateway,
    Callback,
    Deferred,
    Fetches,
    Gateway,
    LooksUp,
    NotFound,
    Rejected,
    Report,
    Reports,
    Sent,
    Unknown,
    Verdict,
)
from tests.contract.gateways import SECRET, TEXT, outgoing, settings
from tests.outside import Outside, RawServer, read_request, wait_until


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with Outside(tmp_path_factory.mktemp("outside")) as running:
        yield running


@pytest.fixture
def simulated(outside: Outside, tmp_path: Path) -> Iterator[Gateway]:
    gateway = build(settings(tmp_path, url=outside.url))
    yield gateway
    gateway.close()


@pytest.fixture(params=["simulated", "log"])
def gateway(request: pytest.FixtureRequest, outside: Outside, tmp_path: Path) -> Iterator[Gateway]:
    built = build(settings(tmp_path, request.param, url=outside.url, SMS_CONCURRENCY="64"))
    yield built
    built.close()


def test_unknown_gateway_is_refused_with_what_is_allowed(tmp_path):
    with pytest.raises(BadGateway, match=r"SMS_GATEWAY \(pigeon\) must be one of: http, kannel, log, simulated"):
        build(settings(tmp_path), "pigeon")


def test_gateway_accepts_a_text(gateway):
    outcome = gateway.send(outgoing())
    assert isinstance(outcome, Sent)
    assert (bool(outcome.reference), outcome.parts) == (True, 1)


def test_gateway_serves_64_threads_at_once(gateway):
    attempts = [outgoing(reference=f"{gateway.name}-{number}", area=202) for number in range(640)]
    with ThreadPoolExecutor(64) as threads:
        outcomes = list(threads.map(gateway.send, attempts))
    assert len({outcome.reference for outcome in outcomes if isinstance(outcome, Sent)}) == 640


NOT_A_NUMBER = Rejected("not_a_number", "This is not a phone number.")
OPTED_OUT = Rejected("opted_out", "The recipient has opted out.", opted_out=True)
LANDLINE = Rejected("landline", "A landline cannot receive texts.")
COUNTRY = Rejected("country_off", "This country is switched off.")
SENDER = Rejected("sender_not_allowed", "This sender is not allowed.", "account", may_retry=True)
CREDIT = Rejected("no_credit", "The account at the gateway is empty.", "account", may_retry=True)
THROTTLED = Deferred(1, "throttled", "The gateway asks for fewer messages (HTTP 429).")
UNREACHABLE = Deferred(0, "unreachable", "The gateway says that it cannot be reached.")


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ("80", NOT_A_NUMBER),
        ("81", OPTED_OUT),
        ("82", LANDLINE),
        ("83", COUNTRY),
        ("84", SENDER),
        ("85", CREDIT),
        ("86", THROTTLED),
        ("88", UNREACHABLE),
    ],
)
def test_refusals_are_told_as_they_are(simulated, outside, ends, expected):
    assert simulated.send(outgoing(ends, f"refused-{ends}")) == expected
    assert not [line for line in outside.log_lines() if line["to"].endswith(ends)]


@pytest.mark.parametrize(("ends", "cause"), [("87", "throttled"), ("89", "unreachable")])
def test_deferred_twice_and_then_taken(simulated, ends, cause):
    outcomes = [simulated.send(outgoing(ends, f"twice-{ends}-{number}")) for number in range(3)]
    assert [getattr(outcome, "cause", None) for outcome in outcomes] == [cause, cause, None]
    assert isinstance(outcomes[2], Sent)


@pytest.mark.parametrize(
    ("ends", "taken"), [("90", 1), ("91", 1), ("92", 0), ("93", 0), ("94", 1)], ids=lambda value: str(value)
)
def test_nobody_can_tell_whether_these_were_taken(simulated, outside, ends, taken):
    assert isinstance(simulated.send(outgoing(ends, f"unknown-{ends}")), Unknown)
    assert len([line for line in outside.log_lines() if line["to"].endswith(f"1{ends}")]) == taken


@pytest.mark.parametrize("ends", ["95", "96", "97", "98", "99"])
def test_what_happens_later_is_not_seen_yet(simulated, ends):
    assert isinstance(simulated.send(outgoing(ends, f"later-{ends}")), Sent)


def test_log_gateway_writes_neither_number_nor_text(tmp_path):
    gateway = build(settings(tmp_path, "log"))
    assert gateway.send(outgoing()) == gateway.send(outgoing()) == Sent("log-r-1", 1)
    gateway.close()
    written = (tmp_path / "gateway.log").read_text()
    assert "2015550100" not in written
    assert TEXT not in written
    assert [json.loads(line)["to"] for line in written.splitlines()] == ["+••••••••100"] * 2


def test_look_up_tells_what_the_simulator_took(tmp_path):
    with Outside(tmp_path, lookup="yes") as running:
        gateway = build(settings(tmp_path, url=running.url, SIMULATED_LOOKUP="yes"))
        sent = gateway.send(outgoing(reference="known"))
        assert isinstance(gateway, LooksUp)
        found = [gateway.look_up(outgoing(reference=name), clock.now()) for name in ("known", "unknown")]
        gateway.close()
    assert found == [sent, NotFound()]
    assert (gateway.traits.look_up, gateway.traits.trusts_not_found) == ("our reference", True)


def test_the_simulator_tells_what_became_of_a_text_also_after_it_was_killed(tmp_path):
    with Outside(tmp_path, report_delay_ms=60_000) as running:
        gateway = build(settings(tmp_path, url=running.url))
        assert isinstance(gateway, Fetches)
        sent = [gateway.send(outgoing(ends, reference=f"r-{ends}")) for ends in ("00", "95", "97")]
        references = [each.reference for each in sent if isinstance(each, Sent)]
        assert [state(gateway, reference) for reference in references] == ["sent"] * 3
        running.kill()
        running.start()
        assert [state(gateway, reference) for reference in references] == ["delivered", "undelivered", "sent"]
        assert isinstance(gateway.fetch("nobody-1"), Unknown)
        gateway.close()


def state(gateway: Fetches, reference: str) -> str:
    found = gateway.fetch(reference)
    assert isinstance(found, Report)
    assert found.gateway_reference == reference
    return found.state


def test_reports_and_the_answer_of_a_phone_are_believed_by_their_signature(tmp_path):
    heard: list[Callback] = []

    def listen(connection: socket.socket) -> None:
        head, body = read_request(connection).split(b"\r\n\r\n", 1)
        lines = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
        headers = {name.lower(): value for name, value in lines}
        connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        heard.append(Callback(method="POST", url="https://sms.example.org/", headers=headers, body=body))
        connection.close()

    with RawServer(listen, reads=False) as server:
        told = {"callback_url": server.url, "callback_secret": SECRET, "report_delay_ms": 0}
        with Outside(tmp_path, **told) as running:
            gateway = build(settings(tmp_path, url=running.url, SMS_CALLBACK_SECRET=SECRET))
            gateway.send(outgoing("99"))
            gateway.close()
            wait_until(lambda: len(heard) == 3)
    assert isinstance(gateway, Reports)
    assert [gateway.verify(callback) for callback in heard] == [Verdict.GENUINE] * 3
    assert gateway.verify(replace(heard[0], body=heard[1].body)) is Verdict.FORGED
    reports = [report for callback in heard for report in gateway.reports(callback)]
    assert [(report.reference, report.state) for report in reports] == [("r-1", "sent"), ("r-1", "delivered")]
    inbound = [gateway.inbound(callback) for callback in heard]
    assert [each and (each.sender, each.text) for each in inbound] == [None, None, ("+12015550199", "STOP")]
