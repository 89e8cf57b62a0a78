"""Look at an answer or a callback as the declaration says."""

import math
import re
from collections.abc import Mapping
from typing import Any

from smsqueue.declaration.parts import Condition, Conditions, Where
from smsqueue.gateways.http import LONGEST_WAIT, Answer, json_value, retry_after, tidy

SEARCHED = 4096


class Seen:
    """An answer, with its JSON read once."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._text = answer.body[:SEARCHED].decode("utf-8", "replace")
        self._json = json_value(answer.body)

    def fits(self, conditions: Conditions) -> bool:
        """Say whether one of these holds."""
        return any(self._fits(each) for each in conditions)

    def word(self, path: str) -> str:
        """Read a word at a path."""
        return tidy(written(at(self._json, path))) if path else ""

    def reference(self, where: Where) -> str:
        """Read a reference, from the first place that is named."""
        if where.path:
            return written(at(self._json, where.path))
        if where.header:
            return self._answer.headers.get(where.header, "")
        found = re.search(where.pattern, self._text) if where.pattern else None
        return (found[1] or "") if found else ""

    def wait(self, where: Where) -> float:
        """Read how long to wait, in seconds; 0 when it is not told."""
        told = self.reference(where)
        if where.header:
            return retry_after({"Retry-After": told})
        try:
            seconds = float(told)
        except ValueError:
            return 0.0
        return min(max(seconds, 1.0), LONGEST_WAIT) if math.isfinite(seconds) else 0.0

    def _fits(self, condition: Condition) -> bool:
        if condition.statuses and self._answer.status not in condition.statuses:
            return False
        value = at(self._json, condition.path) if condition.path else self._text
        if condition.path and value is None:
            return False
        if condition.equals is not None and (type(value), value) != (type(condition.equals), condition.equals):
            return False
        words = written(value)[:SEARCHED]
        return condition.contains in words and (not condition.pattern or bool(re.search(condition.pattern, words)))


def at(value: Any, path: str) -> Any:
    """Follow a dotted path; None when it leads nowhere."""
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return None
    return value


def word_at(values: Mapping[str, Any], paths: Mapping[str, str], name: str) -> str:
    """Read what stands at a named path of a callback."""
    path = paths.get(name, "")
    return written(at(values, path)) if path else ""


def written(value: Any) -> str:
    """Write a plain value as a text; anything else is empty."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, str | int | float) else ""
