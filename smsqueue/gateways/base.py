"""What every gateway takes and answers; the queue's rows, campaigns and credits are unknown here."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from smsqueue.core.errors import SmsQueueError

Scope = Literal["recipient", "account"]
Cause = Literal["throttled", "unreachable"]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One attempt to send one text to one number; `reference` is ours, one for each attempt."""

    reference: str
    to: str
    text: str
    encoding: str
    segments: int
    sender: str
    validity_seconds: int


@dataclass(frozen=True, slots=True)
class Sent:
    """Accepted, under the gateway's own reference; `parts` is the gateway's count when it tells."""

    reference: str
    parts: int | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """Refused for good, surely not accepted; scope account means that no other recipient will fare better."""

    code: str
    reason: str
    scope: Scope = "recipient"
    may_retry: bool = False
    opted_out: bool = False


@dataclass(frozen=True, slots=True)
class Deferred:
    """Surely not accepted, worth another try after so long; 0 seconds when the gateway did not say how long."""

    after_seconds: float
    cause: Cause
    reason: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Nobody can tell whether it was accepted: never send it again blindly."""

    reason: str


Outcome = Sent | Rejected | Deferred | Unknown


class Gateway(Protocol):
    """One provider. `send` is called by many threads at once and never holds one longer than both seconds together."""

    name: str
    connect_seconds: float
    read_seconds: float

    def send(self, outgoing: Outgoing) -> Outcome:
        """Hand over one text; raises only for our own bugs."""
        ...

    def close(self) -> None:
        """Drop what is open; no call may follow."""
        ...


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """What is needed to build any of the gateways."""

    name: str
    concurrency: int
    connect_seconds: float
    read_seconds: float
    simulated_url: str
    log_file: Path
    log_text: bool


class BadGateway(SmsQueueError):
    """The chosen gateway does not exist or cannot be used as it is set up."""
