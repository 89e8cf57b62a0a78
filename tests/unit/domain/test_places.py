"""How many calls at once a gateway gets, by what its answers take."""

import random

import pytest

from smsqueue.domain.places import PATIENCE, Places


def work(places, rounds, latency, *, waiting=1):
    """Let so many rounds pass; `latency(now)` is what a call takes with so many at once."""
    for _ in range(rounds):
        for _ in range(places.now):
            places.note(latency(places.now), waiting)


def test_a_slow_gateway_gets_as_many_calls_as_it_may():
    places = Places(16, 64)
    work(places, 8, lambda _now: 1.0)
    assert places.now == 64


def test_no_more_than_one_process_can_do_at_all():
    places = Places(16, 64)
    work(places, 50, lambda _now: 0.002)
    assert places.now == 16


def test_a_gateway_that_calls_are_not_waiting_for_gets_no_more():
    places = Places(16, 64)
    work(places, 50, lambda _now: 1.0, waiting=0)
    assert places.now == 16


def test_a_gateway_that_only_gets_slower_is_left_as_it_was_and_not_tried_again_at_once():
    places, seen = Places(16, 64), []
    for _ in range(PATIENCE):
        work(places, 1, lambda now: now / 100)
        seen.append(places.now)
    assert seen[-1] == 16
    assert sum(now > 16 for now in seen) <= 2


def test_one_that_gets_slow_later_gets_less_again():
    places = Places(16, 64)
    work(places, 8, lambda _now: 0.2)
    work(places, 3, lambda _now: 0.9)
    assert places.now < 64


def test_a_little_unrest_keeps_nobody_from_growing():
    dice = random.Random(7)
    places = Places(16, 64)
    work(places, 10, lambda _now: dice.uniform(0.15, 0.25))
    assert places.now == 64


@pytest.mark.parametrize("seed", range(20))
def test_it_stays_within_its_bounds_whatever_comes(seed):
    dice = random.Random(seed)
    places = Places(4, 9)
    for _ in range(2000):
        places.note(dice.choice([0.001, 0.1, 5.0]), dice.choice([0, 1]))
        assert 4 <= places.now <= 9


def test_with_both_bounds_equal_it_never_moves():
    places = Places(16, 16)
    work(places, 30, lambda _now: 1.0)
    assert places.now == 16
