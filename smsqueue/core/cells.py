"""Cells of a CSV that a spreadsheet reads and cannot be made to calculate."""

import csv
import io
import re

BOM = "\ufeff"
"""Goes before the first line: without it Excel takes UTF-8 for cp1252."""
_PHONE = re.compile(r"\+([0-9][0-9 ()./-]*)")
_FORMULA = "=+-@\t\r\n＝＋－＠"


def line(*cells: object) -> str:
    """Write one line; texts of people and gateways are made `harmless` by whoever calls."""
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerow(cells)
    return buffer.getvalue()


def harmless(cell: str) -> str:
    """Keep a spreadsheet from taking a cell for a formula; a number loses its plus, which we read back all the same."""
    phone = _PHONE.fullmatch(cell)
    if phone:
        return phone[1]
    return f"'{cell}" if cell.startswith(tuple(_FORMULA)) else cell
