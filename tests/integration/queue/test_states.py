"""The life of jobs under any order of events: a model of it, and the engine beside it."""

from dataclasses import dataclass
from functools import partial

import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from smsqueue.db import Database
from smsqueue.queue import claim as claims
from smsqueue.queue import failed, workers
from smsqueue.queue.claim import Claim, LeaseLost
from smsqueue.queue.dispatch import enqueue
from smsqueue.queue.models import FailedJob, JobRow, WorkerRow
from smsqueue.queue.registry import Registry
from smsqueue.queue.stops import Stops
from tests.integration.queue.kit import Bench, Note

STOPS = Stops()
EXAMPLES = {"sqlite": 25, "postgresql": 20, "mariadb": 10}


@dataclass
class Expected:
    """What the model knows of one job."""

    attempts: int = 0
    token: str | None = None
    worker: int | None = None
    is_failed: bool = False


class Life(RuleBasedStateMachine):
    """Jobs and workers; `held` are claims as they were given out, good and stale ones alike."""

    store: Database
    crew = Bundle("crew")
    held = Bundle("held")

    def __init__(self) -> None:
        super().__init__()
        self.jobs: dict[str, Expected] = {}
        self.alive: set[int] = set()
        self.registry = Registry()
        self.registry.register(Note, lambda *_: None)
        self.bench = Bench(self.store, self.registry, STOPS)

    @initialize(target=crew)
    def begin(self) -> int:
        for model in (JobRow, FailedJob, WorkerRow):
            self.bench.execute(sa.delete(model))
        for priority in (0, 1, 1):
            self.put(priority)
        return self._new_worker()

    @precondition(lambda self: len(self.jobs) < 6)
    @rule(priority=st.integers(0, 2))
    def put(self, priority: int) -> None:
        self.store.write(lambda s: enqueue(s, Note(number=len(self.jobs)), priority=priority))
        (row,) = [row for row in self.bench.rows() if row.uuid not in self.jobs]
        self.jobs[row.uuid] = Expected()

    @precondition(lambda self: len(self.alive) < 2)
    @rule(target=crew)
    def hire(self) -> int:
        return self._new_worker()

    @rule(target=held, worker=crew, limit=st.integers(1, 4))
    def take(self, worker: int, limit: int) -> list[Claim]:
        taken = self.bench.take(limit, worker=worker)
        for each in taken:
            known = self.jobs[each.uuid]
            assert not known.is_failed
            assert known.token is None
            assert each.attempts == known.attempts + 1
            assert each.attempts == 1 or len(taken) == 1
            known.attempts, known.token, known.worker = each.attempts, each.token, worker
        free = [known for known in self.jobs.values() if known.token is None and not known.is_failed]
        assert taken or not free
        return taken

    @rule(taken=held)
    def finish(self, taken: list[Claim]) -> None:
        mine = self._mine(taken)
        assert not taken or self.store.write(lambda s: claims.finish(s, taken)) == len(mine)
        for each in mine:
            del self.jobs[each.uuid]

    @rule(taken=held)
    def hand_back(self, taken: list[Claim]) -> None:
        mine = self._mine(taken)
        assert not taken or self.store.write(lambda s: claims.hand_back(s, taken)) == len(mine)
        for each in mine:
            self._free(each.uuid, -1)

    @rule(taken=held, spent=st.booleans())
    def release(self, taken: list[Claim], spent: bool) -> None:
        for each in taken:
            if self._happens(each, lambda s, e=each: claims.release(s, e, delay_seconds=-1, spent=spent)):
                self._free(each.uuid, 0 if spent else -1)

    @rule(taken=held)
    def note_progress(self, taken: list[Claim]) -> None:
        for each in taken:
            stands = each in self._mine(taken)
            assert self.store.write(partial(claims.note_progress, held=each)) == stands
            if stands:
                self.jobs[each.uuid].attempts = 1

    @rule(taken=held)
    def fail(self, taken: list[Claim]) -> None:
        for each in taken:
            if self._happens(each, lambda s, e=each: failed.fail(s, self.registry, e, "reason", "trace")):
                self._free(each.uuid, 0)
                self.jobs[each.uuid].is_failed = True

    @precondition(lambda self: any(known.is_failed for known in self.jobs.values()))
    @rule()
    def retry_all(self) -> None:
        for row in self.bench.failed():
            self.store.write(partial(failed.retry, registry=self.registry, wanted=row.uuid))
            self.jobs[row.uuid] = Expected()

    @rule(worker=consumes(crew))
    def lose(self, worker: int) -> None:
        self.bench.expire(worker)
        assert self.store.write(workers.bury_expired) == [worker] * (worker in self.alive)
        self._ends(worker)
        self._zombies_end()

    @rule(worker=crew)
    def sign_off(self, worker: int) -> None:
        self.store.write(lambda s: workers.sign_off(s, worker, "reason", 0))
        self._ends(worker)

    @precondition(lambda self: len(self.alive) < 2)
    @rule(worker=crew)
    def beat(self, worker: int) -> None:
        assert self.store.write(lambda s: workers.beat(s, worker, 60, 0)) == (worker in self.alive)

    @precondition(lambda self: any(known.worker and known.worker not in self.alive for known in self.jobs.values()))
    @rule()
    def look_round(self) -> None:
        self.store.write(workers.bury_expired)
        self._zombies_end()

    @invariant()
    def each_job_is_in_one_place_and_as_expected(self) -> None:
        rows = {row.uuid: row for row in self.bench.rows()}
        gone = {row.uuid for row in self.bench.failed()}
        assert not rows.keys() & gone
        assert rows.keys() | gone == self.jobs.keys()
        for uuid, row in rows.items():
            known = self.jobs[uuid]
            assert not known.is_failed
            assert (row.attempts, row.claim_token, row.worker_id) == (known.attempts, known.token, known.worker)
            assert (row.reserved_at is None) == (known.token is None)
            assert row.attempts >= 0

    def _mine(self, taken: list[Claim]) -> list[Claim]:
        return [each for each in taken if each.uuid in self.jobs and self.jobs[each.uuid].token == each.token]

    def _happens(self, held: Claim, use_case) -> bool:
        stands = bool(self._mine([held]))
        try:
            self.store.write(use_case)
        except LeaseLost:
            assert not stands
        else:
            assert stands
        return stands

    def _free(self, uuid: str, change: int) -> None:
        known = self.jobs[uuid]
        known.attempts, known.token, known.worker = known.attempts + change, None, None

    def _new_worker(self) -> int:
        worker = self.bench.worker()
        self.alive.add(worker)
        return worker

    def _zombies_end(self) -> None:
        for known in self.jobs.values():
            if known.worker is not None and known.worker not in self.alive:
                known.token = known.worker = None

    def _ends(self, worker: int) -> None:
        self.alive.discard(worker)
        for known in self.jobs.values():
            if known.worker == worker:
                known.token = known.worker = None


def test_jobs_live_as_the_model_says(store, database_kind):
    machine = type("LifeOnOneDatabase", (Life,), {"store": store})
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES[database_kind],
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=checks,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # 25 steps are short enough to read
        ),
    )
