"""One table of the file: values are taken out of it by name and kind, and what is left over is a mistake."""

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

from smsqueue.declaration.parts import Condition, Conditions, Where

LONGEST_PATTERN = 200
DEEPEST = 8
PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
PLACEHOLDERS = {
    "to",
    "to_digits",
    "from",
    "text",
    "reference",
    "callback_url",
    "encoding",
    "segments",
    "validity",
}
PATH = re.compile(r"[\w-]+(\.[\w-]+){0,7}")


class Section:
    """A table with its name; mistakes are collected, not raised, so that all are told at once."""

    def __init__(self, name: str, values: Mapping[str, Any], tell: Callable[[str, str], None]) -> None:
        self.name = name
        self._left = dict(values)
        self._tell = tell

    def wrong(self, key: str, verdict: str) -> None:
        """Note a mistake at a key."""
        self._tell(f"{self.name}.{key}".strip("."), verdict)

    def text(self, key: str, default: str = "", *choices: str) -> str:
        """Take a text, one of `choices` if there are any."""
        found = self._left.pop(key, default)
        if not isinstance(found, str) or (choices and found not in choices):
            self.wrong(key, f"must be {' or '.join(choices) if choices else 'a text'}")
            return default
        return found

    def template(self, key: str, secrets: Mapping[str, str]) -> str:
        """Take a text with placeholders."""
        found = self.text(key)
        self.check(key, found, secrets)
        return found

    def texts(self, key: str, secrets: Mapping[str, str] | None = None) -> dict[str, str]:
        """Take a table of texts; with placeholders where `secrets` are given."""
        found = self._table(key)
        for name, value in found.items():
            if not isinstance(value, str) or "\r" in value or "\n" in value or "\0" in value:
                self.wrong(f"{key}.{name}", "must be a text of one line")
            elif secrets is not None:
                self.check(f"{key}.{name}", value, secrets)
        return {name: value for name, value in found.items() if isinstance(value, str)}

    def tree(self, key: str, secrets: Mapping[str, str], depth: int = 0, value: Any = None) -> Any:
        """Take a JSON value whose texts may have placeholders."""
        found = self._left.pop(key, None) if depth == 0 else value
        if depth > DEEPEST:
            self.wrong(key, f"must not be deeper than {DEEPEST}")
        elif isinstance(found, str):
            self.check(key, found, secrets)
        elif isinstance(found, dict | list):
            for each in found.values() if isinstance(found, dict) else found:
                self.tree(key, secrets, depth + 1, each)
        return found

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """Take a number."""
        found = self._left.pop(key, default)
        if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high:
            self.wrong(key, f"must be a number from {low:g} to {high:g}")
            return default
        return found

    def path(self, key: str) -> str:
        """Take a dotted path into JSON."""
        found = self.text(key)
        if found and not PATH.fullmatch(found):
            self.wrong(key, f"must be a path such as data.id, at most {DEEPEST} deep")
        return found

    def pattern(self, key: str, groups: int | None = None) -> str:
        """Take a regular expression."""
        found = self.text(key)
        try:
            is_good = len(found) <= LONGEST_PATTERN and (not found or groups in {None, re.compile(found).groups})
        except re.error:
            is_good = False
        if not is_good:
            group = "" if groups is None else " and one group"
            self.wrong(key, f"must be a regular expression of at most {LONGEST_PATTERN} characters{group}")
        return found if is_good else ""

    def where(self, key: str) -> Where:
        """Take `key` (a path), `key_pattern` or `key_header`."""
        return Where(path=self.path(key), pattern=self.pattern(f"{key}_pattern", 1), header=self.text(f"{key}_header"))

    def conditions(self, key: str) -> Conditions:
        """Take a condition, or a list of which one must hold."""
        found = self._left.pop(key, [])
        tables = found if isinstance(found, list) else [found]
        if not all(isinstance(each, dict) for each in tables):
            self.wrong(key, "must be a condition such as { status = [400] }, or a list of them")
            return ()
        return tuple(self._condition(Section(f"{self.name}.{key}".strip("."), each, self._tell)) for each in tables)

    def section(self, key: str) -> "Section | None":
        """Take a table inside; None when it is not there."""
        if key not in self._left:
            return None
        return Section(f"{self.name}.{key}".strip("."), self._table(key), self._tell)

    def has(self, key: str) -> bool:
        """Say whether a key is there and was not taken yet."""
        return key in self._left

    def end(self) -> None:
        """Refuse what nobody took."""
        for key in self._left:
            self.wrong(key, "is not known")

    def check(self, key: str, template: str, secrets: Mapping[str, str]) -> None:
        """Refuse placeholders that do not exist, and secrets that are not set."""
        for name in PLACEHOLDER.findall(template):
            kind, _, secret = name.partition(".")
            if kind == "secret" and secret:
                if secret not in secrets:
                    self.wrong(key, f"needs HTTP_GATEWAY_SECRET_{secret}, which is not set")
            elif name not in PLACEHOLDERS:
                self.wrong(key, f"has {{{name}}}, which is no placeholder")

    def url(self, key: str, secrets: Mapping[str, str], plain_hosts: tuple[str, ...]) -> str:
        """Take an address: https, or a host that the operator lists; placeholders only behind the host."""
        found = self.template(key, secrets)
        try:
            parts = urlsplit(found)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in {"http", "https"} or "@" in parts.netloc or parts.fragment:
            self.wrong(key, "must be an address that starts with https:// and names a host")
        elif "{" in parts.netloc:
            self.wrong(key, "must have no placeholder before its path")
        elif parts.scheme == "http" and host not in plain_hosts:
            self.wrong(key, f"must start with https://, or HTTP_GATEWAY_PLAIN_HOSTS must name {host}")
        return found

    def _condition(self, section: "Section") -> Condition:
        statuses = section._left.pop("status", [])
        listed = statuses if isinstance(statuses, list) else [statuses]
        if not all(type(each) is int and 100 <= each <= 599 for each in listed):
            section.wrong("status", "must be a list of HTTP statuses")
            listed = []
        found = Condition(
            statuses=tuple(listed),
            path=section.path("json"),
            equals=section._left.pop("equals", None),
            contains=section.text("contains"),
            pattern=section.pattern("pattern"),
        )
        if found.equals is not None and not found.path:
            section.wrong("equals", "needs json, the path of what is compared")
        if not found.statuses and not found.looks_at_body:
            section.wrong("status", "or json, contains, pattern is needed: a condition must look at something")
        section.end()
        return found

    def _table(self, key: str) -> dict[str, Any]:
        found = self._left.pop(key, {})
        if isinstance(found, dict):
            return found
        self.wrong(key, "must be a table")
        return {}
