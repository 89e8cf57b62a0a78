"""A worker is killed at any moment of claim, run and finish; another finishes, and the books are right."""

import os
import random

import pytest

from tests.nursery import Nursery

STEPS = {"sqlite": 6, "postgresql": 8, "mariadb": 8}
"""In `make test` every so-many-th moment, from a random one on; the drill takes them all."""


def kill_at_each(store, url, first, step):
    """Kill a worker at moment `first`, `first + step` … until one lives to the end; where they died."""
    places = []
    with Nursery(store, url) as nursery:
        while (place := nursery.kill_one(first)) is not None:
            places.append(place)
            first += step
    return places


def test_a_worker_may_be_killed_at_any_moment(store, database):
    step = STEPS[database.kind]
    seed = int(os.environ.get("TEST_SEED") or random.randrange(2**32))
    first = random.Random(seed).randint(1, step)
    print(f"seed {seed}: every {step}th moment from {first} on")
    places = kill_at_each(store, database.url, first, step)
    assert len(places) >= 10


@pytest.mark.drill
def test_a_worker_may_be_killed_at_each_moment(store, database):
    places = kill_at_each(store, database.url, 1, 1)
    kinds = {kind: sum(place.startswith(kind) for place in places) for kind in ("at", "before", "after")}
    print(f"\nRESULT {database.kind}: killed at {len(places)} moments, {kinds}; nothing lost, no safe job repeated")
    assert min(kinds.values()) >= 10
