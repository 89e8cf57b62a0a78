"""What the adapters that speak HTTP have in common: one text is one request, and its answer is read in one place."""

import re
from abc import ABC, abstractmethod
from base64 import b64encode

from smsqueue.config import Settings
from smsqueue.gateways.base import Outcome, Outgoing, Rejected, Traits
from smsqueue.gateways.http import Answer, HttpCaller, Request
from smsqueue.gateways.tables import Table

REFERENCE = re.compile(r"[!-~]{1,100}")
PRICE = re.compile(r"-?([0-9]{1,9}(?:\.[0-9]{1,9})?)")
CURRENCY = re.compile(r"[A-Za-z]{1,5}")
COUNT = re.compile(r"[0-9]{1,3}")
MOST_PARTS = 255
"""The network counts the parts of a text in one byte."""


class HttpAdapter(ABC):
    """Sends by one request; a gateway says what the request is and what the answer means."""

    name: str
    table: Table
    traits: Traits

    def __init__(self, settings: Settings) -> None:
        self.connect_seconds = settings.connect_timeout_seconds
        self.read_seconds = settings.read_timeout_seconds
        self.caller = HttpCaller(
            concurrency=settings.concurrency_max, connect_seconds=self.connect_seconds, read_seconds=self.read_seconds
        )

    @abstractmethod
    def request(self, outgoing: Outgoing) -> Request | Rejected:
        """Write the one request of a text; Rejected when the gateway's own limits do not allow it."""

    @abstractmethod
    def read(self, answer: Answer) -> Outcome:
        """Say what an answer means."""

    def send(self, outgoing: Outgoing) -> Outcome:
        """Hand over one text."""
        request = self.request(outgoing)
        if isinstance(request, Rejected):
            return request
        answer = self.caller.call(request)
        return self.read(answer) if isinstance(answer, Answer) else answer

    def close(self) -> None:
        """Close all connections."""
        self.caller.close()


def basic(name: str, secret: str) -> str:
    """Write a Basic Authorization header."""
    return "Basic " + b64encode(f"{name}:{secret}".encode()).decode("ascii")


def is_reference(value: object) -> bool:
    """Say whether a gateway's reference is one that can be kept and asked for."""
    return isinstance(value, str) and REFERENCE.fullmatch(value) is not None


def parts_of(count: object) -> int | None:
    """Read how many parts a gateway counts, as a number or as digits; None when it does not tell."""
    written = str(count)
    return int(written) if COUNT.fullmatch(written) and 0 < int(written) <= MOST_PARTS else None


def price_of(amount: object, currency: object = "") -> str | None:
    """Read a price, which is negative where it leaves the account; None when it is none that can be kept."""
    found = PRICE.fullmatch(str(amount))
    if found is None:
        return None
    return f"{found[1]} {currency}" if CURRENCY.fullmatch(str(currency or "")) else found[1]
