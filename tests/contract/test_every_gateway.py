"""What every gateway keeps to; those that call somebody: one request a text, and nothing claimed that is not known."""

import logging
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import get_args
from urllib.parse import unquote_plus

import pytest

from smsqueue.core import clock
from smsqueue.gateways import GATEWAYS, build
from smsqueue.gateways.base import Adapter, Deferred, Fetches, LooksUp, Outcome, Rejected, Reports, Sent, Unknown
from tests.contract.gateways import TEXT, Behaviour, answering, noise, outgoing, settings
from tests.contract.kinds import KINDS, Kind
from tests.contract.test_gateways_misbehaving import (
    close_without_answer,
    hang,
    send_garbage,
    send_headers_and_close,
    send_headers_and_hang,
    send_too_much,
)
from tests.outside import RawServer, read_request

UNTRUSTED = Path(__file__).parents[1] / "unit" / "gateways" / "untrusted.pem"
LOCAL = {"SMS_READ_TIMEOUT": "0.5"}


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


@pytest.fixture(params=[*KINDS, "log"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Adapter]:
    """Every gateway there is; those that call somebody call a server that takes all."""
    if request.param == "log":
        log = build(settings(tmp_path, "log"))
        yield log
        log.close()
        return
    kind = KINDS[request.param]
    with RawServer(for_ever(kind.taken)) as server:
        adapter = kind.build(tmp_path, server.url)
        yield adapter
        adapter.close()


def for_ever(behave: Behaviour) -> Behaviour:
    """Answer every request of a connection."""

    def keep_answering(connection: socket.socket) -> None:
        while True:
            behave(connection)
            read_request(connection)

    return keep_answering


def test_no_gateway_is_left_out():
    assert {*(kind.name for kind in KINDS.values()), "log"} == {*GATEWAYS}


def test_texts_of_many_threads_are_taken_and_nothing_is_said_of_them(gateway, caplog):
    caplog.set_level(logging.DEBUG)
    with ThreadPoolExecutor(16) as threads:
        outcomes = list(threads.map(gateway.send, [outgoing(reference=f"r-{number}") for number in range(80)]))
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    for secret in (TEXT, "2015550100"):
        assert secret not in f"{caplog.text}{outcomes}{gateway!r}"


def test_traits_tell_the_truth(gateway):
    assert gateway.traits.is_fake == (gateway.name in {"simulated", "log"})
    assert isinstance(gateway, LooksUp) >= (gateway.traits.look_up != "none")
    assert isinstance(gateway, Fetches) >= (gateway.traits.fetch != "none")
    assert isinstance(gateway, Reports) >= (gateway.traits.has_reports or gateway.traits.has_inbound)


def test_text_is_taken_by_one_request(kind, tmp_path):
    outcome, requests = kind.send(kind.taken, tmp_path)
    assert isinstance(outcome, Sent)
    assert (outcome.reference, len(requests)) == (kind.reference, 1)


@pytest.mark.parametrize(
    "behave",
    [
        close_without_answer,
        hang,
        send_headers_and_hang,
        send_headers_and_close,
        send_garbage,
        send_too_much,
        answering("500 Internal Server Error", b'{"code": 20500}'),
        answering("502 Bad Gateway", b"<html>"),
        answering("503 Service Unavailable", b"later"),
        answering("504 Gateway Timeout"),
        answering("408 Request Timeout"),
        answering("302 Found", b"", "Location: http://127.0.0.1:1/"),
        answering("200 OK", b"{}"),
        answering("201 Created", b"[" * 60_000),
        answering("202 Accepted", b"It works!"),
        answering("204 No Content"),
    ],
)
def test_what_nobody_can_tell_is_unknown_and_sent_once(kind, tmp_path, behave):
    outcome, requests = kind.send(behave, tmp_path, **LOCAL)
    assert (type(outcome), len(requests)) == (Unknown, 1)


def test_answer_of_64_kib_and_more_is_not_read_further(kind, tmp_path):
    body = b'{"padding": "' + b"x" * 70_000 + b'"}'
    assert isinstance(kind.send(answering("201 Created", body), tmp_path)[0], Unknown)


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
def test_refused_credentials_speak_of_the_account(kind, tmp_path, status):
    outcome, _ = kind.send(answering(status, b"Authorization failed for sendsms"), tmp_path)
    assert isinstance(outcome, Rejected)
    assert outcome.scope == "account"


def test_too_many_requests_is_surely_not_sent(kind, tmp_path):
    outcome, _ = kind.send(answering("429 Too Many Requests", b"{}"), tmp_path)
    assert isinstance(outcome, Deferred)
    assert outcome.cause == "throttled"


def test_closed_port_is_surely_not_sent(kind, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    adapter = kind.build(tmp_path, f"http://127.0.0.1:{port}")
    outcome = adapter.send(outgoing())
    adapter.close()
    assert outcome == Deferred(0, "unreachable", "The gateway cannot be reached (it takes no connection).")


def test_certificate_that_is_not_trusted_is_surely_not_sent(kind, tmp_path):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(UNTRUSTED)

    def handshake(connection: socket.socket) -> None:
        tls.wrap_socket(connection, server_side=True)

    with RawServer(handshake, reads=False) as server:
        adapter = kind.build(tmp_path, f"https://127.0.0.1:{server.port}")
        outcome = adapter.send(outgoing())
        adapter.close()
    assert outcome == Deferred(0, "unreachable", "The gateway cannot be reached (its certificate is not valid).")


def test_dripping_server_holds_nobody_past_the_time_limit(kind, tmp_path):
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 201 Created\r\n\r\n{")
        while not stop.wait(0.1):
            connection.sendall(b"a")

    began = time.monotonic()
    outcome, _ = kind.send(drip, tmp_path, **LOCAL)
    took = time.monotonic() - began
    stop.set()
    assert isinstance(outcome, Unknown)
    assert took < 2


def test_connection_is_shared_by_many_threads_and_kept(kind, tmp_path):
    accepted: list[int] = []

    def count(connection: socket.socket) -> None:
        accepted.append(1)
        for_ever(kind.taken)(connection)

    with RawServer(count) as server:
        adapter = kind.build(tmp_path, server.url)
        with ThreadPoolExecutor(4) as threads:
            outcomes = list(threads.map(adapter.send, [outgoing()] * 80))
        adapter.close()
    assert all(isinstance(outcome, Sent) for outcome in outcomes)
    assert len(accepted) <= 4


@pytest.mark.parametrize("first", [b"102 Processing\r\n", b"103 Early Hints\r\nLink: </a>\r\n"])
def test_an_answer_that_is_still_to_come_is_not_taken_for_that_of_the_next_text(kind, tmp_path, first):
    def answer_late(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 " + first + b"\r\n")
        time.sleep(0.1)
        kind.taken(connection)

    with RawServer(answer_late) as server:
        adapter = kind.build(tmp_path, server.url)
        outcomes = [adapter.send(outgoing()) for _ in range(2)]
        adapter.close()
    assert [type(outcome) for outcome in outcomes] == [Unknown, Unknown]
    assert len(server.requests) == 2  # each came by a connection of its own


def test_neither_secrets_nor_number_nor_text_are_shown(kind, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    refusal = answering("400 Bad Request", b'{"code": 29999, "message": "Not to +1 201-555-0100, sorry"}')
    outcome, _ = kind.send(refusal, tmp_path)
    adapter = kind.build(tmp_path, "http://127.0.0.1:9")
    request = adapter.request(outgoing())
    shown = (
        f"{caplog.text}{outcome!r}{request!r}{kind.settings(tmp_path, 'http://127.0.0.1:9')!r}{vars(adapter.caller)}"
    )
    adapter.close()
    for secret in (*kind.secrets, TEXT, "2015550100", "201-555-0100"):
        assert secret not in shown


def test_no_exception_escapes_whatever_is_answered(kind, tmp_path):
    dice = random.Random(11)  # the seed is part of the test
    pieces = [
        b"HTTP/1.1 ",
        b"200 OK\r\n",
        b"201 Created\r\n",
        b"\r\n",
        b"Content-Length: 3\r\n",
        b"\xff\x00",
        b'{"messages":',
    ]
    pieces += [
        b"[",
        b"{}",
        b'{"code": [1]}',
        b'"status": "0"',
        b"Transfer-Encoding: chunked\r\n",
        b"HTTP/1.1 400 No\r\n\r\n",
    ]

    with RawServer(noise(dice, pieces, 9)) as server:
        adapter = kind.build(tmp_path, server.url)
        outcomes = [adapter.send(outgoing()) for _ in range(100)]
        adapter.close()
    assert all(isinstance(outcome, get_args(Outcome)) for outcome in outcomes)
    assert not any(isinstance(outcome, (Sent, Deferred)) for outcome in outcomes)


@pytest.mark.parametrize("more", [{}, {"KANNEL_METHOD": "get"}])
def test_an_address_with_what_is_secret_is_not_logged_for_a_bad_header(kind, tmp_path, caplog, more):
    outcome, _ = kind.send(answering("400 Bad Request", b"", "no header at all"), tmp_path, **more)
    assert outcome
    for secret in (*kind.secrets, TEXT, "2015550100"):
        assert secret not in unquote_plus(caplog.text)


@pytest.fixture
def away(kind: Kind, tmp_path: Path) -> Iterator[object]:
    adapter = kind.build(tmp_path, "http://127.0.0.1:9")
    yield adapter
    adapter.close()


def test_look_up_and_fetch_prove_nothing_when_the_gateway_is_away(away):
    if isinstance(away, LooksUp):
        assert isinstance(away.look_up(outgoing(), clock.now()), Unknown)
    if isinstance(away, Fetches):
        assert isinstance(away.fetch("SM" + "0" * 32), Unknown)


def test_lines_of_a_text_end_as_they_do_here(away):
    request = away.request(replace(outgoing(), text="Meet\nat noon"))
    written = unquote_plus(request.url) + unquote_plus((request.body or b"").decode())
    assert "Meet\nat noon" in written.replace("\\n", "\n")
    assert "\r" not in written.replace("\\r", "\r")
