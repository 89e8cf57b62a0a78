"""What is concluded from answers and from their absence."""

from datetime import timedelta
from email.utils import format_datetime
from http.client import RemoteDisconnected
from ssl import SSLCertVerificationError, SSLError

import pytest
import requests
from urllib3 import HTTPConnectionPool
from urllib3.connection import HTTPConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    MaxRetryError,
    NameResolutionError,
    NewConnectionError,
    ProtocolError,
    ReadTimeoutError,
)
from urllib3.exceptions import SSLError as Urllib3SSLError

from smsqueue.core import clock
from smsqueue.gateways.base import Deferred, Unknown
from smsqueue.gateways.http import Answer, retry_after, tidy, without_answer

POOL = HTTPConnectionPool("gateway.example")
CONNECTION = HTTPConnection("gateway.example")


def gave_up(reason: Exception) -> MaxRetryError:
    return MaxRetryError(POOL, "/messages", reason)


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError(gave_up(NewConnectionError(CONNECTION, "refused"))),
        requests.ConnectionError(gave_up(NameResolutionError("gateway.example", CONNECTION, OSError("no name")))),  # type: ignore[arg-type]  # a gaierror
        requests.ConnectTimeout(gave_up(ConnectTimeoutError(CONNECTION, "timed out"))),
        requests.exceptions.SSLError(gave_up(Urllib3SSLError(SSLCertVerificationError(1, "self-signed")))),
    ],
)
def test_connection_that_never_stood_is_surely_not_sent(error):
    outcome = without_answer(error)
    assert isinstance(outcome, Deferred)
    assert outcome.cause == "unreachable"


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError(ProtocolError("Connection aborted.", ConnectionResetError(104, "reset"))),
        requests.ConnectionError(ReadTimeoutError(POOL, "/messages", "timed out")),
        requests.ReadTimeout(ReadTimeoutError(POOL, "/messages", "timed out")),
        requests.exceptions.SSLError(gave_up(Urllib3SSLError(SSLError(1, "bad record")))),
        requests.ConnectionError(gave_up(ProtocolError("Connection aborted.", OSError("broken")))),
        requests.exceptions.ChunkedEncodingError("broken"),
        requests.ConnectionError(),
    ],
)
def test_everything_else_is_unknown(error):
    assert isinstance(without_answer(error), Unknown)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.ConnectionError(ReadTimeoutError(POOL, "/messages", "timed out")), "no answer in time"),
        (requests.ConnectionError(ProtocolError("Connection aborted.", RemoteDisconnected("bye"))), "the line was cut"),
        (requests.ConnectTimeout(gave_up(ConnectTimeoutError(CONNECTION, "timed out"))), "no connection in time"),
        (requests.exceptions.ChunkedEncodingError("broken"), "ChunkedEncodingError"),
    ],
)
def test_people_read_what_happened_and_not_the_name_of_an_exception(error, words):
    assert words in without_answer(error).reason


def test_what_merely_came_before_an_error_proves_nothing():
    error = requests.ConnectionError("broken")
    error.__context__ = NewConnectionError(CONNECTION, "the try before this one")
    assert isinstance(without_answer(error), Unknown)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("", 0), ("0", 1), ("30", 30), ("9" * 400, 3600), ("-5", 0), ("soon", 0), ("²", 0), ("Thu, 99 Foo 2026", 0)],
)
def test_retry_after_in_seconds(value, seconds):
    assert retry_after({"Retry-After": value}) == seconds


def test_retry_after_as_a_date():
    later = clock.now() + timedelta(seconds=90)
    assert 85 <= retry_after({"Retry-After": format_datetime(later)}) <= 90
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 1


@pytest.mark.parametrize("body", [b"", b"[1]", b"nonsense", b"\xff", b"[" * 60_000, b'{"a":' * 9_000])
def test_body_that_is_no_object_is_empty(body):
    assert Answer(200, {}, body).json() == {}


@pytest.mark.parametrize(
    ("word", "shown"),
    [
        ("To +44 7700 900123 failed", "To +•••123 failed"),
        ("code 12345", "code 12345"),
        ("a\r\nb\x00c\ud800d", "a b c d"),
        (None, ""),
        (17, ""),
    ],
)
def test_words_of_a_gateway_are_made_harmless(word, shown):
    assert tidy(word) == shown
