"""Characters that force the dearer alphabet, each with a cheaper look-alike where there is one.

Nothing here changes a text: the page offers, the person decides.
"""

import unicodedata
from dataclasses import dataclass

from smsqueue.core.alphabet import GSM_BASIC, GSM_EXTENSION, clean

# character: (name, replacement or None); web/static/segments.js carries the same table, a test compares them
TABLE: dict[str, tuple[str, str | None]] = {
    "’": ("curly apostrophe", "'"),
    "‘": ("opening single quote", "'"),
    "‚": ("low single quote", "'"),
    "“": ("opening double quote", '"'),
    "”": ("closing double quote", '"'),
    "„": ("low double quote", '"'),
    "«": ("opening guillemet", '"'),
    "»": ("closing guillemet", '"'),
    "‹": ("opening single guillemet", "'"),
    "›": ("closing single guillemet", "'"),
    "′": ("prime", "'"),
    "″": ("double prime", '"'),
    "`": ("backtick", "'"),
    "´": ("acute accent", "'"),
    "–": ("en dash", "-"),
    "—": ("em dash", "-"),
    "‐": ("hyphen", "-"),
    "‑": ("non-breaking hyphen", "-"),
    "−": ("minus sign", "-"),
    "…": ("ellipsis", "..."),
    "•": ("bullet", "*"),
    "·": ("middle dot", "."),
    "°": ("degree sign", " deg"),
    "©": ("copyright sign", "(c)"),
    "®": ("registered sign", "(R)"),
    "™": ("trade mark sign", "TM"),
    "×": ("multiplication sign", "x"),
    "÷": ("division sign", "/"),
    "\t": ("tab", " "),
    "\u00a0": ("non-breaking space", " "),
    "\u2009": ("thin space", " "),
    "\u202f": ("narrow non-breaking space", " "),
    "\u00ad": ("soft hyphen", ""),
    "\u200b": ("zero-width space", ""),
    "\u200c": ("zero-width non-joiner", None),  # carries meaning in Persian
    "\u200d": ("zero-width joiner", None),  # holds emoji together
    "\u2060": ("word joiner", ""),
    "\ufeff": ("byte order mark", ""),
    "\u200e": ("left-to-right mark", ""),
    "\u2028": ("line separator", "\n"),
    "\u2029": ("paragraph separator", "\n"),
    "Œ": ("ligature OE", "OE"),
    "œ": ("ligature oe", "oe"),
    "Ł": ("L with stroke", "L"),
    "ł": ("l with stroke", "l"),
    "Đ": ("D with stroke", "D"),
    "đ": ("d with stroke", "d"),
    "ı": ("dotless i", "i"),
    "ẞ": ("capital sharp s", "ß"),
}

_GSM = frozenset(GSM_BASIC + GSM_EXTENSION)


@dataclass(frozen=True, slots=True)
class Costly:
    """A character outside GSM-7, what people call it, and what could stand in its place (None: nothing)."""

    character: str
    name: str
    replacement: str | None


def costly(text: str) -> list[Costly]:
    """List each character that forces UCS-2, once, in the order of the text."""
    return [_explain(character) for character in dict.fromkeys(clean(text)) if character not in _GSM]


def _explain(character: str) -> Costly:
    if character in TABLE:
        return Costly(character, *TABLE[character])
    name = unicodedata.name(character, f"U+{ord(character):04X}")
    return Costly(character, name if name.startswith("U+") else name.lower(), _without_marks(character))


def _without_marks(character: str) -> str | None:
    """Return what is left without accents and the like, as far as GSM-7 has it: `ç` gives `c`."""
    plain = "".join(part for part in unicodedata.normalize("NFKD", character) if unicodedata.category(part)[0] != "M")
    kept = plain and _GSM.issuperset(plain) and (plain.strip() or unicodedata.category(character) == "Zs")
    return plain if kept else None
