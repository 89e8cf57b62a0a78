"""What a worker makes of its gateways' answers and rates: how fast they are found to be, and how much is let in."""

import time
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

from smsqueue.core.clock import now
from smsqueue.domain import breaker, pace, traffic
from smsqueue.domain.intents import Intent
from smsqueue.domain.journal import Answer
from smsqueue.domain.pace import BULK_AHEAD_SECONDS, URGENT_AHEAD_SECONDS
from smsqueue.domain.senders import Senders
from smsqueue.domain.traffic import Traffic, Wish
from smsqueue.gateways.base import Deferred, Outgoing, Sent
from smsqueue.models import GatewayState, Rate
from smsqueue.queue.dispatch import SECOND, clock_us
from tests.domain_workers import Held
from tests.outside import rest, wait_until

SLOWLY, TAKEN = Deferred(1, "throttled", "slowly"), Sent("r")
OUTGOING = Outgoing("1-1-0", "+12015550100", "Hi", "gsm-7", 1, "us", 60)


class Clock:
    """A worker's own clock, which a test moves."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """Let the traffic go by a clock of the test's."""
    made = Clock()
    monkeypatch.setattr(traffic, "steady", made)
    return made


@pytest.fixture
def hear(office):
    """Let a worker hear so many equal answers of the gateway `a` at once."""

    def note(worker, outcome, many):
        answers = [Answer(Intent(1, 1, 1, OUTGOING, gateway="a"), outcome)] * many
        office.store.write(lambda session: worker.note(session, answers, now()))

    return note


def wish(room=4, free=4, ahead=BULK_AHEAD_SECONDS):
    """What a slice would like to start."""
    return Wish(room, free, "me", ahead)


def rate_of(office):
    """Read to what the only rate was lowered; None: there is none."""
    with office.store.reading() as session:
        return session.scalar(sa.select(Rate.per_second))


def test_a_quiet_hour_before_a_burst_says_nothing_of_how_fast_the_burst_was(office, hear, clock):
    worker = Traffic({"a": 100.0})
    hear(worker, TAKEN, 16)
    clock.now += 3600
    for _ in range(2):
        clock.now += 0.15
        hear(worker, SLOWLY, 10)

    assert 10 < rate_of(office) <= 50


def test_a_slow_gateway_is_judged_by_more_than_its_last_three_seconds(office, hear, clock):
    worker = Traffic({"a": None})
    for _ in range(8):
        hear(worker, SLOWLY, 1)
        clock.now += 1

    assert 0.5 <= rate_of(office) <= 1


def test_a_slow_down_outlives_a_transaction_that_had_to_be_repeated(office, hear, monkeypatch):
    broken = [OperationalError("", {}, Exception("database is locked"))]
    monkeypatch.setattr("smsqueue.db.is_worth_repeating", lambda _error: True)
    real = pace.slow_down

    def breaks_once(*facts, **more):
        slower = real(*facts, **more)
        if broken:
            raise broken.pop()
        return slower

    monkeypatch.setattr(pace, "slow_down", breaks_once)
    worker = Traffic({"a": None})
    hear(worker, SLOWLY, 5)
    hear(worker, SLOWLY, 5)

    assert not broken
    assert rate_of(office) is not None


def test_a_breaker_that_closes_is_closed_though_the_transaction_had_to_be_repeated(office, hear, monkeypatch):
    office.store.write(
        lambda session: session.add(GatewayState(name="a", failures=10, opened_at=now(), probe_at=now(), reason="x"))
    )
    broken = [OperationalError("", {}, Exception("database is locked"))]
    monkeypatch.setattr("smsqueue.db.is_worth_repeating", lambda _error: True)
    worker = Traffic({"a": None})

    def turn(session):
        worker.look(session)
        worker.note(session, [Answer(Intent(1, 1, 1, OUTGOING, gateway="a"), TAKEN)], now())
        if broken:
            raise broken.pop()

    monkeypatch.setattr(worker, "_measure", lambda *_: None)
    office.store.write(turn)

    with office.store.reading() as session:
        assert breaker.read(session)["a"].opened_at is None


def test_a_probe_that_finds_no_token_is_left_to_the_next(office):
    def prepare(session):
        pace.ask(session, {"gateway:a": 10})
        session.execute(sa.update(Rate).values(due_us=clock_us(session) + 2 * SECOND))
        session.add(GatewayState(name="a", failures=10, opened_at=now(), probe_at=now(), reason="x"))

    worker = Traffic({"a": 10}, call_seconds=25)

    def ask(session):
        worker.look(session)
        return worker.let_in(session, "a", wish(), now())

    office.store.write(prepare)

    assert office.store.write(ask).room == 0
    with office.store.reading() as session:
        assert breaker.read(session)["a"].is_usable(now() + timedelta(seconds=1))


def let_in(office, worker):
    """Ask once what may be started, and take it all."""

    def ask(session):
        granted = worker.let_in(session, "a", wish(), now())
        taken = [Intent(1, 1, 1, OUTGOING, gateway="a")] * granted.room
        worker.let_out(session, "a", granted, taken, now())
        return granted.room

    return office.store.write(ask)


def moved(office, seconds):
    """Let the database's clock be set back: what was written then is of the future."""

    def move(session):
        later = {"due_us": clock_us(session) + seconds * SECOND, "throttled_at": now() + timedelta(seconds=seconds)}
        had = sa.case((Rate.throttled_at.isnot(None), later["throttled_at"]), else_=None)
        session.execute(sa.update(Rate).values(due_us=later["due_us"], throttled_at=had))

    office.store.write(move)


def test_a_rate_that_was_used_is_no_dryer_when_the_clock_is_set_back(office):
    worker = Traffic({"a": 100.0})
    let_in(office, worker)
    moved(office, 3600)

    assert let_in(office, worker) == 4
    assert let_in(office, worker) == 4


def test_a_gateway_can_be_slowed_down_after_the_clock_was_set_back(office, hear, clock):
    worker = Traffic({"a": 100.0})
    hear(worker, SLOWLY, 10)
    moved(office, 3600)
    clock.now += 60
    hear(worker, SLOWLY, 10)

    with office.store.reading() as session:
        due_us, lowered_at = session.execute(sa.select(Rate.due_us, Rate.throttled_at)).one()
        assert due_us - clock_us(session) <= 2 * SECOND
        assert lowered_at <= now() + timedelta(seconds=5)


def test_what_a_long_text_owes_is_owed_at_the_rate_that_is_set_now(office):
    def owe(session):
        pace.take(session, pace.ask(session, {"gateway:a": 0.01}), 10)

    office.store.write(owe)

    assert let_in(office, Traffic({"a": 0.01})) == 0
    assert let_in(office, worker := Traffic({"a": 100.0})) == 4
    assert rate_of(office) == 100
    with office.store.reading() as session:
        assert 0 < session.scalar(sa.select(Rate.due_us)) - clock_us(session) <= 0.14 * SECOND
    assert let_in(office, worker) == 4


def test_a_worker_looks_again_within_seconds_though_much_is_owed(office):
    def owe(session):
        pace.take(session, pace.ask(session, {"gateway:a": 1}), 200)

    office.store.write(owe)
    worker = Traffic({"a": 1.0})

    assert let_in(office, worker) == 0
    assert 0 < worker.wait_seconds(["a"], BULK_AHEAD_SECONDS, now()) <= traffic.LONGEST_DRY_SECONDS


def test_nothing_more_is_let_in_while_calls_wait_already_but_one_single_text(office):
    worker = Traffic({"a": 10})

    def ask(free, ahead):
        return office.store.write(lambda session: worker.let_in(session, "a", wish(16, free, ahead), now())).room

    assert ask(0, BULK_AHEAD_SECONDS) == 3
    assert ask(-2, BULK_AHEAD_SECONDS) == 1
    assert ask(-3, BULK_AHEAD_SECONDS) == 0
    assert ask(-30, BULK_AHEAD_SECONDS) == 0
    assert worker.wait_seconds(["a"], BULK_AHEAD_SECONDS, now()) > 0  # nobody looks at once again
    assert ask(-3, URGENT_AHEAD_SECONDS) == 1
    assert ask(-4, URGENT_AHEAD_SECONDS) == 0


def test_a_gateway_that_hung_is_not_called_by_all_who_were_counted_meanwhile(office, make_crew):
    times = []

    class Stalling(Held):
        connect_seconds = read_seconds = 20.0

        def send(self, outgoing):
            times.append(time.monotonic())
            return super().send(outgoing)

    office.launched(200)
    crew = make_crew()
    gateway = Stalling()
    crew.services.__dict__["_senders"] = senders = Senders({"scripted": gateway}, 16, limits={"scripted": 10.0})
    work = crew.start(max_time=7)
    wait_until(lambda: len(times) == 16)
    rest(2)
    waiting = senders.lines["scripted"].open - len(times)
    released = time.monotonic()
    gateway.let_go()
    rest(3)
    after = sum(moment >= released for moment in times)
    work.ended()

    assert waiting <= 3
    assert after <= 3 * 10 + 10


def test_gateways_are_judged_in_the_order_of_their_names_so_that_all_lock_in_one_order(office, monkeypatch):
    judged = []
    monkeypatch.setattr(breaker, "note", lambda _session, standing, *_: judged.append(standing.name))
    names = [f"gateway{number}" for number in (5, 2, 7, 1, 4)]
    answers = [Answer(Intent(1, 1, 1, OUTGOING, gateway=name), TAKEN) for name in names]

    office.store.write(lambda session: Traffic(dict.fromkeys(names)).note(session, answers, now()))

    assert judged == sorted(names)
