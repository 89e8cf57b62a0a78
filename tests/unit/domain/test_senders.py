"""The threads that call: whether they may is asked right before each call."""

import threading

import pytest

from smsqueue.domain import senders as lines
from smsqueue.domain.intents import NOT_CALLED, Intent
from smsqueue.domain.senders import Calls, Senders
from smsqueue.gateways.base import Deferred, Outgoing, Sent, Unknown
from tests.domain_workers import Held, Scripted
from tests.outside import wait_until


def intent(number):
    outgoing = Outgoing(f"ref-{number}", f"+1201555010{number}", "Hi", "gsm-7", 1, "us", 60)
    return Intent(number, 1, 1, outgoing)


@pytest.fixture
def make_calls():
    """Make calls through a gateway with two threads."""
    made = []

    def make(gateway):
        made.append(Senders({gateway.name: gateway}, 2))
        return Calls(made[-1])

    yield make
    for senders in made:
        senders.close()


def test_answers_come_with_their_intents(make_calls):
    calls = make_calls(Scripted())

    for number in range(4):
        calls.start([intent(number)], lambda _seconds: True)
    answers = calls.answers(4, 10)

    assert sorted(answer.intent.recipient_id for answer in answers) == [0, 1, 2, 3]
    assert all(answer.outcome == Sent(f"ok-{answer.intent.outgoing.reference}") for answer in answers)


def test_nobody_is_called_when_the_lease_may_be_over(make_calls):
    calls = make_calls(gateway := Scripted())
    asked = []

    def may_not(seconds):
        asked.append(seconds)
        return False

    calls.start([intent(1)], may_not)
    (answer,) = calls.answers(1, 10)

    assert answer.outcome == Deferred(0, "unreachable", NOT_CALLED)
    assert gateway.calls == []
    assert asked == [2.0]  # to connect, and to read


def test_the_lease_is_asked_about_when_a_thread_is_free_and_not_before(make_calls):
    calls = make_calls(gateway := Held())
    valid = threading.Event()
    valid.set()
    for number in range(3):
        calls.start([intent(number)], lambda _seconds: valid.is_set())
    while len(gateway.calls) < 2:
        assert calls.answers(1, 0.01) == []

    valid.clear()
    gateway.let_go()
    answers = calls.answers(3, 10)

    assert [type(answer.outcome) for answer in answers if answer.intent.recipient_id == 2] == [Deferred]
    assert len(gateway.calls) == 2


def test_an_adapters_bug_is_an_unknown_outcome(make_calls):
    def fail(_outgoing):
        raise ZeroDivisionError

    calls = make_calls(Scripted(fail))

    calls.start([intent(1)], lambda _seconds: True)

    assert calls.answers(1, 10)[0].outcome == Unknown("the gateway's adapter failed: ZeroDivisionError")


def test_waiting_for_answers_ends_after_its_time_with_what_there_is(make_calls):
    calls = make_calls(gateway := Held())
    calls.start([intent(1)], lambda _seconds: True)

    assert calls.answers(16, 0.01) == []

    gateway.let_go()
    assert len(calls.answers(1, 10)) == 1


def test_answers_to_another_slices_calls_are_not_mixed_in(make_calls):
    first = make_calls(Scripted())
    second = Calls(first._senders)

    first.start([intent(1)], lambda _seconds: True)
    second.start([intent(2)], lambda _seconds: True)

    assert [answer.intent.recipient_id for answer in second.answers(1, 10)] == [2]
    assert [answer.intent.recipient_id for answer in first.answers(1, 10)] == [1]


def test_what_has_not_been_called_when_a_slice_breaks_off_never_is(make_calls):
    calls = make_calls(gateway := Held())
    for number in range(5):
        calls.start([intent(number)], lambda _seconds: True)
    wait_until(lambda: len(gateway.calls) == 2)

    calls.is_over = True
    gateway.let_go()
    answers = calls.answers(5, 10)

    assert len(gateway.calls) == 2
    assert sum(answer.outcome == Deferred(0, "unreachable", NOT_CALLED) for answer in answers) == 3


@pytest.mark.parametrize(("started", "called"), [(1, 4), (0, 0)])
def test_a_thread_that_cannot_start_leaves_the_work_to_the_others_or_undone(make_calls, monkeypatch, started, called):
    class Scarce(threading.Thread):
        left = started

        def start(self):
            if not Scarce.left:
                raise RuntimeError("can't start new thread")
            Scarce.left -= 1
            super().start()

    monkeypatch.setattr(lines, "Thread", Scarce)
    calls = make_calls(gateway := Scripted())

    for number in range(4):
        calls.start([intent(number)], lambda _seconds: True)
    answers = calls.answers(4, 10)

    assert len(answers) == 4
    assert len(gateway.calls) == called
    assert {type(answer.outcome) for answer in answers} == {Sent if called else Deferred}
    wait_until(lambda: calls._senders.line.open == 0)
