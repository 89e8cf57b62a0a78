"""What the cells of a list look like: telephone numbers, headings, the column to send to."""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from smsqueue.domain.sheets_decoding import BadFile

_PHONE = re.compile(
    r"""[='"]*(?:tel:)?[+＋(]*\d(?:[\s().\-/\u2010-\u2015]*\d){6,16}(?:[.,]0)?[\s)'"]*""", re.IGNORECASE
)
_DATE = re.compile(r"\d{4}([./-])\d{1,2}\1\d{1,2}|\d{1,2}([./-])\d{1,2}\2\d{4}")
_EXCEL = re.compile(r"\d+(?:[.,]\d+)?E\+\d+", re.IGNORECASE)  # 4.47E+11: was a number before Excel changed it


def _words(text: str) -> list[str]:
    """Split into words, without case, accents and underscores."""
    folded = unicodedata.normalize("NFKD", text.casefold())
    return re.findall(r"\w+", "".join(each for each in folded if not unicodedata.combining(each)).replace("_", " "))


_MOBILE_WORDS = frozenset(
    _words(
        "mobile mobil cell cellphone handy handynummer mobilnummer mobilenumber gsm sms msisdn portable móvil celular "
        "cellulare komórka мобильный 手机 手机号 手机号码 携帯 携帯電話"
    )
)
_PHONE_WORDS = frozenset(
    _words(
        "phone phones phonenumber telephone tel téléphone telefon telefono teléfono telefone telefoon telefonnummer "
        "rufnummer puhelin telefonszám телефон 电话 电话号码 電話 電話番号"
    )
)
_NUMBER_WORDS = frozenset(_words("number numbers numéro número numero nummer numer recipient recipients to номер"))


def looks_like_phone(cell: str) -> bool:
    """Tell whether a cell could be meant as a telephone number, right or wrong."""
    text = cell.strip()
    return bool((_PHONE.fullmatch(text) and not _DATE.fullmatch(text)) or _EXCEL.fullmatch(text))


def is_heading(cells: Sequence[str]) -> bool:
    """Tell whether a first row names the columns.

    A mistyped number must not vanish as a heading, so a row in which any cell has many digits is data.
    """
    if any(map(looks_like_phone, cells)):
        return False
    return max(map(_rank, cells)) >= 2 or not any(map(_is_data, cells))


def _is_data(cell: str) -> bool:
    digits = sum(map(str.isdigit, cell))
    return digits >= 5 or (digits >= 3 and not any(map(str.isalpha, cell)))


def guess(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> int:
    """Return the column that most likely holds the numbers: by its cells first, then by its heading."""
    sample = list(rows)
    width = max([len(headers), *map(len, sample)])
    hits = [sum(looks_like_phone(row[index]) for row in sample if index < len(row)) for index in range(width)]
    ranks = [_rank(header) for header in headers] + [0] * (width - len(headers))
    most = [2 * hit >= len(sample) for hit in hits]
    return max(range(width), key=lambda index: (most[index], ranks[index], hits[index], -index))


def _rank(header: str) -> int:
    """Weigh a heading: 3 mobile, 2 telephone, 1 some number, 0 anything else."""
    words = _words(header)
    for rank, known in ((3, _MOBILE_WORDS), (2, _PHONE_WORDS), (1, _NUMBER_WORDS)):
        if not known.isdisjoint(words):
            return rank
    return 0


def find(headers: Sequence[str], name: str) -> int:
    """Return the column with this heading, whatever its case."""
    wanted = name.strip().casefold()
    found = [index for index, header in enumerate(headers) if header.casefold() == wanted]
    if len(found) == 1:
        return found[0]
    columns = ", ".join(headers)
    if found:
        raise BadFile("column_twice", f"{len(found)} columns are called “{name}”: rename all but one of: {columns}")
    raise BadFile("no_column", f"There is no column “{name}”; the columns are: {columns}")
