"""Something happened: the engine and its users say so here, whoever cares listens."""

from collections.abc import Callable
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from smsqueue.db import after_commit

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


def emit_once_committed(session: Session, event: str, **facts: Any) -> None:
    """Tell every listener that `event` happened as soon as the session's transaction is committed."""
    after_commit(session, partial(emit, event, **facts))
