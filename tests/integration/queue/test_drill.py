"""The drill's jobs and books: what is counted, what would be noticed, and that nothing stays."""

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from smsqueue.queue import drill, workers
from smsqueue.queue.control import controls
from smsqueue.queue.dispatch import enqueue_many
from smsqueue.queue.drill import Books
from smsqueue.queue.drill_run import Kill, Outcome, Plan
from smsqueue.queue.models import ControlRow
from tests.integration.queue.kit import Note

NAME = "0a1b2c3d"
QUEUE = f"drill-{NAME}"
PLAN = Plan(command=(), environment={}, lease=3, poll=0.5, each=4)


@pytest.fixture
def drilled(bench):
    """A bench with four drill jobs of each kind."""
    drill.register(bench.registry)
    bench.store.write(lambda session: enqueue_many(session, drill.make_jobs(NAME, 4, 0)))
    return bench


def books(bench) -> Books:
    """Read the drill's books."""
    with bench.store.reading() as session:
        return drill.read_books(session, NAME)


def outcome(bench, **values) -> dict[str, Any]:
    """What a drill that found this on disk, after one kill, says."""
    kill = Kill(worker_id=1, pid=1, alone=False, held=1, seconds=3.2)
    return Outcome(PLAN, **{"kills": [kill], "books": books(bench), **values}).result


def test_jobs_wait_in_a_queue_of_their_own(drilled):
    assert {row.queue for row in drilled.rows()} == {QUEUE}
    found = books(drilled)
    assert (found.lost(4), found.left, outcome(drilled)["ok"]) == (8, 8, False)


def test_jobs_that_all_ran_once_keep_every_promise(drilled):
    drilled.work([QUEUE])
    result = outcome(drilled)
    facts = ("lost", "left", "failed", "twice", "repeated", "foreign")
    assert [result[name] for name in facts] == [0] * 6
    assert result["ok"] is True


def test_runs_beyond_the_first_are_noticed(drilled):
    drilled.work([QUEUE])
    with drilled.store.reading() as session:
        names = list(session.scalars(sa.select(controls.c.name).where(controls.c.name.startswith("drill:"))))
    again, once = (next(name for name in names if f":{kind}:2:" in name) for kind in ("again", "once"))
    drilled.execute(sa.insert(ControlRow).values(name=f"{again}x", value=1))
    assert (outcome(drilled)["repeated"], outcome(drilled)["ok"]) == (1, True)
    drilled.execute(sa.insert(ControlRow).values(name=f"{once}x", value=1))
    assert (outcome(drilled)["twice"], outcome(drilled)["ok"]) == (1, False)


def test_job_without_its_row_is_lost(drilled):
    drilled.work([QUEUE])
    drilled.execute(sa.delete(ControlRow).where(ControlRow.name.contains(":once:3:")))
    assert (outcome(drilled)["lost"], outcome(drilled)["ok"]) == (1, False)


def test_slow_takeover_and_other_queues_break_a_promise(drilled):
    drilled.work([QUEUE])
    slow = Kill(worker_id=1, pid=1, alone=False, held=1, seconds=60)
    assert outcome(drilled, kills=[slow])["ok"] is False
    assert outcome(drilled, kills=[replace(slow, alone=True)])["ok"] is True
    assert outcome(drilled, foreign=1)["ok"] is False


def test_drill_that_killed_nobody_has_shown_nothing(drilled):
    drilled.work([QUEUE])
    assert outcome(drilled, kills=[])["ok"] is False
    assert Outcome(replace(PLAN, kills=False), books=books(drilled)).result["ok"] is True


def test_sweep_takes_all_of_the_drill_and_nothing_else(drilled):
    drilled.put(Note())
    drilled.work([QUEUE], max_jobs=3)
    others = drilled.worker()
    assert drilled.store.write(lambda session: drill.sweep(session, NAME)) >= 3 + 5 + 1
    assert drilled.store.write(lambda session: drill.sweep(session, NAME)) == 0
    assert [row.queue for row in drilled.rows()] == ["default"]
    assert set(drilled.crew()) == {others}
    with drilled.store.reading() as session:
        assert session.scalars(sa.select(controls.c.name)).all() == []


def test_run_whose_claim_was_lost_leaves_no_row(drilled):
    held = next(each for each in drilled.take(8, queue=QUEUE) if each.kind == "drill.once")
    drilled.expire(*drilled.crew())
    drilled.store.write(workers.bury_expired)
    drilled.runner().run(held)
    found = books(drilled)
    assert (len(found.once), found.left) == (0, 8)
    assert drilled.events("job.lost")
