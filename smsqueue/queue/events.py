"""Something happened: the engine and its users say so here, whoever cares listens."""

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from smsqueue.db import after_commit

Listener = Callable[[str, dict[str, Any]], None]
_listeners: list[tuple[Listener, Collection[str]]] = []


def on(listener: Listener, *, but: Collection[str] = ()) -> Callable[[], None]:
    """Call `listener(event, facts)` for every event but those named; the returned function ends that."""
    heard = (listener, but)
    _listeners.append(heard)
    return lambda: _listeners.remove(heard)


def is_heard(event: str) -> bool:
    """Say whether anybody listens: what happens thousands of times a second need not be told to nobody."""
    return any(event not in but for _, but in _listeners)


def emit(event: str, **facts: Any) -> None:
    """Tell every listener that `event` happened. Facts are ids, counts and reasons, never numbers or texts."""
    for listener, but in _listeners:
        if event not in but:
            listener(event, facts)


def emit_once_committed(session: Session, event: str, **facts: Any) -> None:
    """Tell every listener that `event` happened as soon as the session's transaction is committed."""
    after_commit(session, partial(emit, event, **facts))
