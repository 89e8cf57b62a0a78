"""Lists of recipients as people have them: a CSV file from anywhere, or numbers pasted into a box."""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice

from smsqueue.domain import sheets_columns
from smsqueue.domain.sheets_columns import looks_like_phone
from smsqueue.domain.sheets_decoding import MAX_BYTES, BadFile, Source, decode

__all__ = ["MAX_BYTES", "MAX_ROWS", "BadFile", "Row", "Sheet", "find_column", "guess_column", "read"]

MAX_ROWS = 100_000
_DELIMITERS = ",;\t|"
_SAMPLE_LINES = 200
_SAMPLE_ROWS = 100


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is not blank, with the number a spreadsheet shows for it; short ones are filled with empty cells."""

    number: int
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Sheet:
    """A list that was read; `rows` reads it again each time, so that it is never in memory as a whole."""

    encoding: str
    delimiter: str
    headers: list[str]
    has_header: bool
    count: int
    source: Source = field(repr=False)

    @property
    def rows(self) -> Iterator[Row]:
        """The rows of data, without the headings."""
        width = len(self.headers)
        for number, cells in islice(_records(self.source, self.delimiter), int(self.has_header), None):
            if len(cells) < width:
                cells.extend([""] * (width - len(cells)))
            yield Row(number, cells)


def read(content: bytes) -> Sheet:
    """Understand a file or a pasted list, whose text comes as UTF-8; raise `BadFile` with what to do about it."""
    source = decode(content)
    encoding = source.encoding
    numbers = _numbers_in_a_line(source)
    if numbers:
        source = Source("\n".join(numbers).encode(), "utf-8")
    delimiter = _delimiter(source)
    _, first = next(_records(source, delimiter), (0, []))
    if not first:
        raise BadFile("empty", "There are no recipients: the file or list is empty")
    count, width = _survey(source, delimiter)
    has_header = sheets_columns.is_heading(first)
    headers = [cell.strip() for cell in first] if has_header else [f"Column {_letter(index)}" for index in range(width)]
    _refuse_count(count - has_header, headers)
    return Sheet(encoding, delimiter, headers, has_header, count - has_header, source)


def guess_column(sheet: Sheet) -> int:
    """Return the column that most likely holds the numbers."""
    return sheets_columns.guess(sheet.headers, [row.cells for row in islice(sheet.rows, _SAMPLE_ROWS)])


def find_column(sheet: Sheet, name: str) -> int:
    """Return the column with this heading; raise `BadFile` that lists the columns when there is none."""
    return sheets_columns.find(sheet.headers, name)


def _refuse_count(count: int, headers: list[str]) -> None:
    if count == 0:
        only = ", ".join(headers)[:60]
        sentence = (
            f"The only row, “{only}”, holds no telephone number, so it was read as headings: add recipients below it"
        )
        raise BadFile("only_headings", sentence)
    if count > MAX_ROWS:
        raise BadFile(
            "too_many_rows", f"The list has {count:,} rows; at most {MAX_ROWS:,} can be sent to: split it in two"
        )


def _records(source: Source, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Number the records as a spreadsheet does: blank ones count, but are left out."""
    reader = csv.reader(source.lines(), delimiter=delimiter)
    number = 0
    try:
        for number, cells in enumerate(reader, start=1):
            if cells and (cells[0].strip() or any(map(str.strip, cells))):
                yield number, cells
    except csv.Error as error:
        sentence = f"A cell in row {number + 1:,} is too long to be read: a quotation mark may be missing at its end"
        raise BadFile("long_cell", sentence) from error


def _survey(source: Source, delimiter: str) -> tuple[int, int]:
    """Count the records that are not blank and the cells of the longest; refuse a quotation that has no end."""
    count = width = 0
    last: tuple[int, list[str]] = (0, [])
    for last in _records(source, delimiter):
        count += 1
        width = max(width, len(last[1]))
    if any("\n" in cell or "\r" in cell for cell in last[1]):
        _refuse_open_quotation(source, delimiter, last[0])
    return count, width


def _refuse_open_quotation(source: Source, delimiter: str, last: int) -> None:
    """Read the last record once more, strictly: without its end, a quotation swallows all rows that follow."""
    reader = csv.reader(source.lines(), delimiter=delimiter)
    for _ in islice(reader, last - 1):
        continue
    remaining = csv.reader(islice(source.lines(), reader.line_num, None), delimiter=delimiter, strict=True)
    try:
        for _ in remaining:
            continue
    except csv.Error as error:
        if "unexpected end of data" in str(error):
            sentence = f"A quotation mark in row {last:,} is never closed, so the row has no end: close or remove it"
            raise BadFile("unclosed_quote", sentence) from error


def _delimiter(source: Source) -> str:
    hint = source.separator_hint()
    if hint and hint in _DELIMITERS:
        return hint
    sample = list(islice(source.lines(), _SAMPLE_LINES))
    return max(_DELIMITERS, key=lambda delimiter: _fitness(sample, delimiter))


def _fitness(sample: list[str], delimiter: str) -> tuple[int, int, int]:
    """Weigh a delimiter: rows in which it lays a telephone number bare, rows as wide as the first, width."""
    try:
        records = [cells for cells in csv.reader(sample, delimiter=delimiter) if any(cells)]
    except csv.Error:
        return (0, 0, 0)
    if not records:
        return (0, 0, 0)
    width = len(records[0])
    same = sum(len(cells) == width for cells in records) if width > 1 else 0
    return (sum(any(map(looks_like_phone, cells)) for cells in records), same, width)


def _numbers_in_a_line(source: Source) -> list[str]:
    """Take a single line apart that is a list of numbers; empty when it is anything else."""
    lines = list(islice((line for line in source.lines() if line.strip()), 2))
    if len(lines) != 1:
        return []
    line = lines[0].strip()
    for separator in (r"[,;|\t]", r"\s+", r"(?<=\S)\s+(?=[+＋])"):
        parts = [part.strip(" \"'") for part in re.split(separator, line)]
        numbers = sum(map(looks_like_phone, parts))
        if numbers > 1 and 2 * numbers > len(parts):
            return [part for part in parts if part]
    return []


def _letter(index: int) -> str:
    """Name a column as spreadsheets do: A, B, …, Z, AA."""
    name = ""
    while index >= 0:
        index, letter = divmod(index, 26)
        name = chr(ord("A") + letter) + name
        index -= 1
    return name
