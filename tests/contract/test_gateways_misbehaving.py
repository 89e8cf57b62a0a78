"""What is made of servers that misbehave, and of nothing at all: no gateway raises, none sends twice."""

import json
import random
import socket
import threading
import time
from typing import get_args

import pytest

from smsqueue.gateways import build
from smsqueue.gateways.base import Deferred, Outcome, Rejected, Sent, Unknown
from tests.contract.gateways import answering, noise, outgoing, send_to, settings
from tests.outside import RawServer, read_request


def close_without_answer(connection: socket.socket) -> None:
    connection.close()


def hang(connection: socket.socket) -> None:
    connection.recv(1)


def send_headers_and_hang(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 40\r\n\r\n{")
    connection.recv(1)


def send_headers_and_close(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 40\r\n\r\n{")
    connection.close()


def send_garbage(connection: socket.socket) -> None:
    connection.sendall(b"\x00\xff SSH-2.0-none\r\n\r\n")
    connection.close()


def send_too_much(connection: socket.socket) -> None:
    connection.sendall(b'HTTP/1.1 201 Created\r\n\r\n{"reference": "a", "more": "')
    while True:
        connection.sendall(b"x" * 65_536)


@pytest.mark.parametrize(
    "behave",
    [
        close_without_answer,
        hang,
        send_headers_and_hang,
        send_headers_and_close,
        send_garbage,
        send_too_much,
        answering("500 Internal Server Error"),
        answering("503 Service Unavailable", b'{"taken": "perhaps"}'),
        answering("408 Request Timeout"),
        answering("302 Found", b"", "Location: http://[bad"),
        answering("201 Created", b"{}"),
        answering("201 Created", b'{"reference": 5}'),
        answering("201 Created", b'{"reference": "a\\u0000b"}'),
        answering("201 Created", b'{"reference": "\\ud800"}'),
        answering("201 Created", b"[" * 60_000),
        answering("204 No Content"),
    ],
)
def test_what_nobody_can_tell_is_unknown_and_sent_once(tmp_path, behave):
    outcome, requests = send_to(behave, tmp_path, read_seconds=0.5)
    assert (type(outcome), requests) == (Unknown, 1)


@pytest.mark.parametrize(
    ("behave", "expected"),
    [
        (answering("400 Bad Request"), Rejected("http_400", "The gateway refuses the message (HTTP 400).")),
        (answering("404 Not Found"), Rejected("http_404", "The gateway refuses the message (HTTP 404).")),
        (
            answering("401 Unauthorized"),
            Rejected("http_401", "The gateway refuses our account (HTTP 401).", "account", may_retry=True),
        ),
        (
            answering("307 Temporary Redirect", b"", "Location: http://127.0.0.1:1/"),
            Rejected("http_307", "The gateway's address is wrong: it redirects.", "account", may_retry=True),
        ),
        (
            answering("429 Too Many Requests"),
            Deferred(0, "throttled", "The gateway asks for fewer messages (HTTP 429)."),
        ),
        (
            answering("429 Too Many", b"", "Retry-After: 7"),
            Deferred(7, "throttled", "The gateway asks for fewer messages (HTTP 429)."),
        ),
        (answering("200 OK", b'{"reference": "abc", "segments": 2}'), Sent("abc", 2)),
        (answering("200 OK", b'{"reference": "abc", "segments": true}'), Sent("abc", None)),
    ],
)
def test_status_decides_where_the_answer_is_clear(tmp_path, behave, expected):
    assert send_to(behave, tmp_path) == (expected, 1)


def test_refusal_shows_no_number_and_stays_short(tmp_path):
    body = json.dumps({"code": "x" * 500, "reason": "No route\r\nto +1 201-555-0123" + "y" * 500}).encode()
    outcome, _ = send_to(answering("400 Bad Request", body), tmp_path)
    assert isinstance(outcome, Rejected)
    assert (len(outcome.code), len(outcome.reason)) == (40, 200)
    assert outcome.reason.startswith("No route to +•••123y")


def test_closed_port_is_surely_not_sent(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    outcome = build(settings(tmp_path, url=f"http://127.0.0.1:{port}")).send(outgoing())
    assert outcome == Deferred(0, "unreachable", "The gateway cannot be reached (it takes no connection).")


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 201 Created\r\nX-Slow: ", b"HTTP/1.1 201 Created\r\n\r\n{"])
def test_dripping_server_holds_nobody_past_the_time_limit(tmp_path, start):
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(start)
        while not stop.wait(0.1):
            connection.sendall(b"a")

    began = time.monotonic()
    outcome, _ = send_to(drip, tmp_path, connect_seconds=0.5, read_seconds=1.0)
    took = time.monotonic() - began
    stop.set()
    assert isinstance(outcome, Unknown)
    assert 0.9 < took < 2.5


def test_connection_is_kept_for_the_next_text(tmp_path):
    accepted: list[int] = []

    def keep_answering(connection: socket.socket) -> None:
        accepted.append(connection.fileno())
        while True:
            answering("201 Created", b'{"reference": "abc"}')(connection)
            read_request(connection)

    with RawServer(keep_answering) as server:
        gateway = build(settings(tmp_path, url=server.url))
        outcomes = [gateway.send(outgoing()) for _ in range(3)]
        gateway.close()
    assert (outcomes, len(accepted)) == ([Sent("abc")] * 3, 1)


def test_nothing_of_the_environment_is_used(tmp_path, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert send_to(answering("201 Created", b'{"reference": "abc"}'), tmp_path) == (Sent("abc"), 1)


def test_no_exception_escapes_whatever_is_answered(tmp_path):
    dice = random.Random(7)  # the seed is part of the test
    pieces = [b"HTTP/1.1 ", b"201 Created", b"\r\n", b"\r\n\r\n", b"Content-Length: ", b"12", b"-1", b"\xff\x00", b" "]
    pieces += [
        b"Transfer-Encoding: chunked\r\n",
        b"Set-Cookie: a=b; expires=x\r\n",
        b"Location: http://[\r\n",
        b"ZZ\r\n",
    ]
    pieces += [
        b"HTTP/1.1 302 Found\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"Content-Encoding: gzip\r\n",
        b"{}",
        b"0\r\n",
    ]

    with RawServer(noise(dice, pieces, 12)) as server:
        gateway = build(settings(tmp_path, url=server.url))
        outcomes = [gateway.send(outgoing()) for _ in range(300)]
        gateway.close()
    assert all(isinstance(outcome, get_args(Outcome)) for outcome in outcomes)
    assert not any(isinstance(outcome, (Sent, Deferred)) for outcome in outcomes)
