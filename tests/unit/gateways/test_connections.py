"""Connections whose timeout is a total."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from urllib3.exceptions import HTTPError, NameResolutionError
from urllib3.util.ssl_ import create_urllib3_context

from smsqueue.gateways.base import Deferred
from smsqueue.gateways.connections import (
    IDLE_SECONDS,
    TimedConnection,
    TimedSocket,
    TimedTLSPool,
    TimedTLSSocket,
)
from smsqueue.gateways.http import HttpCaller, Request
from tests.outside import RawServer

# A key and its certificate for 127.0.0.1, made for these tests and trusted by nobody.
UNTRUSTED = Path(__file__).parent / "untrusted.pem"


@pytest.fixture
def tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(UNTRUSTED)
    return context


@pytest.fixture
def pair() -> Iterator[tuple[TimedSocket, socket.socket]]:
    with socket.create_server(("127.0.0.1", 0)) as listener, TimedSocket() as ours:
        ours.connect(listener.getsockname())
        theirs, _ = listener.accept()
        with theirs:
            yield ours, theirs


@pytest.fixture
def dripping() -> Iterator[Callable[[socket.socket], None]]:
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        with suppress(OSError):  # until who listens has gone
            while not stop.wait(0.05):
                connection.sendall(b"a")

    yield drip
    stop.set()


def receive_for_ever(ours: socket.socket) -> None:
    while True:
        ours.recv_into(bytearray(1))


def test_timeout_of_a_socket_is_not_renewed_by_what_arrives(pair, dripping):
    ours, theirs = pair
    threading.Thread(target=dripping, args=(theirs,), daemon=True).start()
    ours.settimeout(0.3)
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        receive_for_ever(ours)
    assert 0.2 < time.monotonic() - began < 1


def test_socket_without_a_timeout_waits(pair):
    ours, theirs = pair
    ours.settimeout(None)
    theirs.sendall(b"a")
    assert ours.recv_into(bytearray(1)) == 1


def test_connection_is_not_used_again_after_a_pause(pair):
    ours, _ = pair
    connection = TimedConnection("127.0.0.1", 1)
    connection.sock = ours
    ours.used_at = time.monotonic() - IDLE_SECONDS + 1
    was_connected = connection.is_connected
    ours.used_at = time.monotonic() - IDLE_SECONDS
    assert (was_connected, connection.is_connected) == (True, False)


def test_certificate_that_is_not_trusted_is_surely_not_sent(tls):
    def handshake(connection: socket.socket) -> None:
        tls.wrap_socket(connection, server_side=True)

    with RawServer(handshake, reads=False) as server:
        caller = HttpCaller(concurrency=1, connect_seconds=2, read_seconds=2)
        outcome = caller.call(Request("POST", f"https://127.0.0.1:{server.port}/", {}, b"{}"))
        caller.close()
    assert outcome == Deferred(0, "unreachable", "The gateway cannot be reached (its certificate is not valid).")


def test_time_limit_holds_over_tls(tls, dripping):
    def answer(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as secure:
            secure.recv(65_536)
            dripping(secure)

    context = create_urllib3_context()
    context.sslsocket_class = TimedTLSSocket
    context.load_verify_locations(UNTRUSTED)
    with RawServer(answer, reads=False) as server:
        pool = TimedTLSPool("127.0.0.1", server.port, ssl_context=context, timeout=0.5, retries=False)
        began = time.monotonic()
        with pytest.raises(HTTPError, match="timed out"):
            pool.request("POST", "/", body=b"{}")
        pool.close()
    assert time.monotonic() - began < 2


def test_handshake_that_hangs_ends_with_the_connect_timeout():
    with RawServer(lambda connection: None) as server:
        caller = HttpCaller(concurrency=1, connect_seconds=0.3, read_seconds=5)
        began = time.monotonic()
        caller.call(Request("POST", f"https://127.0.0.1:{server.port}/", {}, b"{}"))
        caller.close()
    assert time.monotonic() - began < 2


def test_name_that_cannot_be_resolved_says_so():
    connection = TimedConnection("fe80::1%nowhere", 80, timeout=1)
    with pytest.raises(NameResolutionError):
        connection.connect()
