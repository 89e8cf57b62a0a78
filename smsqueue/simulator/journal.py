"""The log that exactly-once is judged from: one JSON line per message taken, on the disk before the answer leaves."""

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

Waiting = tuple[bytes, asyncio.Future[None]]
ENCODE = json.JSONEncoder(separators=(",", ":")).encode
KEYS = frozenset({"time", "reference", "to", "attempt", "segments"})


class BadLog(Exception):
    """The log file cannot be used; its text is a full sentence."""


class Journal:
    """Two append-only files: messages taken (each line synced to the disk) and, beside it, calls refused (not synced).

    Many messages share one sync: what arrives while a sync runs waits for the next one.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.refused_path = path.with_name(f"{path.stem}.refused{path.suffix}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._taken, self._size = _open_whole(path)
            self._refused, _ = _open_whole(self.refused_path)
        except OSError as error:
            raise BadLog(f"The log {path} cannot be written ({error.strerror}): choose another with --log.") from error
        self._waiting: SimpleQueue[Waiting | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def taken(self) -> Iterator[dict[str, Any]]:
        """The lines of messages taken, oldest first."""
        return _lines(self.path)

    def refused(self) -> Iterator[dict[str, Any]]:
        """The lines of calls refused, oldest first."""
        return _lines(self.refused_path)

    async def take(self, entry: dict[str, Any]) -> None:
        """Return when the line is on the disk; raise OSError when it is surely not in the file."""
        loop = asyncio.get_running_loop()
        if self._thread is None:
            self._thread = threading.Thread(target=self._commit_groups, args=(loop,), name="journal")
            self._thread.start()
        stored = loop.create_future()
        self._waiting.put((_line(entry), stored))
        await stored

    def refuse(self, entry: dict[str, Any]) -> None:
        """Note a call that was not taken; it outlives a kill of the process, not of the machine."""
        os.write(self._refused, _line(entry))

    def close(self) -> None:
        """Close both files; what was taken is already on the disk."""
        if self._thread:
            self._waiting.put(None)
            self._thread.join()
        os.close(self._taken)
        os.close(self._refused)

    def _commit_groups(self, loop: asyncio.AbstractEventLoop) -> None:
        """The thread that writes and syncs: everything that has queued up meanwhile in one go."""
        goes_on = True
        while goes_on:
            waiting = [self._waiting.get()]
            while not self._waiting.empty():
                waiting.append(self._waiting.get())
            group = [each for each in waiting if each]
            goes_on = len(group) == len(waiting)
            error = self._write(b"".join(line for line, _ in group))
            if not loop.is_closed():
                loop.call_soon_threadsafe(_settle, group, error)

    def _write(self, data: bytes) -> OSError | None:
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._taken, view) :]
            os.fsync(self._taken)
        except OSError as error:
            os.ftruncate(self._taken, self._size)  # half a group would be read as taken
            return error
        self._size += len(data)
        return None


def _settle(group: list[Waiting], error: OSError | None) -> None:
    for _, stored in group:
        if stored.done():
            continue
        if error:
            stored.set_exception(error)
        else:
            stored.set_result(None)


def _line(entry: dict[str, Any]) -> bytes:
    return ENCODE(entry).encode() + b"\n"


def _open_whole(path: Path) -> tuple[int, int]:
    """Open for appending; a last line torn by a kill was never answered, so it goes."""
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    size = end = os.fstat(file).st_size
    while end:
        start = max(0, end - 65_536)
        newline = os.pread(file, end - start, start).rfind(b"\n")
        if newline >= 0:
            end = start + newline + 1
            break
        end = start
    if end != size:
        os.ftruncate(file, end)
    return file, end


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            entry = _entry(line)
            if entry is None:
                raise BadLog(f"Line {number} of {path} is not a line of this log: choose another with --log.")
            yield entry


def _entry(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) and entry.keys() >= KEYS else None
