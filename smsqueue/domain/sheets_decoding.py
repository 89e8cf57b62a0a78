"""From bytes to lines of text: which encoding, and whether it is text at all."""

import codecs
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TextIO

from smsqueue.core.errors import SmsQueueError

MAX_BYTES = 10 * 1024 * 1024

_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_OTHER_FILES = {
    b"PK\x03\x04": "a workbook (XLSX, ODS) or a ZIP archive",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (XLS)",
    b"%PDF": "a PDF document",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x1f\x8b": "a compressed file",
    b"{\\rtf": "a word processor's document",
}
_SAMPLE = 8192
_CONTROL = bytes({*range(1, 9), *range(14, 26), *range(27, 32)})  # not tab, line ends and DOS's end of file
_SEPARATOR_HINT = re.compile(r"sep=(.)\r?\n?", re.IGNORECASE)  # Excel's own first line; it shows no row for it


class BadFile(SmsQueueError):
    """A file or a pasted list that cannot be read as recipients; `code` tells which trouble it is."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True, slots=True)
class Source:
    """Text in bytes that can be read line by line, again and again, without a second copy of it."""

    content: bytes
    encoding: str
    start: int = 0

    def lines(self) -> Iterator[str]:
        """Read from the first line on; ends of lines stay as they are."""
        stream = self._open()
        first = stream.readline()
        if first and not _SEPARATOR_HINT.fullmatch(first):
            yield first
        yield from stream

    def separator_hint(self) -> str | None:
        """Return the separator that the file itself names in a line `sep=;`."""
        found = _SEPARATOR_HINT.fullmatch(self._open().readline(16))
        return found[1] if found else None

    def _open(self) -> TextIO:
        stream = io.BytesIO(self.content)
        stream.seek(self.start)
        return io.TextIOWrapper(stream, self.encoding, newline="")


def decode(content: bytes) -> Source:
    """Find the encoding, and refuse what is empty, too big or no text."""
    for magic, kind in _OTHER_FILES.items():
        if content.startswith(magic):
            raise BadFile("binary", f"This is {kind}, not a text file: open it and save it as CSV, then upload that")
    if len(content) > MAX_BYTES:
        sentence = f"The file has {len(content):,} bytes; at most {MAX_BYTES:,} (10 MiB) can be read: split it in two"
        raise BadFile("too_big", sentence)
    source = _source(content)
    _refuse_nul(source)
    return source


def _source(content: bytes) -> Source:
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return _must_decode(Source(content, encoding, len(mark)))
    wide = _wide_encoding(content[:_SAMPLE])
    if wide:
        return _must_decode(Source(content, wide))
    sample = content[:_SAMPLE]
    if len(sample) - len(sample.translate(None, _CONTROL)) > len(sample) / 20:
        raise BadFile("binary", "This is not a text file: save the list as CSV, then upload that")
    plain = Source(content, "utf-8")
    return plain if _decodes(plain) else _must_decode(Source(content, "cp1252"))


def _wide_encoding(sample: bytes) -> str | None:
    """Recognise UTF-16 without a mark: lists are full of digits, and each of those has one zero byte."""
    low, high = sample[0::2].count(0), sample[1::2].count(0)
    enough = max(2, len(sample) // 5)  # two of five characters
    if high >= enough and high > 20 * low:
        return "utf-16-le"
    if low >= enough and low > 20 * high:
        return "utf-16-be"
    return None


def _must_decode(source: Source) -> Source:
    if not _decodes(source):
        sentence = "The characters of this file can't be read: save it as “CSV UTF-8”, then upload that"
        raise BadFile("unreadable", sentence)
    return source


def _decodes(source: Source) -> bool:
    decoder = codecs.getincrementaldecoder(source.encoding)()
    view = memoryview(source.content)[source.start :]
    try:
        for position in range(0, len(view), 65536):
            decoder.decode(view[position : position + 65536])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _refuse_nul(source: Source) -> None:
    if b"\0" not in source.content:
        return
    for number, line in enumerate(source.lines(), start=1):
        if "\0" in line:
            sentence = f"Line {number:,} contains a NUL character, so this is no clean text file: save it as CSV again"
            raise BadFile("nul", sentence)
