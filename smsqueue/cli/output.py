"""Answers of commands: tables for people, JSON for scripts."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from smsqueue.observe.redaction import escape


def show_json(content: Any) -> None:
    """Print one JSON document."""
    click.echo(json.dumps(content, indent=2, ensure_ascii=False, default=str))


def show_table(heads: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """Print rows under their heads, numbers to the right; `empty` when there are none."""
    if not rows:
        click.echo(empty)
        return
    cells = [[cell(value) for value in row] for row in rows]
    widths = [max(len(line[index]) for line in [list(heads), *cells]) for index in range(len(heads))]
    right = [isinstance(value, int | float) for value in rows[0]]
    for line in [list(heads), *cells]:
        padded = (c.rjust(w) if r else c.ljust(w) for c, w, r in zip(line, widths, right, strict=True))
        click.echo("  ".join(padded).rstrip())


def count(number: int, thing: str) -> str:
    """Say how many: `1 row`, `2,000 rows`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def cell(value: object) -> str:
    """Write one value as tables do."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape(str(value))
