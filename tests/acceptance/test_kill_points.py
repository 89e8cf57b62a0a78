"""A worker is killed at any moment of claim, run and finish; another finishes, and the books are right."""

import os
import random

import pytest

from smsqueue.queue import testing
from tests.entries.labour import Batched, Deadly, Task
from tests.nursery import KILLED, LEASE_SECONDS, Nursery

NEVER = 10**9

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


def test_a_job_that_kills_every_worker_is_given_up_and_costs_others_a_try_at_most(store, database):
    others = [(Batched if n % 2 else Task)(number=n) for n in range(30)]
    deaths = 0
    with Nursery(store, database.url) as nursery:
        nursery.begin([*others[:15], Deadly(number=-1), *others[15:]])
        while nursery.bear(NEVER)["code"] == KILLED:
            deaths += 1
            testing.travel(store, LEASE_SECONDS + 1)
        effects = nursery.effects()
        failures = [row.error for row in nursery.failed()]
    assert (deaths, failures) == (3, ["TooManyTries"])
    assert {row.number for row in effects} == set(range(30))
    assert max(row.attempts for row in effects) <= 2


@pytest.mark.drill
def test_a_worker_may_be_killed_at_each_moment(store, database):
    places = kill_at_each(store, database.url, 1, 1)
    kinds = {kind: sum(place.startswith(kind) for place in places) for kind in ("at", "before", "after")}
    print(f"\nRESULT {database.kind}: killed at {len(places)} moments, {kinds}; nothing lost, no safe job repeated")
    assert min(kinds.values()) >= 10
