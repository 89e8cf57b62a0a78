"""The threads that call the gateways. They never touch the database."""

import queue
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from threading import Lock, Thread, current_thread
from time import monotonic

from smsqueue.domain import references
from smsqueue.domain.intents import NOT_CALLED, Intent
from smsqueue.domain.journal import Answer
from smsqueue.domain.places import Places
from smsqueue.domain.references import Key
from smsqueue.domain.routing import Routes
from smsqueue.domain.storable import storable
from smsqueue.domain.traffic import Traffic
from smsqueue.domain.turns import traits_of
from smsqueue.gateways.base import Deferred, Gateway, Outcome, Unknown

MayCall = Callable[[float], bool]
Task = tuple[Intent, MayCall, Callable[[Answer], None]]


class Line:
    """The threads that call one gateway: as many at once as there are places; what waits is called in its order."""

    def __init__(self, gateway: Gateway, places: Places) -> None:
        self.gateway, self.places = gateway, places
        self.call_seconds = gateway.connect_seconds + gateway.read_seconds
        self.open = 0
        """Calls in flight, and those that wait for a thread."""
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._threads: set[Thread] = set()
        self._lock = Lock()

    @property
    def free(self) -> int:
        """How many calls could begin at once; less than 0: so many wait for a thread."""
        return self.places.now - self.open

    def submit(self, task: Task) -> None:
        """Call as soon as a thread is free, if it may be called then."""
        with self._lock:
            if len(self._threads) < min(self.open + 1, self.places.now):
                self._grow()
            is_served = bool(self._threads)
            self.open += is_served
        if is_served:
            self._tasks.put(task)
        else:
            task[2](Answer(task[0], Deferred(0, "unreachable", NOT_CALLED)))

    def close(self) -> None:
        """Let the threads end; calls in flight are waited for."""
        threads = list(self._threads)
        for _ in threads:
            self._tasks.put(None)
        for thread in threads:
            thread.join()
        self.gateway.close()

    def _grow(self) -> None:
        thread = Thread(target=self._serve, name=f"sender-{self.gateway.name}", daemon=True)
        with suppress(RuntimeError):  # the system gives no more: those that are there do the work
            thread.start()
            self._threads.add(thread)

    def _serve(self) -> None:
        while (task := self._tasks.get()) is not None:
            intent, may_call, deliver = task
            began = monotonic()
            outcome = self._call(intent, may_call)
            deliver(Answer(intent, outcome))
            if self._is_too_many(monotonic() - began):
                return

    def _call(self, intent: Intent, may_call: MayCall) -> Outcome:
        try:
            if not may_call(self.call_seconds):
                return Deferred(0, "unreachable", NOT_CALLED)
            return storable(self.gateway.send(intent.outgoing))
        except Exception as bug:  # noqa: BLE001 - whatever breaks in a call, nobody can tell what came of it
            return Unknown(f"the gateway's adapter failed: {type(bug).__name__}")

    def _is_too_many(self, seconds: float) -> bool:
        """Note a call's end; say whether this thread should end, too."""
        with self._lock:
            self.open -= 1
            self.places.note(seconds, self.open - len(self._threads) + 1)
            if len(self._threads) <= self.places.now:
                return False
            self._threads.discard(current_thread())
            return True


class Senders:
    """A worker's lines to its gateways. Without routes the first takes all, and the others stand in for it.

    `most` is how many calls a gateway may get at once where its latency asks for more than `concurrency`; `limits` are
    the segments a second that the settings allow each gateway, `sender_limit` each sender; 0 or none: any number.
    """

    def __init__(
        self,
        gateways: Mapping[str, Gateway],
        concurrency: int,
        routes: Routes | None = None,
        *,
        most: int = 0,
        limits: Mapping[str, float | None] | None = None,
        sender_limit: float = 0,
    ) -> None:
        self.gateways = dict(gateways)
        self._nameless = {name for name, each in gateways.items() if not traits_of(each).reports_name_ours}
        self.routes = routes or Routes(tuple(gateways), {})
        most = max(concurrency, most)
        self.lines = {name: Line(gateway, Places(concurrency, most)) for name, gateway in gateways.items()}
        self.call_seconds = max(line.call_seconds for line in self.lines.values())
        known = {name: (limits or {}).get(name) for name in gateways}
        self.traffic = Traffic(known, sender_limit=sender_limit, call_seconds=self.call_seconds)

    @property
    def gateway(self) -> Gateway:
        """The most usual gateway."""
        return next(iter(self.gateways.values()))

    @property
    def line(self) -> Line:
        """The line to it."""
        return self.lines[self.gateway.name]

    def nameless(self, answers: Iterable[Answer]) -> dict[Key, str]:
        """Return our references, by the gateways' own, of what was taken by those whose reports name theirs alone."""
        if not self._nameless:
            return {}
        return references.of_answers(answer for answer in answers if answer.intent.gateway in self._nameless)

    def close(self) -> None:
        """Let the threads end; calls in flight are waited for."""
        for line in self.lines.values():
            line.close()


class Calls:
    """The calls of one slice; answers come back in the order in which they end."""

    def __init__(self, senders: Senders) -> None:
        self.is_over = False
        """Nobody waits for answers any more: what has not been called by then never is."""
        self._senders = senders
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()

    def start(self, intents: Iterable[Intent], may_call: MayCall) -> None:
        """Hand intents to the threads."""

        def may_still(seconds: float) -> bool:
            return not self.is_over and may_call(seconds)

        for intent in intents:
            line = self._senders.lines.get(intent.gateway) or self._senders.line
            line.submit((intent, may_still, self._answers.put))

    def answers(self, most: int, seconds: float) -> list[Answer]:
        """Wait until there are `most` answers, or for `seconds` after the call; return what came."""
        until = monotonic() + seconds
        found: list[Answer] = []
        while len(found) < most:
            try:
                found.append(self._answers.get(timeout=max(0.0, until - monotonic())))
            except queue.Empty:
                break
        return found
