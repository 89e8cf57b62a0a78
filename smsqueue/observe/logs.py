"""Logs: one line per event, to standard error and to a file, for people or as JSON."""

import json
import logging
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from logging.handlers import WatchedFileHandler
from pathlib import Path
from typing import Any, TextIO

from smsqueue.core.errors import SmsQueueError
from smsqueue.observe.redaction import escape, scrub
from smsqueue.observe.words import level_of, say
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
    handlers: tuple[logging.Handler, ...] = (_Stream(stream or sys.stderr), _open(file))
    handlers[0].setLevel(logging.WARNING if quiet else logging.NOTSET)
    stop()
    for handler in handlers:
        handler.setFormatter(formatter)
        logging.root.addHandler(handler)
    for name, level in LEVELS.items():
        logging.getLogger(name).setLevel(logging.DEBUG if verbose else level)
    _undo.append(events.on(write))


def stop() -> None:
    """Take back what `start` did."""
    for handler in [each for each in logging.root.handlers if isinstance(each, _Stream | _File)]:
        logging.root.removeHandler(handler)
        handler.close()
    while _undo:
        _undo.pop()()


def write(event: str, facts: dict[str, Any]) -> None:
    """Log one event of the program."""
    level = level_of(event)
    if logger.isEnabledFor(level):
        clean = {name: scrub(value) if isinstance(value, str) else value for name, value in facts.items()}
        extra = {"event": event, "facts": clean}
        # Not by `logger.log`: it would look for the caller, which is always the same and never shown.
        logger.handle(logger.makeRecord(logger.name, level, __file__, 0, "%s", (say(event, clean),), None, extra=extra))


class _Stream(logging.StreamHandler[TextIO]):
    """Ours, so that `stop` knows it."""


class _File(WatchedFileHandler):
    """Ours; opened anew when logrotate has moved the file away (several processes write to it)."""


def _open(file: Path) -> _File:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        return _File(file, encoding="utf-8")
    except OSError as error:
        raise CannotLog(file, error.strerror or str(error)) from error


class TextFormatter(logging.Formatter):
    """`2026-11-25 00:53:12.345 INFO job.failed: job 12 (sms.send-bulk) failed after 3 tries: …`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record as one line, and its traceback below it, each line behind a bar."""
        event = getattr(record, "event", record.name)
        moment = f"{_second(int(record.created))}.{record.msecs:03.0f}"
        line = escape(f"{moment} {record.levelname} {event}: {_message(record)}")
        lines = _traceback(record)
        return "\n".join([line, *(f"  | {escape(each)}" for each in lines)]) if lines else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, event, message and the event's facts."""

    def format(self, record: logging.LogRecord) -> str:
        """Write the record as one line."""
        content = {
            **getattr(record, "facts", {}),
            "time": _time(record).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", record.name),
            "message": escape(_message(record)),
        }
        if lines := _traceback(record):
            content["traceback"] = "\n".join(lines)
        return json.dumps(content, ensure_ascii=False, default=str)


def _time(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


@lru_cache(maxsize=4)
def _second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%d %H:%M:%S}"


def _message(record: logging.LogRecord) -> str:
    # An event's facts are clean already, and its ids must not be taken for numbers.
    return record.getMessage() if hasattr(record, "facts") else scrub(record.getMessage())


def _traceback(record: logging.LogRecord) -> list[str]:
    if not record.exc_info or record.exc_info[1] is None:
        return []
    return scrub("".join(traceback.format_exception(record.exc_info[1])).rstrip()).split("\n")
