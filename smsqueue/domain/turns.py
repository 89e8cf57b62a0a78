"""A job's turn of asking gateways: many questions at once, not for too long, and nothing in a transaction meanwhile."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from smsqueue.domain.storable import storable
from smsqueue.gateways.base import Gateway, Outcome, Traits, Unknown
from smsqueue.queue.runner import Run
from smsqueue.queue.workers import steady

Item = TypeVar("Item")
Said = TypeVar("Said")
CHUNK = 32
"""So many are asked about before it is written down, and no more go out after a stop."""
THREADS = 8
TURN_SECONDS = 10.0
YIELD_SECONDS = 2.0
"""So long it may go on although something more urgent waits: else a busy queue would never let it ask."""


def traits_of(gateway: Gateway) -> Traits:
    """Return what a gateway says of itself."""
    found = getattr(gateway, "traits", None)
    return found if isinstance(found, Traits) else Traits()


class Turn:
    """The threads of one turn; use it as a context."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._began = steady()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="asking")

    def __enter__(self) -> "Turn":
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def ask(self, question: Callable[[Item], Said], items: Sequence[Item]) -> list[Said | Unknown]:
        """Ask about all of these; what breaks in an adapter is unknown."""
        futures: list[Future[Any]] = [self._threads.submit(_answer, question, item) for item in items]
        return [_result(future) for future in futures]

    def reason_to_stop(self) -> str:
        """Say why the turn is over; empty while it goes on."""
        if self._run.is_stopping:
            return "the worker stops"
        lasted = steady() - self._began
        if lasted >= TURN_SECONDS:
            return "others have their turn"
        if lasted < YIELD_SECONDS:
            return ""
        with self._run.database.reading() as session:
            return "something more urgent waits" if self._run.should_yield(session) else ""


def _answer(question: Callable[[Item], Said], item: Item) -> Any:
    said = question(item)
    return storable(said) if isinstance(said, Outcome) else said


def _result(future: Future[Any]) -> Any:
    bug = future.exception()
    return Unknown(f"the gateway's adapter failed: {type(bug).__name__}") if bug else future.result()
