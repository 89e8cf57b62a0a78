"""What a gateway of the operator's own is made of, once its file has been read and checked."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Place = Literal["none", "form", "json", "text"]


@dataclass(frozen=True, slots=True)
class Condition:
    """When an answer counts as something: all that is given must hold. A path reads the JSON, else the whole body."""

    statuses: tuple[int, ...] = ()
    path: str = ""
    equals: Any = None
    contains: str = ""
    pattern: str = ""

    @property
    def looks_at_body(self) -> bool:
        """Whether more than the status is looked at."""
        return bool(self.path or self.contains or self.pattern)


Conditions = tuple[Condition, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request: texts with placeholders."""

    url: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    place: Place = "none"
    body: Any = None
    auth: str = "none"
    user: str = ""
    secret: str = ""
    idempotency_header: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Where a value stands: a path in the JSON, a pattern with one group, or a header."""

    path: str = ""
    pattern: str = ""
    header: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call that asks about an attempt or a text."""

    call: Call
    found: Conditions = ()
    not_found: Conditions = ()
    reference: Where = Where()
    status: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """How the gateway calls us: how it proves itself, and where things stand in what it says."""

    method: str = "POST"
    signature: str = "token"
    header: str = ""
    algorithm: str = "sha256"
    encoding: str = "hex"
    prefix: str = ""
    user: str = ""
    secret: str = ""
    paths: Mapping[str, str] = field(default_factory=dict)
    states: Mapping[str, str] = field(default_factory=dict)
    answer_status: int = 204
    answer_body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A whole gateway. Conditions are tried in this order; what none of them fits is unknown."""

    request: Call
    throttled: Conditions = ()
    not_sent: Conditions = ()
    opted_out: Conditions = ()
    refused_account: Conditions = ()
    refused: Conditions = ()
    accepted: Conditions = ()
    reference: Where = Where()
    retry_after: Where = Where()
    code: str = ""
    reason: str = ""
    look_up: Question | None = None
    fetch: Question | None = None
    report: Listener | None = None
    inbound: Listener | None = None
    max_per_second: float = 5
    encodings: Mapping[str, str] = field(default_factory=dict)
