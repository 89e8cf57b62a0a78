"""The command that shows live what goes on."""

import os
import select
import signal
import sys
import termios
import time
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import FrameType

import click
from flask.cli import with_appcontext
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from smsqueue.cli.base import read, settings
from smsqueue.cli.output import cell, show_table
from smsqueue.db import first_line
from smsqueue.domain.gateway_lines import judge
from smsqueue.domain.jobs import QUEUES
from smsqueue.observe.redaction import escape, scrub
from smsqueue.queue import top
from smsqueue.queue.dispatch import when
from smsqueue.queue.history import Pace
from smsqueue.queue.monitor import QueueLine, WorkerLine
from smsqueue.queue.stops import Stops
from smsqueue.queue.top import MINUTES, Picture

BARS = " ▁▂▃▄▅▆▇█"
SHOWN_WORKERS = 20
NO_PACE = Pace("", 0, 0, 0, 0.0, 0.0, 0.0, (0,) * MINUTES)
Rows = Sequence[Sequence[object]]
Section = tuple[Sequence[str], Rows, str]
"""Heads, rows, and what is said when there are none."""


@click.command("top")
@click.option("--interval", default=1.0, type=click.FloatRange(0.1, 3600), show_default=True, help="Seconds.")
@click.option("--once", is_flag=True, help="Print it once, as plain text; so it is without a terminal, too.")
@with_appcontext
def top_command(interval: float, once: bool) -> None:
    """Show queues, workers and running jobs live; q or Ctrl-C ends it.

    Rates are those that workers have written down; full queues are counted up to 1,000 only, so that looking costs
    the database next to nothing.

    \b
    Examples:
      flask sms top
      flask sms top --once

    Exit codes: 0 shown, 1 the database does not answer, 2 wrong options.
    """
    if once or not (sys.stdin.isatty() and sys.stdout.isatty()):
        _print(_look())
    else:
        _live(interval)


def _look() -> Picture:
    names = settings().gateways_in_use

    def look(session: Session) -> Picture:
        picture = top.look(session, QUEUES)
        return replace(picture, status=judge(session, picture.status, names))

    return read(look)


def _live(interval: float) -> None:
    stops = Stops()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, partial(_on_signal, stops))
    shown: RenderableType = _rendered(_look())
    with _keys(), Live(shown, console=Console(), screen=True, auto_refresh=False) as live:
        try:
            while not _is_told_to_end(stops, interval):
                live.update(_latest(), refresh=True)
        except KeyboardInterrupt:
            return


def _on_signal(stops: Stops, number: int, _frame: FrameType | None) -> None:
    """Ask for the end; asked once more, do not wait for what the database answers.

    Not by an exception at once: raised within a callback of the garbage collector it would be lost.
    """
    if stops.reason is not None:
        raise KeyboardInterrupt
    stops.request(f"signal {signal.Signals(number).name}")


def _latest() -> RenderableType:
    try:
        return _rendered(_look())
    except DBAPIError as error:
        return Text(f"The database does not answer: {scrub(first_line(error))}", style="bold red")


@contextmanager
def _keys() -> Iterator[None]:
    """Hand over each key at once, and leave the terminal as it was."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


def _is_told_to_end(stops: Stops, seconds: float) -> bool:
    """Wait; say whether a signal, q or the end of all keys came meanwhile."""
    ends = time.monotonic() + seconds
    while stops.reason is None and (left := ends - time.monotonic()) > 0:
        if sys.stdin in select.select([sys.stdin, stops], [], [], left)[0]:
            keys = os.read(sys.stdin.fileno(), 64)
            if not keys or b"q" in keys.lower():
                return True
    return stops.reason is not None


def _print(picture: Picture) -> None:
    click.echo(escape(_headline(picture)))
    for heads, rows, empty in _sections(picture):
        click.echo()
        show_table(heads, rows, empty=empty)


def _rendered(picture: Picture) -> RenderableType:
    style = "bold green" if picture.status.healthy else "bold red"
    parts: list[RenderableType] = [Text(escape(_headline(picture)), style=style)]
    for heads, rows, empty in _sections(picture):
        parts += [Text(), _table(heads, rows) if rows else Text(empty, style="dim")]
    return Group(*parts, Text("\nq ends", style="dim"))


def _table(heads: Sequence[str], rows: Rows) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head, value in zip(heads, rows[0], strict=True):
        table.add_column(head, justify="right" if isinstance(value, int | float) else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell(value)) for value in row))
    return table


def _headline(picture: Picture) -> str:
    status, at = picture.status, when(picture.moment)
    advice = f" (try: {status.advice})" if status.advice else ""
    return f"{at:%H:%M:%S} UTC  {status.headline}{advice}"


def _sections(picture: Picture) -> tuple[Section, ...]:
    status = picture.status
    queues = [_queue(line, picture.paces.get(line.name, NO_PACE)) for line in status.queues]
    crew = [_worker(line) for line in status.workers if line.state == "running"][:SHOWN_WORKERS]
    running = [
        (str(job.id), job.kind, job.queue, str(job.worker_id), job.attempts, round(job.seconds, 1))
        for job in picture.running
    ]
    heads = ("Queue", "Waiting", "Delayed", "Running", "Oldest s", "Done/min", "Failed", "Wait s", "Run s")
    return (
        ((*heads, f"Last {MINUTES} min", "Paused"), queues, "There is no queue."),
        (
            ("Worker", "Host", "Pid", "Queues", "State", "Wake-up", "Threads", "MiB", "Beat s", "Jobs"),
            crew,
            "No worker.",
        ),
        (("Job", "Kind", "Queue", "Worker", "Try", "For s"), running, "No job is in a worker's hands."),
    )


def _queue(line: QueueLine, pace: Pace) -> Sequence[object]:
    return (
        line.name,
        *(line.shown(name) for name in ("waiting", "delayed", "reserved")),
        None if line.oldest_wait_seconds is None else round(line.oldest_wait_seconds, 1),
        pace.last,
        pace.failed,
        round(pace.wait_seconds, 3),
        round(pace.run_seconds, 3),
        _bars(pace.done_by_minute),
        line.pause and line.pause.words(),
    )


def _bars(numbers: Sequence[int]) -> str:
    """Draw numbers as bars, the largest as high as can be."""
    most = max(numbers) or 1
    return "".join(BARS[-(-number * (len(BARS) - 1) // most)] for number in numbers)


def _worker(line: WorkerLine) -> Sequence[object]:
    return (
        str(line.id),
        line.host,
        str(line.pid),
        line.queues,
        "paused" if line.is_paused else "running",
        line.wakeup,
        line.threads,
        line.memory_mib,
        round(line.heartbeat_age_seconds, 1),
        line.jobs_done,
    )
