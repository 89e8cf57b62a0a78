"""Something happened: the engine and its users say so here, whoever cares listens."""

from collections.abc import Callable
from typing import Any

Listener = Callable[[str, dict[str, Any]], None]
_listeners: list[Listener] = []


def on(listener: Listener) -> Callable[[], None]:
    """Call `listener(event, facts)` for every event from now on; the returned function ends that."""
    _listeners.append(listener)
    return lambda: _listeners.remove(listener)


def emit(event: str, **facts: Any) -> None:
    """Tell every listener that `event` happened. Facts are ids, counts and reasons, never numbers or texts."""
    for listener in _listeners:
        listener(event, facts)
