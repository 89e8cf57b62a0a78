"""Typed settings from environment variables: how one is declared, read, and what was wrong with it."""

import math
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, Generic, TypeVar, cast
from urllib.parse import urlsplit

from smsqueue.core.errors import SmsQueueError

T = TypeVar("T")
Default = str | Callable[[Mapping[str, Any]], str]
"""What an unset variable stands for: a text, or one made from the attributes read before it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One setting that cannot be used."""

    name: str
    found: str
    verdict: str

    def __str__(self) -> str:
        return f"{self.name} ({self.found}) {self.verdict}"


class BadValue(ValueError):
    """Raised by a reader that can say more than its verdict: which part cannot be used, and why."""


class BadSettings(SmsQueueError):
    """Everything that is wrong with the settings, so that one look is enough to mend them."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        super().__init__("\n".join(str(problem) for problem in problems))


@dataclass(frozen=True, slots=True)
class Reader(Generic[T]):
    """Turns a text into a value; `read` raises ValueError for what `verdict` does not allow."""

    read: Callable[[str], T]
    verdict: str


@dataclass(frozen=True, slots=True)
class Option:
    """The declaration of one setting."""

    name: str
    reader: Reader[Any]
    default: Default
    shown_default: str
    about: str
    secret: bool

    def default_text(self, values: Mapping[str, Any]) -> str:
        """Give the text that stands for an unset variable."""
        return self.default if isinstance(self.default, str) else self.default(values)

    def problem(self, found: str, verdict: str | None = None) -> Problem:
        """Say what is wrong with `found`, without repeating a secret."""
        shown = "hidden" if self.secret and found else found or "not set"
        return Problem(self.name, shown, verdict or self.reader.verdict)


def setting(
    name: str, reader: Reader[T], default: Default, about: str, *, shown_default: str = "", secret: bool = False
) -> T:
    """Declare a dataclass field that is read from the variable `name`; secrets also come from `<name>_FILE`."""
    shown = shown_default or (default if isinstance(default, str) else "")
    option = Option(name, reader, default, shown, about, secret)
    return cast(T, field(repr=not secret, metadata={"option": option}))


def options(settings: type) -> dict[str, Option]:
    """List the declared settings of a dataclass by attribute, in order."""
    declared: tuple[Field[Any], ...] = fields(settings)
    return {each.name: each.metadata["option"] for each in declared if "option" in each.metadata}


def read_all(settings: type, environ: Mapping[str, str]) -> tuple[dict[str, Any], list[Problem]]:
    """Read every setting; one that is wrong is reported and stands at its default."""
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for attribute, option in options(settings).items():
        try:
            found = _found(option, environ) or option.default_text(values)
            values[attribute] = _read(option, found)
        except BadSettings as error:
            problems.extend(error.problems)
            values[attribute] = option.reader.read(option.default_text(values))
    return values, problems


def read_secret(name: str, environ: Mapping[str, str]) -> str:
    """Read a secret that no field declares, from its variable or from the file that `<name>_FILE` names."""
    return _found(Option(name, text, "", "", "", secret=True), environ)


def _read(option: Option, found: str) -> Any:
    try:
        return option.reader.read(found)
    except BadValue as error:
        raise BadSettings([option.problem(found, f"cannot be used: {error}")]) from error
    except ValueError as error:
        raise BadSettings([option.problem(found)]) from error


def _found(option: Option, environ: Mapping[str, str]) -> str:
    found = environ.get(option.name, "").strip()
    file = environ.get(f"{option.name}_FILE", "").strip() if option.secret else ""
    if not file:
        return found
    if found:
        raise BadSettings([option.problem(found, f"is set, and {option.name}_FILE too: set only one of them")])
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        problem = Problem(f"{option.name}_FILE", file, f"must be a file that can be read: {error}")
        raise BadSettings([problem]) from error


def whole(low: int, high: int) -> Reader[int]:
    """Read a whole number between two bounds."""
    return Reader(lambda typed: _between(int(typed), low, high), f"must be a whole number from {low} to {high}")


def number(low: float, high: float) -> Reader[float]:
    """Read a number between two bounds."""
    return Reader(lambda typed: _between(float(typed), low, high), f"must be a number from {low:g} to {high:g}")


def whole_list(low: int, high: int) -> Reader[tuple[int, ...]]:
    """Read whole numbers with commas between."""
    return Reader(
        lambda typed: tuple(_between(int(each), low, high) for each in typed.split(",")),
        f"must be whole numbers from {low} to {high}, with commas between",
    )


def one_of(*choices: str, remark: str = "") -> Reader[str]:
    """Read one of a few words."""

    def read(typed: str) -> str:
        if typed not in choices:
            raise ValueError(typed)
        return typed

    return Reader(read, f"must be {' or '.join(choices)}{remark}")


def url(*schemes: str) -> Reader[str]:
    """Read a web address, without the slash at its end."""

    def read(typed: str) -> str:
        parts = urlsplit(typed)
        if parts.scheme not in schemes or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(typed)
        return typed.rstrip("/")

    starts = " or ".join(f"{scheme}://" for scheme in schemes)
    return Reader(read, f"must be an address that starts with {starts} and names a host")


def _between(value: Any, low: float, high: float) -> Any:
    if not math.isfinite(value) or not low <= value <= high:
        raise ValueError(value)
    return value


def _yes_or_no(typed: str) -> bool:
    known = {"yes": True, "true": True, "on": True, "1": True, "no": False, "false": False, "off": False, "0": False}
    if typed.lower() not in known:
        raise ValueError(typed)
    return known[typed.lower()]


def _names(typed: str) -> tuple[str, ...]:
    return tuple(part for part in (each.strip() for each in typed.split(",")) if part)


yes_no = Reader(_yes_or_no, "must be yes or no")
text = Reader(str, "must be a text")
names = Reader(_names, "must be names with commas between")
path = Reader(lambda typed: Path(typed).expanduser().absolute(), "must be the path of a file or folder")
