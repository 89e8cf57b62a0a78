"""Logs: one line per event, to standard error and to a file, for people or as JSON."""

import json
import logging
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache, partial
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, TextIO

from smsqueue.core.errors import SmsQueueError
from smsqueue.observe.redaction import escape, scrub
from smsqueue.observe.words import QUIET, level_of, say
from smsqueue.queue import events

logger = logging.getLogger("smsqueue.events")
LEVELS = {"smsqueue": logging.INFO, "alembic.runtime.migration": logging.INFO}
"""Everybody else is heard from warnings on."""
_undo: list[Callable[[], None]] = []


class CannotLog(SmsQueueError):
    """The log file cannot be written."""

    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(f"SMS_LOG_FILE ({file}) cannot be written: {reason}; name another file or allow writing there")


def start(
    log_format: str, file: Path, *, verbose: bool = False, quiet: bool = False, stream: TextIO | None = None
) -> None:
    """Write events and everybody's log records to `stream` (standard error) and `file` from now on.

    `verbose` adds each job of a batch, `quiet` leaves only warnings on `stream`. Called again, it replaces what it
    did before. Raises CannotLog.
    """
    formatter = JsonFormatter() if log_format == "json" else TextFormatter()
    outlets: tuple[Outlet, ...] = (_Stream(stream or sys.stderr), _open(file))
    outlets[0].setLevel(logging.WARNING if quiet else logging.NOTSET)
    stop()
    for outlet in outlets:
        outlet.setFormatter(formatter)
        logging.root.addHandler(outlet)
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else level)
    _undo.append(events.on(partial(write, formatter, outlets), but=() if verbose else QUIET))


def stop() -> None:
    """Take back what `start` did."""
    for handler in [each for each in logging.root.handlers if isinstance(each, _Stream | _File)]:
        logging.root.removeHandler(handler)
        handler.close()
    while _undo:
        _undo.pop()()


def write(formatter: "LineFormatter", outlets: Sequence["Outlet"], event: str, facts: dict[str, Any]) -> None:
    """Log one event of the program.

    Not as a record of `logging`, which costs four times as much: workers finish thousands of jobs a second.
    """
    level = level_of(event)
    if not logger.isEnabledFor(level):
        return
    clean = {name: scrub(value) if isinstance(value, str) else value for name, value in facts.items()}
    line = formatter.line(Said(time.time(), level, event, say(event, clean)), clean)
    for outlet in outlets:
        if level >= outlet.level:
            outlet.put(line)


class _Stream(logging.StreamHandler[TextIO]):
    """Where lines go; a line that cannot be written stops nobody."""

    def put(self, line: str) -> None:
        """Write a line that is ready."""
        with self.lock or nullcontext(), suppress(OSError, ValueError):
            self.stream.write(f"{line}\n")
            self.stream.flush()


class _File(WatchedFileHandler):
    """Opened anew when logrotate has moved the file away (several processes write to it)."""

    def put(self, line: str) -> None:
        """Write a line that is ready."""
        with self.lock or nullcontext(), suppress(OSError, ValueError):
            self.reopenIfNeeded()
            self.stream = self.stream or self._open()
            self.stream.write(f"{line}\n")
            self.stream.flush()


Outlet = _Stream | _File


def _open(file: Path) -> _File:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return _File(file, encoding="utf-8")
    except OSError as error:
        raise CannotLog(file, error.strerror or str(error)) from error


@dataclass(frozen=True, slots=True)
class Said:
    """What every line has."""

    moment: float
    level: int
    event: str
    message: str


class TextFormatter(logging.Formatter):
    """`2026-11-25 00:53:12.345 INFO job.failed: job 12 (sms.send-bulk) failed after 3 tries: …`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write somebody's record as one line, and its traceback below it, each line behind a bar."""
        return "\n".join([self.line(_said(record), {}), *(f"  | {escape(each)}" for each in _traceback(record))])

    def line(self, said: Said, _facts: Mapping[str, Any]) -> str:
        """Write one line."""
        seconds, part = divmod(said.moment, 1)
        level = logging.getLevelName(said.level)
        return escape(f"{_second(int(seconds))}.{int(part * 1000):03} {level} {said.event}: {said.message}")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, message and the event's facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Write somebody's record as one line."""
        lines = _traceback(record)
        return self.line(_said(record), {}, **({"traceback": "\n".join(lines)} if lines else {}))

    def line(self, said: Said, facts: Mapping[str, Any], **more: str) -> str:
        """Write one line."""
        content = {
            **facts,
            "time": datetime.fromtimestamp(said.moment, UTC).isoformat(timespec="milliseconds"),
            "level": logging.getLevelName(said.level).lower(),
            "event": said.event,
            "message": escape(said.message),
            **more,
        }
        return json.dumps(content, ensure_ascii=False, default=str)


LineFormatter = TextFormatter | JsonFormatter


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"


def _said(record: logging.LogRecord) -> Said:
    # Only here: an event's facts are clean already, and its ids must not be taken for numbers.
    return Said(record.created, record.levelno, record.name, scrub(record.getMessage()))


def _traceback(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[1] is None:
        return []
    return scrub("".join(traceback.format_exception(record.exc_info[1])).rstrip()).split("\n")
