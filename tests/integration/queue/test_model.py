"""The life of jobs under any order of events is as the model says, on each database."""

import os
import random

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from smsqueue.db import Database
from tests.integration.queue.life import Life

EXAMPLES = {"sqlite": 20, "postgresql": 15, "mariadb": 10}
DRILL_EXAMPLES, STEPS = 150, 50


def live(store: Database, examples: int, phases: list[Phase]) -> None:
    """Let as many lives be lived, from a seed that is printed."""
    number = int(os.environ.get("TEST_SEED") or random.randrange(2**32))
    print(f"TEST_SEED={number}")
    machine = seed(number)(type("LifeOnOneDatabase", (Life,), {"store": store}))
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    options = settings(max_examples=examples, stateful_step_count=STEPS, deadline=None, phases=phases, database=None)
    run_state_machine_as_test(machine, settings=settings(options, suppress_health_check=checks))


def test_jobs_live_as_the_model_says(store, database_kind):
    live(store, EXAMPLES[database_kind], [Phase.generate])  # the steps to a failure are few enough to read


@pytest.mark.drill
def test_many_jobs_live_as_the_model_says(store, database_kind):
    live(store, DRILL_EXAMPLES, [Phase.generate, Phase.shrink])
    print(f"\nRESULT {database_kind}: {DRILL_EXAMPLES} lives of up to {STEPS} steps were as the model says")
