"""What every gateway takes and answers; the queue's rows, campaigns and credits are unknown here.

What the domain does with it: `Sent` ends the attempt as accepted, `Rejected` as surely not accepted (scope account
stops the campaign), `Deferred` puts the text back, `Unknown` is never sent again blindly: `look_up` or a `Report`
decides. A `Report` only ever raises an attempt's rank. What is stored before a callback is answered, and how several
gateways are chosen between, is not decided here.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol, runtime_checkable

from smsqueue.core.errors import SmsQueueError

Scope = Literal["recipient", "account"]
Cause = Literal["throttled", "unreachable"]
Ending = Literal["sent", "delivered", "undelivered", "expired", "failed", "cancelled"]
"""The states that a report can tell; `failed` means that the gateway did not bill."""


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
    """Accepted, under the gateway's own reference (Kannel: none); `parts` is the gateway's count when it tells.

    `references` has them all where each part has its own. `is_partial`: some parts are out and some were refused, so
    the text must not be sent again either.
    """

    reference: str
    parts: int | None = None
    price: str | None = None
    references: tuple[str, ...] = ()
    is_partial: bool = False


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
    """Nobody can tell whether it was accepted: never send it again blindly.

    `is_misdirected`: it was answered by somebody who sends us elsewhere, so the gateway's address must be wrong.
    """

    reason: str
    is_misdirected: bool = False


@dataclass(frozen=True, slots=True)
class NotFound:
    """A look-up's answer: the gateway does not know the attempt. `Traits` say how far that may be believed."""


Outcome = Sent | Rejected | Deferred | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What became of a text, as the gateway tells later; `reference` is ours where it comes back, else empty."""

    state: Ending
    reference: str = ""
    gateway_reference: str = ""
    code: str = ""
    reason: str = ""
    at: datetime | None = None
    price: str | None = None
    scope: Scope = "recipient"
    may_retry: bool = False
    opted_out: bool = False
    is_part: bool = False
    """It tells of one part of the text, whose other parts have reports of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inbound:
    """A text that came in: who wrote it, to which of our numbers; long ones may come in pieces."""

    sender: str
    to: str
    text: str
    gateway_reference: str = ""
    at: datetime | None = None
    piece: tuple[str, int, int] | None = None
    """Reference, number and count of the pieces."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Callback:
    """A request of the gateway to us. `url` is the public one exactly as it was called: the configured base, the raw
    path and the raw query; names of headers are in lower case. `reference` and `token` are those of its path: they
    say something only where what proves the callback genuine covers the path too."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""
    reference: str = ""
    token: str = ""
    remote: str = ""
    """The address of who calls."""


class Verdict(StrEnum):
    """Whether a callback comes from the gateway; `Traits.unsigned_status` is what answers one without a signature."""

    GENUINE = "genuine"
    FORGED = "forged"
    UNSIGNED = "unsigned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traits:
    """What a gateway can and cannot do, for those who decide what may be repeated, asked or waited for."""

    is_idempotent: bool = False
    """The same reference again is the same text."""
    look_up: str = "none"
    """How an attempt of ours is found again: "none", or by what."""
    trusts_not_found: bool = False
    """Whether NotFound, twice and `not_found_after_seconds` after the attempt, proves that it was not taken."""
    not_found_after_seconds: float = 600
    fetch: str = "none"
    """How a text's state is asked for by the gateway's reference."""
    safe_5xx: str = "none"
    """The answers from 500 on that surely mean "not taken"."""
    tells_wait: str = "no"
    max_per_second: float | None = None
    """Segments; None: no limit of its own."""
    has_reports: bool = False
    reports_name_ours: bool = True
    """Reports carry our reference, and not the gateway's alone."""
    has_inbound: bool = False
    is_fake: bool = False
    """Nothing is really sent."""
    answer_status: int = 204
    """What a callback is answered with when all is well, also for a reference that nobody knows."""
    unsigned_status: int = 403


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


class Adapter(Gateway, Protocol):
    """A gateway as `build` makes it: it also says what it is."""

    @property
    def traits(self) -> Traits:
        """What it can and cannot do."""
        ...


@runtime_checkable
class LooksUp(Protocol):
    """A gateway that can be asked whether it took an attempt."""

    def look_up(self, outgoing: Outgoing, since: datetime, *, bound: Collection[str] = ()) -> Sent | NotFound | Unknown:
        """Was the attempt of that time taken? `bound` has references that belong to other attempts."""
        ...


@runtime_checkable
class Fetches(Protocol):
    """A gateway that can be asked what became of a text, where its report was lost."""

    def fetch(self, reference: str) -> Report | Unknown:
        """Ask by the gateway's reference; Unknown when it gives no answer that can be read."""
        ...


@runtime_checkable
class Reports(Protocol):
    """A gateway that calls us: `verify` first, in constant time; the other two take only what is genuine."""

    def verify(self, callback: Callback) -> Verdict:
        """Say whether the callback comes from the gateway."""
        ...

    def reports(self, callback: Callback) -> list[Report]:
        """Read the delivery reports of a genuine callback; what cannot be read is none."""
        ...

    def inbound(self, callback: Callback) -> Inbound | None:
        """Read the text that came in by a genuine callback, if it is one."""
        ...


@runtime_checkable
class Answers(Protocol):
    """A gateway that reads our answers: other than its `Traits` say, and not alike for all that it tells."""

    def answer(self, callback: Callback) -> tuple[int, str]:
        """Give status and body to answer a genuine callback with, once what it says is on disk."""
        ...


class BadGateway(SmsQueueError):
    """The chosen gateway does not exist or cannot be used as it is set up."""
