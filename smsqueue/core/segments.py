"""How many SMS a text becomes: GSM-7 or UCS-2, counted by filling parts (3GPP TS 23.038 and 23.040).

`web/static/segments.js` follows the same rules; `tests/vectors/segments.json` holds both to them.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

from smsqueue.core.alphabet import GSM_BASIC, GSM_EXTENSION, clean
from smsqueue.core.lookalikes import Costly, costly

__all__ = ["Costly", "Encoding", "Measure", "clean", "costly", "measure"]

_ONLY_BASIC = re.compile(f"[{re.escape(GSM_BASIC)}]*")
_ONLY_GSM = re.compile(f"[{re.escape(GSM_BASIC + GSM_EXTENSION)}]*")
_EXTENSION = re.compile(f"[{re.escape(GSM_EXTENSION)}]")
_TWO_UNITS = re.compile("[\ud800-\udfff\U00010000-\U0010ffff]")


class Encoding(StrEnum):
    """The alphabet in which a text travels."""

    GSM7 = "gsm-7"
    UCS2 = "ucs-2"


# units that fit when the text is one SMS, and in each part of a longer one
_LIMITS = {Encoding.GSM7: (160, 153), Encoding.UCS2: (70, 67)}


@dataclass(frozen=True, slots=True)
class Measure:
    """The size of a text: septets or UTF-16 units, the SMS they fill, and the units left in the last of these."""

    encoding: Encoding
    units: int
    segments: int
    characters: int
    left: int


def measure(text: str) -> Measure:
    """Count the segments of a text; an empty text has none."""
    text = clean(text)
    if _ONLY_BASIC.fullmatch(text):
        return _even(Encoding.GSM7, len(text), len(text))
    if _ONLY_GSM.fullmatch(text):
        return _with_extensions(text)
    if _TWO_UNITS.search(text):
        return _with_pairs(text)
    return _even(Encoding.UCS2, len(text), len(text))


def _even(encoding: Encoding, units: int, characters: int) -> Measure:
    """Measure a text that may be split anywhere."""
    single, part = _LIMITS[encoding]
    if units <= single:
        return Measure(encoding, units, 1 if units else 0, characters, single - units)
    return Measure(encoding, units, -(-units // part), characters, -units % part)


def _with_extensions(text: str) -> Measure:
    septets = _EXTENSION.sub("\x1b\\g<0>", text)
    single, part = _LIMITS[Encoding.GSM7]
    if len(septets) <= single:
        return _even(Encoding.GSM7, len(septets), len(text))
    start = segments = 0
    while start < len(septets):
        last, start = start, start + part
        if septets[start - 1 : start] == "\x1b":  # the character of this escape would open the next part
            start -= 1
        segments += 1
    return Measure(Encoding.GSM7, len(septets), segments, len(text), last + part - len(septets))


def _with_pairs(text: str) -> Measure:
    units = text.encode("utf-16-be", "surrogatepass")
    total = len(units) // 2
    single, part = _LIMITS[Encoding.UCS2]
    if total <= single:
        return _even(Encoding.UCS2, total, len(text))
    start = segments = 0
    while start < total:
        last, start = start, start + part
        if start < total and _is_pair(units[2 * start - 2 : 2 * start + 2]):
            start -= 1
        segments += 1
    return Measure(Encoding.UCS2, total, segments, len(text), last + part - total)


def _is_pair(units: bytes) -> bool:
    """Tell whether these two UTF-16 units are the halves of one character."""
    return units[0] & 0xFC == 0xD8 and units[2] & 0xFC == 0xDC
