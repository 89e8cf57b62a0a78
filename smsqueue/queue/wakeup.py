"""How an idle worker learns that there is something to do. All of it is a hint: looking now and then goes on."""

import random
import secrets
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import after_commit
from smsqueue.queue.claim import is_any_ready, priorities
from smsqueue.queue.dispatch import CHANNEL
from smsqueue.queue.events import emit
from smsqueue.queue.stops import Stops
from smsqueue.queue.workers import steady

SHORTEST_PAUSE_SECONDS = 0.025
WATCH_SECONDS = 0.02
PROOF_SECONDS = 10.0
"""A listener that works says something to itself so often."""
HEARING_SECONDS = 3.0
"""A listener that has not heard itself for so long hears nothing at all."""
CONNECT_SECONDS = 2
LONGEST_PAUSE_SECONDS = 30.0
_notify = sa.select(sa.func.pg_notify(sa.bindparam("channel"), sa.bindparam("payload")))


class Wakeup:
    """Looking: soon after there was something, then more and more rarely."""

    state = "polling"

    def __init__(self) -> None:
        self._pause = SHORTEST_PAUSE_SECONDS

    def wait(self, seconds: float, stops: Stops) -> bool:
        """Sleep for at most `seconds`, less when `stops` calls or a job came (then True)."""
        pause, self._pause = min(seconds, self._pause), min(seconds, self._pause * 1.5)
        stops.wait(pause)
        return False

    def found(self) -> None:
        """Learn that there was something: more may come soon."""
        self._pause = SHORTEST_PAUSE_SECONDS

    def prove(self, session: Session) -> None:
        """Have it shown now and then that hints arrive; `session` is one that commits soon."""

    def close(self) -> None:
        """Let go of connections."""


class Watcher(Wakeup):
    """SQLite: its counter of changes by others tells when a look is worth it."""

    state = "watching"

    def __init__(self, engine: sa.Engine, queues: Sequence[str]) -> None:
        super().__init__()
        self._engine, self._queues = engine, queues
        self._error = _driver(engine).Error
        self._connection = _connect(engine, isolation_level=None, timeout=1)
        self._version = self._read_version()

    def wait(self, seconds: float, stops: Stops) -> bool:
        """Look at the counter many times a second, and at the queue when it has moved."""
        until = steady() + seconds
        try:
            while not self._is_news():
                left = until - steady()
                if left <= 0 or stops.is_called_within(min(WATCH_SECONDS, left)):
                    return False
        except (self._error, sa.exc.DBAPIError):  # what is wrong, the next claim will say
            return super().wait(seconds, stops)
        return True

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _is_news(self) -> bool:
        before, self._version = self._version, self._read_version()
        return before != self._version and self._is_any_ready()

    def _is_any_ready(self) -> bool:
        """Look without asking for the right to write: whoever changed something may still be at it."""
        with Session(self._engine) as session:
            return any(is_any_ready(session, queue, priorities(session, queue)) for queue in self._queues)

    def _read_version(self) -> int:
        version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return version


class Listener(Wakeup):
    """PostgreSQL: a connection of our own that is told of new jobs.

    It never waits for an answer: a network that swallows everything must not stop the worker. Now and then it says
    something to itself through another connection; if that is not heard, it connects anew.
    """

    def __init__(self, engine: sa.Engine, queues: Sequence[str]) -> None:
        super().__init__()
        self._engine, self._queues = engine, {queue.encode() for queue in queues}
        self._own = f"smsqueue_{secrets.token_hex(8)}"
        self._error = _driver(engine).Error
        self._line: Any = None
        self._retry_at, self._retry_pause = 0.0, 1.0
        self._hears = False
        """The server has said that it tells us."""
        self._said, self._prove_at = 0, 0.0
        self._deadline: float | None = None
        """When what we said to ourselves must have been heard."""
        self.state = "listening"
        self._connect()

    def wait(self, seconds: float, stops: Stops) -> bool:
        """Sleep until there is news, or for `seconds`."""
        until = steady() + seconds
        while not self._hear():
            if steady() >= until or stops.is_called_within(max(0.0, self._next(until) - steady()), *self._sockets()):
                return False
        return True

    def prove(self, session: Session) -> None:
        """Say something to ourselves through another connection, if it is time and the last word was heard."""
        self._hear()
        if self._hears and self._deadline is None and steady() >= self._prove_at:
            word = str(self._said + 1)
            session.execute(_notify, {"channel": self._own, "payload": word})
            after_commit(session, self._has_spoken)

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._line.close()
        self._line, self._hears, self._deadline = None, False, None

    def _has_spoken(self) -> None:
        self._said += 1
        self._deadline = steady() + HEARING_SECONDS
        self._prove_at = steady() + PROOF_SECONDS

    def _sockets(self) -> list[int]:
        return [] if self._line is None else [self._line.pgconn.socket]

    def _next(self, until: float) -> float:
        also = self._retry_at if self._line is None else self._deadline
        return until if also is None else min(until, also)

    def _hear(self) -> bool:
        """Take in what has arrived; say whether a look at the queue is worth it."""
        if self._line is None:
            return steady() >= self._retry_at and self._connect()
        try:
            is_news = self._take_in()
        except self._error as error:
            self._give_up(str(error))
            return True
        if self._deadline is not None and steady() >= self._deadline:
            self._give_up(f"nothing heard for {HEARING_SECONDS:g} s")
        return is_news

    def _take_in(self) -> bool:
        connection = self._line.pgconn
        connection.consume_input()
        is_news = self._take_answers(connection)
        while notice := connection.notifies():
            if notice.relname == CHANNEL.encode():
                is_news = is_news or notice.extra in self._queues
            elif notice.extra == str(self._said).encode():
                self._heard_ourselves()
        return is_news

    def _take_answers(self, connection: Any) -> bool:
        """See what became of LISTEN. A job that came before it was in force was told to nobody: worth a look."""
        was_hearing = self._hears
        while not connection.is_busy() and connection.get_result() is not None:
            self._hears, self._deadline = True, None
        return self._hears and not was_hearing

    def _heard_ourselves(self) -> None:
        self._deadline, self._retry_pause = None, 1.0
        if self.state == "degraded":
            self.state = "listening"
            emit("listener.back")

    def _connect(self) -> bool:
        """Connect and ask to be told; say whether that went well so far."""
        try:
            self._line = _connect(self._engine, connect_timeout=CONNECT_SECONDS, autocommit=True)
            self._line.pgconn.send_query(f"LISTEN {CHANNEL}; LISTEN {self._own}".encode())
        except self._error as error:
            self._give_up(str(error))
            return False
        self._prove_at, self._deadline = 0.0, steady() + HEARING_SECONDS
        return True

    def _give_up(self, reason: str) -> None:
        self.close()
        self._retry_at = steady() + self._retry_pause * random.uniform(0.5, 1)  # noqa: S311 - jitter, not a secret
        self._retry_pause = min(LONGEST_PAUSE_SECONDS, self._retry_pause * 2)
        if self.state != "degraded":
            self.state = "degraded"
            emit("listener.degraded", reason=reason.strip().partition("\n")[0][:200])


def build(engine: sa.Engine, queues: Sequence[str]) -> Wakeup:
    """Return what suits this database."""
    if engine.dialect.name == "postgresql":
        return Listener(engine, queues)
    if engine.dialect.name == "sqlite" and engine.url.database not in (None, "", ":memory:"):
        return Watcher(engine, queues)
    return Wakeup()


def _driver(engine: sa.Engine) -> Any:
    return engine.dialect.loaded_dbapi


def _connect(engine: sa.Engine, **options: Any) -> Any:
    """Open a connection that is not the pool's."""
    positional, named = engine.dialect.create_connect_args(engine.url)
    return _driver(engine).connect(*positional, **{**named, **options})
