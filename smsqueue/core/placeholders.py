"""`((name))` in a text: found, matched to the columns of a file, filled in."""

import re
from collections.abc import Mapping, Sequence

_PLACEHOLDER = re.compile(r"\(\((?=[^()\n]*[^()\s])([^()\n]+)\)\)")
_IGNORED = re.compile(r"[\s_-]+")


def key(name: str) -> str:
    """Return what two spellings of one name have in common: `First Name`, `first_name` and `firstname` are equal."""
    return _IGNORED.sub("", name).casefold()


def split(text: str) -> list[str]:
    """Return literal text and names in turn: literal, name, literal, …, literal."""
    pieces = _PLACEHOLDER.split(text)
    pieces[1::2] = [name.strip() for name in pieces[1::2]]
    return pieces


def names(text: str) -> list[str]:
    """List the placeholders in order, each once, as first spelled."""
    found: dict[str, str] = {}
    for name in split(text)[1::2]:
        found.setdefault(key(name), name)
    return list(found.values())


def fill(text: str, values: Mapping[str, str]) -> str:
    """Put the values in place; a placeholder without a value stays as it is, one inside a value is plain text."""
    known = {key(name): value for name, value in values.items()}
    return _PLACEHOLDER.sub(lambda found: known.get(key(found[1]), found[0]), text)


def match(wanted: Sequence[str], headers: Sequence[str]) -> dict[str, int]:
    """Find the column of each name; a name that has none is left out, of two equal columns the first counts."""
    columns: dict[str, int] = {}
    for index, header in enumerate(headers):
        columns.setdefault(key(header), index)
    return {name: columns[key(name)] for name in wanted if key(name) and key(name) in columns}
