"""The last net: what must not be in a log or a stored traceback is taken out, wherever it came from."""

import re

_UUID = r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"
_INTERNATIONAL = r"\+[ (]{0,2}\d(?:[\s().\-/\u00a0]{0,2}\d){6,14}"
_RUN = r"(?:(?<![\w.])|(?<=%2[Bb]))\d{9,15}(?!\w)"  # in an address, a plus is %2B
# A uuid is matched first, so that a run of digits inside one is no number.
_NUMBER = re.compile(f"({_UUID})|{_INTERNATIONAL}|{_RUN}")
_ID = re.compile(r"(?:\bid|_id|\bids|\bpid)[\"']?[ =:]{1,2}\Z", re.IGNORECASE)
_VALUES = (
    (re.compile(r"\[parameters: .*"), "[parameters: hidden]"),  # SQLAlchemy, one line
    (re.compile(r"(?m)^(\s*)DETAIL: .*"), r"\1DETAIL: hidden"),  # PostgreSQL
    (re.compile(r"Duplicate entry '.*?' for key"), "Duplicate entry 'hidden' for key"),  # MariaDB
)
_TOKEN = re.compile(r"(/callbacks/[^\s/?]+/[^\s/?]+/)[\w-]+")
"""What proves that a gateway may call this address; the one for texts that come in holds for good."""
_HARMLESS = re.compile(r"[a-z._-]{0,60}\Z")
"""A word like a job's kind, in which nothing of the above can be; most facts are such words."""
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def scrub(text: str) -> str:
    """Hide telephone numbers but for the last three digits, tokens of callbacks, and values in databases' errors."""
    if _HARMLESS.match(text):
        return text
    for pattern, instead in _VALUES:
        text = pattern.sub(instead, text)
    return _NUMBER.sub(_hide, _TOKEN.sub(r"\1hidden", text))


def escape(text: str) -> str:
    r"""Write control characters as `\n`, `\x1b` …, so that nobody's input can look like a line of its own."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _hide(found: re.Match[str]) -> str:
    if found[1] or _ID.search(found.string, max(0, found.start() - 8), found.start()):
        return found[0]
    hidden = sum(character.isdigit() for character in found[0]) - 3
    return re.sub(r"\d", "•", found[0], count=hidden)
