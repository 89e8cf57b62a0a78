"""What browsers send, made fit for a database: no NUL in any text, and no whole number that no column holds."""

from collections.abc import Iterable
from typing import Any

from flask import Flask, Request
from werkzeug.datastructures import ImmutableMultiDict

LARGEST = 2**63 - 1
LAST_ROW = 2**31 - 1


class Fields(ImmutableMultiDict[str, Any]):
    """The fields (or files) of a request; texts without the NULs that nobody can type and PostgreSQL does not keep."""

    def __init__(self, mapping: Iterable[tuple[str, Any]] | None = None) -> None:
        super().__init__([(name, _clean(value)) for name, value in mapping or ()])


class CleanRequest(Request):
    """A request with such fields."""

    parameter_storage_class: type[ImmutableMultiDict[str, Any]] = Fields


def whole(text: str) -> int:
    """Read an id or a count; raises ValueError for what no column holds (for `type=` of `request.args.get`)."""
    return _within(text, LARGEST)


def row(text: str) -> int:
    """Read a position in a campaign, whose column is smaller; raises ValueError in the same way."""
    return _within(text, LAST_ROW)


def _within(text: str, largest: int) -> int:
    number = int(text)
    if not 0 <= number <= largest:
        raise ValueError("no such number")
    return number


def _clean(value: Any) -> Any:
    return value.replace("\0", "") if isinstance(value, str) else value


def install(app: Flask) -> None:
    """Have requests read in this way."""
    app.request_class = CleanRequest
