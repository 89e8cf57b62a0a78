"""The threads that call the gateways. They never touch the database."""

import queue
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic

from smsqueue.domain.journal import Answer, Intent
from smsqueue.domain.routing import Routes
from smsqueue.gateways.base import Deferred, Gateway, Outcome, Unknown

NOT_CALLED = "the worker may have lost its lease: not called"


class Senders:
    """A worker's threads: up to `concurrency` calls at once, to whichever gateway. Without routes the first takes all,
    and the others stand in for it."""

    def __init__(self, gateways: Mapping[str, Gateway], concurrency: int, routes: Routes | None = None) -> None:
        self.gateways = dict(gateways)
        self.routes = routes or Routes(tuple(gateways), {})
        self.concurrency = concurrency
        self.call_seconds = max(each.connect_seconds + each.read_seconds for each in gateways.values())
        self._pool = ThreadPoolExecutor(concurrency, thread_name_prefix="sender")

    @property
    def gateway(self) -> Gateway:
        """The most usual gateway."""
        return next(iter(self.gateways.values()))

    def submit(self, intent: Intent, may_call: Callable[[float], bool]) -> Future[Outcome]:
        """Call the gateway for `intent` as soon as a thread is free, if `may_call(seconds)` still says so then."""
        return self._pool.submit(self._call, intent, may_call)

    def close(self) -> None:
        """Let the threads end; calls in flight are waited for."""
        self._pool.shutdown()
        for gateway in self.gateways.values():
            gateway.close()

    def _call(self, intent: Intent, may_call: Callable[[float], bool]) -> Outcome:
        if not may_call(self.call_seconds):
            return Deferred(0, "unreachable", NOT_CALLED)
        return self.gateway.send(intent.outgoing)


class Calls:
    """The calls of one slice; answers come back in the order in which they end."""

    def __init__(self, senders: Senders) -> None:
        self._senders = senders
        self._answers: queue.SimpleQueue[tuple[Intent, Future[Outcome]]] = queue.SimpleQueue()

    def start(self, intent: Intent, may_call: Callable[[float], bool]) -> None:
        """Hand an intent to the threads."""
        future = self._senders.submit(intent, may_call)
        future.add_done_callback(lambda done: self._answers.put((intent, done)))

    def answers(self, most: int, seconds: float) -> list[Answer]:
        """Wait until there are `most` answers, or for `seconds` after the call; return what came."""
        until = monotonic() + seconds
        found: list[Answer] = []
        while len(found) < most:
            try:
                intent, done = self._answers.get(timeout=max(0.0, until - monotonic()))
            except queue.Empty:
                break
            found.append(Answer(intent, _outcome(done)))
        return found


def _outcome(done: Future[Outcome]) -> Outcome:
    bug = done.exception()
    return Unknown(f"the gateway's adapter failed: {type(bug).__name__}") if bug else done.result()
