"""What a text from a phone asks for: no more texts, texts again, help, or something that a person should see."""

import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum

STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "ARRET"})
"""As the whole text."""
FIRST = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE"})
"""As the first word it is enough."""
START = frozenset({"START", "YES", "UNSTOP"})
HELP = frozenset({"HELP", "INFO"})


class Meaning(StrEnum):
    """What a text means for the list of those who want none."""

    STOP = "stop"
    START = "start"
    HELP = "help"
    MAYBE = "maybe"
    """It holds such a word among others: a person should look."""
    OTHER = "other"


def meaning_of(text: str, own_words: Iterable[str] = ()) -> Meaning:
    """Read a text; `own_words` are a team's own words for "no more", each as the whole text."""
    words = _words(text)
    whole, first = "".join(words), words[0] if words else ""
    own = {"".join(_words(word)) for word in own_words} - {""}
    if whole in STOP or whole in own or first in FIRST:
        return Meaning.STOP
    if whole in START:
        return Meaning.START
    if whole in HELP:
        return Meaning.HELP
    return Meaning.MAYBE if "STOP" in whole or any(word in words for word in own) else Meaning.OTHER


def own_words(written: str) -> list[str]:
    """Read a team's own words, parted by commas."""
    return [word.strip() for word in written.split(",") if word.strip()]


def _words(text: str) -> list[str]:
    """Return the words of a text in capitals, without accents and without the points and dashes inside them."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    inside = re.sub(r"(?<=\w)[.'’_-](?=\w)", "", plain)  # S.T.O.P, opt-out
    return re.sub(r"[\W_]+", " ", inside).upper().split()
