"""Signals and other wishes to stop."""

import os
import select
import signal
import threading

import pytest

from smsqueue.queue import events
from smsqueue.queue.stops import PAUSE, RESUME, SIGNALS, Stops
from tests.outside import wait_until


@pytest.fixture
def stops():
    before = {number: signal.getsignal(number) for number in (*SIGNALS, PAUSE, RESUME)}
    stops = Stops()
    stops.install()
    yield stops
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_signal_becomes_a_wish_to_stop(stops, number):
    signal.raise_signal(number)
    assert (stops.reason, stops.signals) == (f"signal {number.name}", 1)
    assert stops.wait(3600)


def test_signals_pause_and_go_on_and_wake_who_waits(stops):
    for number, is_paused in ((PAUSE, True), (PAUSE, True), (RESUME, False)):
        signal.raise_signal(number)
        assert stops.is_paused is is_paused
        assert not stops.wait(3600)
    assert (stops.reason, stops.signals) == (None, 0)


def test_call_ends_one_wait_and_a_wish_to_stop_all(stops):
    stops.wake()
    stops.wake()
    assert stops.is_called_within(3600)
    assert not stops.is_called_within(0)
    stops.request("enough")
    assert all(stops.is_called_within(3600) and stops.wait(3600) for _ in range(3))


def test_what_can_be_read_ends_a_wait_and_is_no_call(stops):
    there, here = os.pipe()
    os.write(here, b"!")
    assert not stops.is_called_within(3600, there)
    os.close(there)
    os.close(here)


def test_calls_that_nobody_waits_for_do_no_harm(stops):
    for _ in range(100_000):
        stops.wake()
    while stops.is_called_within(0):
        continue


def test_first_reason_counts(stops):
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGTERM)
    stops.request("parent is gone")
    assert (stops.reason, stops.signals) == ("signal SIGINT", 2)


def test_wish_wakes_who_waits():
    stops = Stops()
    answers: list[bool] = []
    waiter = threading.Thread(target=lambda: answers.append(stops.wait(3600)))
    waiter.start()
    stops.request("enough")
    waiter.join(10)
    assert answers == [True]


def test_wait_without_a_wish_ends_by_itself():
    assert not Stops().wait(0.001)


def test_taken_signal_wakes_once(stops):
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert select.select([stops], [], [], 0)[0]
    stops.take()
    assert not select.select([stops], [], [], 0)[0]
    stops.take()  # with nothing to take it does not block


def test_closed_lifeline_is_a_wish_to_stop():
    stops = Stops()
    alive, lifeline = os.pipe()
    stops.watch(alive)
    os.close(lifeline)
    wait_until(lambda: stops.reason)
    assert stops.reason == "parent is gone"


def test_listener_hears_until_it_ends_that():
    heard = []
    stop = events.on(lambda event, facts: heard.append((event, facts)))
    events.emit("job.finished", job_id=3)
    stop()
    events.emit("job.finished", job_id=4)
    assert heard == [("job.finished", {"job_id": 3})]


def test_process_at_its_end_ignores_signals(stops):
    stops.deafen()
    for number in (*SIGNALS, PAUSE):
        signal.raise_signal(number)
    assert (stops.reason, stops.signals, stops.is_paused) == (None, 0, False)
