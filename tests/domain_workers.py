"""Gateways, workers and threads for tests of the domain."""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.config import Settings
from smsqueue.db import Database
from smsqueue.domain.jobs import QUEUES
from smsqueue.domain.senders import Senders
from smsqueue.domain.shares import limit_of_teams
from smsqueue.gateways.base import Gateway, Outcome, Outgoing, Sent, Traits
from smsqueue.handlers import Services, register_all
from smsqueue.models import Notice, User
from smsqueue.queue.registry import Registry
from smsqueue.queue.stops import Stops
from smsqueue.queue.testing import drain
from smsqueue.queue.worker import Ending, Options, Worker
from tests.domain_fixtures import Office
from tests.outside import wait_until


class Scripted:
    """A gateway whose answers a test decides: `answer(outgoing)` runs in the threads that call."""

    name = "scripted"
    connect_seconds = read_seconds = 1.0

    def __init__(self, answer: Callable[[Outgoing], Outcome] | None = None) -> None:
        self.traits = Traits()
        self.calls: list[Outgoing] = []
        self.answer = answer or (lambda outgoing: Sent(f"ok-{outgoing.reference}"))

    def send(self, outgoing: Outgoing) -> Outcome:
        """Note the call and answer."""
        self.calls.append(outgoing)
        return self.answer(outgoing)

    def close(self) -> None:
        """Nothing is open."""

    @property
    def numbers(self) -> list[str]:
        """Who was called."""
        return [outgoing.to for outgoing in self.calls]


class Held(Scripted):
    """A gateway that answers nobody until it is let go; `answer` counts from then on."""

    def __init__(self, answer: Callable[[Outgoing], Outcome] | None = None) -> None:
        super().__init__(answer)
        self._gate = threading.Event()

    def send(self, outgoing: Outgoing) -> Outcome:
        """Note the call, wait to be let go, and answer."""
        self.calls.append(outgoing)
        assert self._gate.wait(30), "nobody let the gateway go"
        return self.answer(outgoing)

    def let_go(self) -> None:
        """Answer everybody from now on."""
        self._gate.set()


@dataclass
class Mails:
    """A mailer that keeps what it is asked to send."""

    sent: list[Notice] = field(default_factory=list)

    def campaign_ended(self, notice: Notice, _user: User) -> None:
        """Keep a notice."""
        self.sent.append(notice)

    def reset(self, _user: User) -> None:
        """Nobody resets a password here."""


class Crew:
    """Workers in this process, with the program's own handlers, and a gateway of the test's choice."""

    def __init__(self, store: Database, settings: Settings, gateway: Gateway | None = None) -> None:
        self.store, self.mails = store, Mails()
        self.services = Services(settings, self.mails)  # type: ignore[arg-type]  # mails nothing
        if gateway:
            self.services.__dict__["_senders"] = Senders({gateway.name: gateway}, settings.concurrency)
        self.registry, self.stops = Registry(), Stops()
        register_all(self.registry, self.services)
        self.registry.group_limit = limit_of_teams(store)

    def drain(self, **options: Any) -> Ending:
        """Do everything that is ready."""
        return drain(self.store, self.registry, options.pop("queues", QUEUES), **options)

    def drain_until_stopped(self) -> Ending:
        """Do everything that is ready, unless `stops` is asked for a stop."""
        return Worker(self.store, self.registry, Options(QUEUES, memory_mib=0), self.stops).run()

    def finish(self, office: Office, seconds: float = 20) -> None:
        """Work until no job is left; what waits for a time is due at once."""

        def nothing_left() -> bool:
            office.hurry()
            self.drain()
            return office.jobs() == 0

        wait_until(nothing_left, seconds)

    def start(self, **options: Any) -> "Working":
        """Drain in a thread of its own."""
        return Working(lambda: self.drain(**options))


class Working(threading.Thread):
    """Something that runs beside the test; leaving its block waits for it and raises what it raised."""

    def __init__(self, work: Callable[[], object]) -> None:
        super().__init__()
        self._work = work
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        """Work, and keep what goes wrong."""
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised again by `ended`
            self.error = error

    def ended(self, seconds: float = 30) -> None:
        """Wait for the end; raise what was raised."""
        self.join(seconds)
        assert not self.is_alive(), f"still at work after {seconds} s"
        if self.error:
            raise self.error


def at_once(works: Iterable[Callable[[], object]]) -> list[BaseException | None]:
    """Run all of these at the same moment, each in a thread; return what each raised."""
    todo = list(works)
    barrier = threading.Barrier(len(todo))

    def begin(work: Callable[[], object]) -> Callable[[], object]:
        return lambda: (barrier.wait(20), work())

    threads = [Working(begin(work)) for work in todo]
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "still at work after 60 s"
    return [thread.error for thread in threads]


def waiting(store: Database) -> int:
    """Count the sessions that wait for another's lock."""
    statement = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    if store.engine.dialect.name != "postgresql":
        waits = "variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'"
        statement = f"SELECT CAST(variable_value AS UNSIGNED) FROM information_schema.global_status WHERE {waits}"
    with store.reading() as session:
        return session.scalar(sa.text(statement)) or 0


def race(store: Database, first: Callable[[Session], object], second: Callable[[Session], object]) -> None:
    """Let `second` begin, and wait for a lock, while `first` is done but not committed; raise what it raised."""

    def hold(session: Session) -> None:
        first(session)
        session.flush()
        running.append(Working(lambda: store.write(second)))
        wait_until(lambda: waiting(store) or not running[0].is_alive())

    running: list[Working] = []
    store.write(hold)
    running[0].ended()
