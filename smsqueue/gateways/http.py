"""One HTTP call to a gateway, and what can be concluded from it without knowing the gateway."""

import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from ssl import SSLCertVerificationError
from typing import Any

import requests
import urllib3
from requests import PreparedRequest
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from smsqueue import __version__
from smsqueue.core import clock
from smsqueue.gateways.base import Deferred, Outcome, Rejected, Unknown
from smsqueue.gateways.connections import TimedAdapter

LARGEST_ANSWER = 64 * 1024
FORM = "application/x-www-form-urlencoded"
LONGEST_WAIT = 3600.0
# Only these prove that nothing was sent; NewConnectionError includes NameResolutionError.
NOT_SENT = (NewConnectionError, ConnectTimeoutError, SSLCertVerificationError)
AGENT = f"smsqueue/{__version__}"
SAID = {
    "NameResolutionError": "its name is not known",
    "NewConnectionError": "it takes no connection",
    "ConnectTimeoutError": "no connection in time",
    "SSLCertVerificationError": "its certificate is not valid",
    "ReadTimeoutError": "no answer in time",
    "ReadTimeout": "no answer in time",
    "TimeoutError": "no answer in time",
    "RemoteDisconnected": "the line was cut",
    "ConnectionResetError": "the line was cut",
    "BrokenPipeError": "the line was cut",
    "IncompleteRead": "the line was cut",
}
"""What exceptions mean, for people; any other is named as it is."""
logging.getLogger("urllib3").setLevel(logging.CRITICAL)
"""It logs whole addresses, in which passwords, numbers and texts may stand; what went wrong is in our own words."""
DIGITS = re.compile(r"\d(?:[ ().-]?\d){6,}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the status, the headers, and at most 64 KiB of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty when it is none."""
        return json_object(self.body)


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent: everything is decided, nothing is added but length, host and who we are. Never shown as it is."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    body: bytes | None = field(default=None, repr=False)


class HttpCaller:
    """Makes calls over a shared `requests` session: no retry, no redirect, a total time limit.

    Nothing of the environment is used: no proxy, no netrc, no other CA file.
    """

    def __init__(self, *, concurrency: int, connect_seconds: float, read_seconds: float) -> None:
        self._timeout = (connect_seconds, read_seconds)
        self._session = requests.Session()
        self._session.trust_env = False
        self._adapter = TimedAdapter(concurrency)
        self._session.mount("http://", self._adapter)
        self._session.mount("https://", self._adapter)
        self._blank = PreparedRequest()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": AGENT}
        self._blank.prepare(method="POST", url="http://localhost/", headers=headers)

    def call(self, request: Request) -> Answer | Deferred | Unknown:
        """One call; without an answer it is Deferred when surely nothing was sent, else Unknown."""
        prepared = self._blank.copy()
        prepared.method, prepared.url, prepared.body = request.method, request.url, request.body
        # As UTF-8, like bodies and addresses; a `str` would go out as Latin-1 or not at all.
        written: dict[str, Any] = {name: value.encode() for name, value in request.headers.items()}
        prepared.headers.update(written)
        prepared.headers["Content-Length"] = str(len(request.body or b""))
        try:
            return self._call(prepared)
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            return without_answer(error)

    def close(self) -> None:
        """Close all connections."""
        self._session.close()

    def _call(self, request: PreparedRequest) -> Answer:
        # Not Session.send: for a redirect it would read all of the body and follow the address as far as parsing it.
        response = self._adapter.send(request, stream=True, timeout=self._timeout, verify=True)
        try:
            if response.status_code < 200:
                # The real answer is still to come: closed unread, it can be taken for nobody else's.
                return Answer(response.status_code, response.headers, b"")
            body = response.raw.read(LARGEST_ANSWER, decode_content=False)
            if len(body) < LARGEST_ANSWER:
                # The end has been reached: let the connection go back, also where the length was not told.
                response.raw.read(1, decode_content=False)
            return Answer(response.status_code, response.headers, body)
        finally:
            response.close()


def json_value(body: bytes | str) -> Any:
    """Read JSON; None when it is none."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def json_object(body: bytes | str) -> dict[str, Any]:
    """Read a JSON object; empty when it is none."""
    values = json_value(body)
    return values if isinstance(values, dict) else {}


def without_answer(error: Exception) -> Deferred | Unknown:
    """What an exception of `requests` or urllib3 proves: only a connection that never stood means not sent."""
    innermost = error
    for inner in _chain(error):
        if isinstance(inner, NOT_SENT):
            return Deferred(0, "unreachable", f"The gateway cannot be reached ({_said(inner)}).")
        innermost = inner
    return Unknown(f"The gateway gave no answer that can be read ({_said(innermost)}).")


def _said(error: Exception) -> str:
    name = type(error).__name__
    return SAID.get(name, name)


def by_status(answer: Answer) -> Outcome:
    """The outcome by the HTTP status alone; a 2xx is Unknown, since only an adapter can find its reference."""
    status = answer.status
    if status == 429:
        return Deferred(retry_after(answer.headers), "throttled", "The gateway asks for fewer messages (HTTP 429).")
    if status in {307, 308}:
        return Rejected(f"http_{status}", "The gateway's address is wrong: it redirects.", "account", may_retry=True)
    if status in {401, 402, 403}:
        return Rejected(
            f"http_{status}", f"The gateway refuses our account (HTTP {status}).", "account", may_retry=True
        )
    if 400 <= status < 500 and status != 408:
        return Rejected(f"http_{status}", f"The gateway refuses the message (HTTP {status}).")
    reason = f"The gateway's answer does not tell whether it took the message (HTTP {status})."
    return Unknown(reason, is_misdirected=300 <= status < 400)


def retry_after(headers: Mapping[str, str]) -> float:
    """The seconds that a Retry-After header asks for, from 1 to 3,600; 0 when it is missing or cannot be read."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return 0.0
    if value.isascii() and value.isdigit():
        return min(max(float(value[:9]), 1.0), LONGEST_WAIT)
    try:
        when = parsedate_to_datetime(value)
        seconds = (when.replace(tzinfo=when.tzinfo or UTC) - clock.now()).total_seconds()
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 1.0), LONGEST_WAIT)


def tidy(value: object, longest: int = 200) -> str:
    """A gateway's word for our pages and logs: one line, short, without a telephone number."""
    if not isinstance(value, str):
        return ""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in value[: longest * 4]).split())
    return DIGITS.sub(lambda found: "•••" + found.group()[-3:], line)[:longest]


def _chain(error: BaseException) -> Iterator[Exception]:
    """An exception and those that it wraps, as `requests` and urllib3 wrap them; not what merely came before it."""
    inner: object = error
    for _ in range(10):
        if not isinstance(inner, Exception):
            return
        yield inner
        inner = getattr(inner, "reason", None) or (inner.args[-1] if inner.args else None)
