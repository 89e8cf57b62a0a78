"""What a caller posts to the gateway, checked."""

import json
import re
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,40}")
NUMBER = re.compile(r"\+[0-9]{5,15}")


class BadMessage(Exception):
    """The body is not a message; its text says what is missing or wrong."""


@dataclass(frozen=True, slots=True)
class Message:
    """One text to one number."""

    reference: str
    to: str
    text: str
    sender: str
    encoding: str
    segments: int
    validity_seconds: int


def parse(body: bytes) -> Message:
    """The message in a JSON body, or BadMessage."""
    try:
        values = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadMessage("The body is not JSON.") from error
    if not isinstance(values, dict):
        raise BadMessage("The body is not a JSON object.")
    message = Message(
        reference=_field(values, "reference", str),
        to=_field(values, "to", str),
        text=_field(values, "text", str),
        sender=_field(values, "sender", str),
        encoding=_field(values, "encoding", str),
        segments=_field(values, "segments", int),
        validity_seconds=_field(values, "validity_seconds", int),
    )
    _check(message)
    return message


def _field(values: dict[str, Any], name: str, kind: type[T]) -> T:
    value = values.get(name)
    if type(value) is not kind:
        raise BadMessage(f"{name} is missing or not of type {kind.__name__}.")
    return value


def _check(message: Message) -> None:
    if not REFERENCE.fullmatch(message.reference):
        raise BadMessage("reference must be 1 to 40 of A-Z a-z 0-9 _ -.")
    if not NUMBER.fullmatch(message.to):
        raise BadMessage("to must be + and 5 to 15 digits.")
    if not message.text.strip() or "\0" in message.text:
        raise BadMessage("text must not be blank and must not hold a NUL.")
    if not 1 <= message.segments <= 255 or message.encoding not in {"gsm-7", "ucs-2"}:
        raise BadMessage("segments must be 1 to 255, encoding gsm-7 or ucs-2.")
