"""From a list and a text to what would be sent: each row good, bad with the reason, or a duplicate. No database."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from smsqueue.core import phones, placeholders
from smsqueue.core.errors import SmsQueueError
from smsqueue.core.phones import BadNumber, Phone
from smsqueue.core.segments import Measure, clean, measure
from smsqueue.domain.sheets import Row, Sheet

_UNSENDABLE = re.compile("[\0\ud800-\udfff]")  # NUL and halves of characters: no database keeps them
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Rules:
    """What a team may do: its own country, the countries it may text (None: every one), how long, at what price."""

    country: str
    countries: frozenset[str] | None
    max_segments: int
    credits_per_segment: int


@dataclass(frozen=True, slots=True)
class Good:
    """A row that can be sent; `text` is None where all rows get the same one."""

    row: int
    number: str
    country: str
    text: str | None
    encoding: str
    segments: int
    price: int


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that cannot be sent: the cell as typed, and everything that is wrong with the row."""

    row: int
    cell: str
    problem: str


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A row whose number, in whatever spelling, has been taken from an earlier one."""

    row: int
    cell: str
    first_row: int


class BadText(SmsQueueError):
    """A text that cannot be sent to anybody on the list; `code` tells which trouble it is."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class _Message:
    text: str | None
    size: Measure
    problem: str | None


_Compose = Callable[[Sequence[str]], _Message]


def check(sheet: Sheet, column: int, text: str, rules: Rules) -> Iterator[Good | Bad | Duplicate]:
    """Judge the rows one by one, the number being in `column`; of equal numbers the first good row is kept."""
    compose = _composer(clean(text), sheet.headers, rules)
    seen: dict[int, int] = {}
    for row in sheet.rows:
        cell = row.cells[column] if column < len(row.cells) else ""
        yield _judge(row, cell, compose, rules, seen)


def _judge(row: Row, cell: str, compose: _Compose, rules: Rules, seen: dict[int, int]) -> Good | Bad | Duplicate:
    phone = _phone(cell, rules)
    if isinstance(phone, Phone):
        first = seen.get(int(phone.e164))
        if first is not None:
            return Duplicate(row.number, _shortened(cell), first)
    message = compose(row.cells)
    if not isinstance(phone, Phone) or message.problem:
        problems = [problem for problem in (phone, message.problem) if isinstance(problem, str)]
        return Bad(row.number, _shortened(cell), "; ".join(problems))
    seen[int(phone.e164)] = row.number
    size = message.size
    price = size.segments * rules.credits_per_segment
    return Good(row.number, phone.e164, phone.country, message.text, size.encoding, size.segments, price)


def _phone(cell: str, rules: Rules) -> Phone | str:
    """Return the number, or what is wrong with it."""
    try:
        phone = phones.parse(cell, rules.country)
    except BadNumber as error:
        return str(error)
    return country_problem(phone, rules) or phone


def country_problem(phone: Phone, rules: Rules) -> str | None:
    """Say who can open a country that the team may not text; None where it may."""
    if rules.countries is None or phone.country in rules.countries:
        return None
    name = phones.country_name(phone.country)
    return f"{name} is not among the countries your team may text; an operator can open it"


def _composer(text: str, headers: Sequence[str], rules: Rules) -> _Compose:
    """Prepare the text once for all rows."""
    pieces = placeholders.split(text)
    if len(pieces) == 1:
        size = measure(text)
        same = _Message(None, size, _length_problem(text, size, rules))
        return lambda _cells: same
    columns = placeholders.match(pieces[1::2], headers)
    sources = [columns.get(name, -1) for name in pieces[1::2]]
    return lambda cells: _filled(pieces, sources, cells, rules)


def _filled(pieces: list[str], sources: list[int], cells: Sequence[str], rules: Rules) -> _Message:
    filled = pieces.copy()
    filled[1::2] = [_value(cells[source]) if source >= 0 else "" for source in sources]
    text = "".join(filled)
    size = measure(text)
    if not all(filled[1::2]):
        return _Message(text, size, _missing(pieces[1::2], filled[1::2]))
    return _Message(text, size, _length_problem(text, size, rules))


def _value(cell: str) -> str:
    """Return a cell as it goes into a text: outer blanks and control characters dropped, a tab becomes a space."""
    cell = cell.strip()
    return cell if cell.isprintable() else _CONTROL.sub("", clean(cell).replace("\t", " ")).strip()


def _missing(names: Sequence[str], values: Sequence[str]) -> str:
    empty = dict.fromkeys(f"(({name}))" for name, value in zip(names, values, strict=True) if not value)
    return f"There is no value for {', '.join(empty)}: fill in the row"


def _length_problem(text: str, size: Measure, rules: Rules) -> str | None:
    if not text.strip():
        return "The message is empty"
    if size.segments <= rules.max_segments:
        return None
    return (
        f"The message becomes {size.characters:,} characters ({size.segments} SMS); at most {rules.max_segments}: "
        "shorten the text or the values in the row"
    )


def check_text(text: str, headers: Sequence[str], rules: Rules) -> None:
    """Refuse, with `BadText`, a text that no row could make sendable."""
    if not text.strip():
        raise BadText("empty", "The text is empty: write what to send")
    if _UNSENDABLE.search(text):
        raise BadText("unsendable", "The text contains a character that can't be sent (NUL): type it again")
    _refuse_placeholders(placeholders.names(text), headers)
    literal = "".join(placeholders.split(clean(text))[::2])
    size = measure(literal)
    if size.segments > rules.max_segments:
        sentence = (
            f"The text has {size.characters:,} characters ({size.segments} SMS); at most {rules.max_segments} SMS"
        )
        raise BadText("too_long", f"{sentence}: shorten it")


def _refuse_placeholders(names: Sequence[str], headers: Sequence[str]) -> None:
    known = placeholders.match(names, headers)
    unknown = ", ".join(f"(({name}))" for name in names if name not in known)
    columns = ", ".join(header for header in headers if header)
    if unknown and not columns:
        raise BadText("unknown_placeholder", f"Nothing can fill {unknown}: take it out, or send to a file with columns")
    if unknown:
        raise BadText("unknown_placeholder", f"No column is called {unknown}; the columns are: {columns}")
    keys = [placeholders.key(header) for header in headers]
    twice = ", ".join(f"(({name}))" for name in names if keys.count(placeholders.key(name)) > 1)
    if twice:
        raise BadText("column_twice", f"More than one column could fill {twice}: rename all but one of: {columns}")


def _shortened(cell: str) -> str:
    return cell if len(cell) <= _SHOWN_CHARACTERS else cell[:_SHOWN_CHARACTERS] + "…"
