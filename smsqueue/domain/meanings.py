"""What a text from a phone asks for: no more texts, texts again, help, or something that a person should see."""

import re
import unicodedata
from collections.abc import Iterable
from enum import StrEnum

STOP = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT", "ARRET"})
"""As the whole text."""
FIRST = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE"})
"""As the first word it is enough."""
OF_LANGUAGES = {
    ("STOPP", "ABMELDEN"): "AT CH DE LI LU",
    ("ARRETER", "DESABONNER"): "BE CA CH FR LU MC",
    ("BAJA",): "AR BO CL CO CR CU DO EC ES GQ GT HN MX NI PA PE PR PY SV UY VE",
    ("PARAR", "SAIR"): "AO BR MZ PT",
    ("ANNULLA",): "CH IT SM",
    ("AFMELDEN",): "BE NL SR",
    ("WYPISZ",): "PL",
    ("AFMELD",): "DK",
    ("STOPP", "AVMELD"): "NO",
    ("STOPP", "AVSLUTA"): "FI SE",
    ("LOPETA",): "FI",
}
"""As the whole text, beside those above, for teams in these countries.

No list of a gateway has them: AWS and Twilio name English words, and ARRET for Canada
(docs.aws.amazon.com/sms-voice/latest/userguide/keywords-required.html,
www.twilio.com/docs/messaging/tutorials/advanced-opt-out, www.twilio.com/docs/proxy/opt-out-keywords). So these are the
plain words of each language, and a team adds its own. There are none for START: not to be texted is the better mistake.
"""
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


def words_of_country(country: str) -> list[str]:
    """Return the words for "no more" in the languages of a country, as ISO code; none but the usual: an empty list."""
    return sorted({word for words, where in OF_LANGUAGES.items() if country in where.split() for word in words})


def own_words(written: str) -> list[str]:
    """Read a team's own words, parted by commas."""
    return [word.strip() for word in written.split(",") if word.strip()]


def _words(text: str) -> list[str]:
    """Return the words of a text in capitals, without accents and without the points and dashes inside them."""
    plain = "".join(each for each in unicodedata.normalize("NFKD", text) if not unicodedata.combining(each))
    inside = re.sub(r"(?<=\w)[.'’_-](?=\w)", "", plain)  # S.T.O.P, opt-out
    return re.sub(r"[\W_]+", " ", inside).upper().split()
