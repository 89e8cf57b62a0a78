"""The pace of a gateway: how many segments may go at a moment, whatever was asked for before."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsqueue.domain.pace import (
    BULK_AHEAD_SECONDS,
    DOUBLES_SECONDS,
    NO_LIMIT,
    URGENT_AHEAD_SECONDS,
    Bucket,
    now_at,
)

SECOND = 1_000_000
BULK, URGENT = BULK_AHEAD_SECONDS, URGENT_AHEAD_SECONDS


class Gateway:
    """What a gateway counts, and the rate that stands before it."""

    def __init__(self, per_second):
        self.bucket = Bucket("gateway:x", per_second, 0, 1_000 * SECOND)
        self.taken = []

    def passes(self, micros):
        """Let time pass."""
        now = self.bucket.now + micros
        self.bucket = Bucket(self.bucket.name, self.bucket.per_second, self.bucket.due, now)

    def ask(self, ahead, most):
        """Start as many single-segment texts as may go."""
        many = min(most, self.bucket.free(ahead))
        self.bucket = self.bucket.after(many)
        self.taken += [self.bucket.now] * many
        return many


asked = st.lists(st.tuples(st.integers(0, 3 * SECOND), st.booleans(), st.integers(1, 200)), min_size=1, max_size=120)


@given(st.floats(2, 500), asked)
def test_no_stretch_of_time_ever_sees_more_than_the_rate_and_one_second_of_it(per_second, steps):
    gateway = Gateway(per_second)
    for micros, is_urgent, most in steps:
        gateway.passes(micros)
        gateway.ask(URGENT if is_urgent else BULK, most)

    times = gateway.taken
    for first in range(len(times)):
        last = len(times) - 1
        stretch = (times[last] - times[first]) / SECOND
        assert last - first + 1 <= stretch * per_second + per_second + 1e-6


@given(st.floats(0.05, 500), asked)
def test_bulk_alone_is_at_most_half_a_second_or_one_text_ahead(per_second, steps):
    gateway = Gateway(per_second)
    for micros, _, most in steps:
        gateway.passes(micros)
        gateway.ask(BULK, most)

    ahead = gateway.bucket.due - gateway.bucket.now
    assert ahead <= max(BULK * SECOND, gateway.bucket.interval) + 1


@given(st.floats(0.05, 500))
def test_whoever_waits_as_long_as_he_is_told_finds_something(per_second):
    gateway = Gateway(per_second)
    for ahead in (BULK, URGENT):
        while gateway.ask(ahead, 1_000):
            pass
        wait = gateway.bucket.wait_seconds(ahead)
        gateway.passes(round(wait * SECOND) + 1)
        assert gateway.bucket.free(ahead) >= 1


@given(st.floats(0.05, 500))
def test_all_of_the_rate_is_used_by_whoever_comes_back_when_he_is_told(per_second):
    gateway = Gateway(per_second)
    began = gateway.bucket.now
    while gateway.bucket.now < began + 200 * max(SECOND, gateway.bucket.interval):
        gateway.ask(BULK, 10_000)
        gateway.passes(round(gateway.bucket.wait_seconds(BULK) * SECOND) + 1)

    seconds = (gateway.bucket.now - began) / SECOND
    assert len(gateway.taken) >= 0.95 * seconds * per_second


@pytest.mark.parametrize("per_second", [0.5, 1, 2, 10, 100])
def test_a_single_text_goes_at_once_though_bulk_has_taken_all_it_may(per_second):
    gateway = Gateway(per_second)
    while gateway.ask(BULK, 1_000):
        pass

    assert gateway.bucket.wait_seconds(URGENT) <= 0.2
    gateway.passes(round(gateway.bucket.wait_seconds(URGENT) * SECOND) + 1)
    assert gateway.bucket.free(URGENT) >= 1


def test_a_text_of_many_segments_is_paid_for_by_the_pause_after_it():
    gateway = Gateway(1)

    gateway.bucket = gateway.bucket.after(5)

    assert gateway.bucket.free(BULK) == 0
    assert gateway.bucket.wait_seconds(BULK) == pytest.approx(5)


def test_a_rate_that_was_lowered_doubles_again_and_again_up_to_the_setting():
    assert now_at(5, 0, 40) == 5
    assert now_at(5, DOUBLES_SECONDS, 40) == 10
    assert now_at(5, 2.9 * DOUBLES_SECONDS, 40) == pytest.approx(5 * 2**2.9)
    assert now_at(5, 3 * DOUBLES_SECONDS, 40) is None


def test_where_no_rate_is_set_a_lowered_one_is_forgotten_in_the_end():
    assert now_at(1, 10 * DOUBLES_SECONDS, None) == 1024
    assert now_at(1, 10 * NO_LIMIT, None) is None
