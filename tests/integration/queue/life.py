"""The life of jobs under any order of events: a model of it, and the engine beside it, on each database."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from sqlalchemy.orm import Session

from smsqueue.db import Database
from smsqueue.queue import claim as claims
from smsqueue.queue import failed, testing, workers
from smsqueue.queue.claim import Claim, LeaseLost
from smsqueue.queue.clearing import clear
from smsqueue.queue.dispatch import clock_us, enqueue
from smsqueue.queue.groups import Groups
from smsqueue.queue.models import FailedJob, JobRow, WorkerRow
from smsqueue.queue.registry import Registry
from smsqueue.queue.stops import Stops
from tests.integration.queue.kit import Bench, Note
from tests.integration.queue.turns import Turns

STOPS = Stops()
TICK = 1000
"""Seconds that pass at once: so many that those which a step takes do not matter."""
LEASE_TICKS = 2.5
LUCK = st.integers(0, 999)
DELAYS = st.sampled_from([0, 0, 0, 1, 2])
GROUPS = st.sampled_from(["", "", "x", "y"])
LIMITS = {"x": 2}
"""How many jobs of a group may be held at once; the others: any number."""
KEYS = st.sampled_from([None, "a", "b"])


@dataclass
class Expected:
    """What the model knows of one job."""

    due: int = 0
    attempts: int = 0
    exceptions: int = 0
    token: str | None = None
    worker: int = 0
    key: str | None = None
    is_key_for_waiting: bool = False
    group: str = ""
    is_failed: bool = False


class Life(RuleBasedStateMachine):
    """Jobs and workers; `held` are claims as they were given out, good and stale ones alike."""

    store: Database

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.jobs: dict[str, Expected] = {}
        self.held: list[list[Claim]] = []
        self.crew: list[int] = []
        self.groups: dict[int, Groups] = {}
        self.beats: dict[int, int] = {}
        """When each worker that is taken for alive has last beaten."""
        self.registry = Registry()
        self.registry.register(Note, lambda *_: None)
        self.bench = Bench(self.store, self.registry, STOPS)

    @initialize()
    def begin(self) -> None:
        for model in (JobRow, FailedJob, WorkerRow):
            self.bench.execute(sa.delete(model))
        for priority in (0, 1, 1):
            self.put(priority, 0, None, False, "")
        self.hire()

    @precondition(lambda self: len(self.jobs) < 7)
    @rule(priority=st.integers(-1, 2), delay=DELAYS, key=KEYS, waiting=st.booleans(), group=GROUPS)
    def put(self, priority: int, delay: int, key: str | None, waiting: bool, group: str) -> None:
        holder = self._holder(key)
        unique = {"unique": key, "unique_waiting": waiting}
        options: dict[str, Any] = {"priority": priority, "delay": delay * TICK, "group": group, **unique}
        job = Note(number=len(self.jobs))
        job_id = self.store.write(lambda session: enqueue(session, job, **options))
        (row,) = [row for row in self.bench.rows() if row.id == job_id]
        assert (row.uuid == holder) if holder else (row.uuid not in self.jobs)
        if not holder:
            is_for_waiting = waiting and key is not None
            self.jobs[row.uuid] = Expected(self.now + delay, key=key, is_key_for_waiting=is_for_waiting, group=group)

    @precondition(lambda self: len(self.beats) < 3)
    @rule()
    def hire(self) -> None:
        worker = self.bench.worker(LEASE_TICKS * TICK)
        self.crew.append(worker)
        self.beats[worker] = self.now

    @rule(luck=LUCK, limit=st.integers(1, 4), ceiling=st.sampled_from([None, None, None, 0, 1]))
    def take(self, luck: int, limit: int, ceiling: int | None) -> None:
        worker = self._worker(luck)
        waiting = self._due(ceiling)
        groups = self.groups.setdefault(worker, Groups(lambda _queue, group: LIMITS.get(group, 0)))

        def claim(session: Session) -> list[Claim]:
            levels = claims.priorities(session, "default", ceiling=ceiling)
            return claims.claim_of(session, worker, "default", limit, levels, groups=groups)

        taken = self.store.write(claim)
        in_hand = Counter(known.group for known in self._in_hand())
        Turns(LIMITS, in_hand, self._comes_alone).check([each.uuid for each in taken], waiting, limit)
        self.held += [taken] * bool(taken)
        for each in taken:
            known = self.jobs[each.uuid]
            assert (each.attempts, each.exceptions) == (known.attempts + 1, known.exceptions)
            known.attempts, known.token, known.worker = each.attempts, each.token, worker
            known.key = None if known.is_key_for_waiting else known.key

    @precondition(lambda self: self.held)
    @rule(luck=LUCK, is_finished=st.booleans())
    def end_all(self, luck: int, is_finished: bool) -> None:
        taken = self._claims(luck)
        mine = self._mine(taken)
        act = claims.finish if is_finished else claims.hand_back
        assert self.store.write(lambda s: act(s, taken)) == len(mine)
        for each in mine:
            if is_finished:
                del self.jobs[each.uuid]
            else:
                self._free(each.uuid, unspent=1)

    @precondition(lambda self: self.held)
    @rule(luck=LUCK, delay=DELAYS, ending=st.sampled_from(["snoozed", "stumbled", "timed out", "failed"]))
    def end_each(self, luck: int, delay: int, ending: str) -> None:
        options: dict[str, Any] = {
            "delay_seconds": delay * TICK,
            "spent": ending != "snoozed",
            "exceptions": int(ending == "stumbled"),
        }
        fail = partial(failed.fail, registry=self.registry, reason="reason", traceback="trace")
        for each in self._claims(luck):
            act = partial(fail, held=each) if ending == "failed" else partial(claims.release, held=each, **options)
            if self._happens(each, act):
                self._free(each.uuid, unspent=int(ending == "snoozed"))
                known = self.jobs[each.uuid]
                known.is_failed = ending == "failed"
                known.due = self.now + delay
                known.exceptions += int(ending == "stumbled")

    @precondition(lambda self: self.held)
    @rule(luck=LUCK)
    def note_progress(self, luck: int) -> None:
        for each in self._claims(luck):
            stands = each in self._mine([each])
            assert self.store.write(partial(claims.note_progress, held=each)) == stands
            if stands:
                self.jobs[each.uuid].attempts = 1

    @precondition(lambda self: self.held)
    @rule(luck=LUCK)
    def hand_back_all_but_these(self, luck: int) -> None:
        worker, done = self._worker(luck), self._claims(luck)
        kept, ids = {each.id for each in done}, {row.uuid: row.id for row in self.bench.rows()}
        theirs = [uuid for uuid, known in self._queued().items() if known.worker == worker and ids[uuid] not in kept]
        assert self.store.write(lambda s: claims.hand_back_all(s, worker, but=done)) == len(theirs)
        for uuid in theirs:
            self._free(uuid, unspent=1)

    @precondition(lambda self: any(known.is_failed for known in self.jobs.values()))
    @rule()
    def retry_all(self) -> None:
        for row in self.bench.failed():
            known = self.jobs[row.uuid]
            retry = partial(failed.retry, registry=self.registry, wanted=row.uuid)
            if self._holder(known.key):
                with pytest.raises(failed.KeyTaken):
                    self.store.write(retry)
            else:
                self.store.write(retry)
                self.jobs[row.uuid] = Expected(self.now, key=known.key, group=known.group)

    @precondition(lambda self: len(self._queued()) > 5)
    @rule(reserved=st.booleans())
    def clear(self, reserved: bool) -> None:
        gone = [uuid for uuid, known in self._queued().items() if reserved or known.token is None]
        assert clear(self.store, self.registry, "default", reserved=reserved) == len(gone)
        for uuid in gone:
            del self.jobs[uuid]

    @rule(ticks=st.integers(1, 3))
    def let_time_pass(self, ticks: int) -> None:
        testing.travel(self.store, ticks * TICK)
        self.now += ticks

    @rule(luck=LUCK)
    def beat(self, luck: int) -> None:
        worker = self._worker(luck)
        is_alive = worker in self.beats
        assert self.store.write(lambda s: workers.beat(s, worker, LEASE_TICKS * TICK, 0)) == is_alive
        if is_alive:
            self.beats[worker] = self.now

    @precondition(lambda self: self._dead() or any(known.worker not in self.beats for known in self._in_hand()))
    @rule()
    def look_round(self) -> None:
        dead = self._dead()
        assert set(self.store.write(workers.bury_expired)) == dead
        self._bury(dead)
        self._bury({known.worker for known in self._in_hand()} - self.beats.keys())

    @precondition(lambda self: len(self.beats) > 1)
    @rule(luck=LUCK)
    def sign_off(self, luck: int) -> None:
        worker = self._worker(luck)
        self.store.write(lambda s: workers.sign_off(s, worker, "reason", 0))
        self._bury({worker})

    @invariant()
    def each_job_is_in_one_place_and_as_expected(self) -> None:
        rows = {row.uuid: row for row in self.bench.rows()}
        gone = {row.uuid for row in self.bench.failed()}
        assert not rows.keys() & gone
        assert rows.keys() | gone == self.jobs.keys()
        assert rows.keys() == self._queued().keys()
        now = self.store.write(clock_us)
        for uuid, row in rows.items():
            known = self.jobs[uuid]
            assert (row.attempts, row.claim_token, row.worker_id or 0) == (known.attempts, known.token, known.worker)
            assert (row.exceptions, row.unique_key) == (known.exceptions, known.key)
            assert (row.reserved_at is None) == (known.token is None)
            assert (row.available_at <= now) == (known.due <= self.now)
            assert row.attempts >= 0

    @invariant()
    def limits_hold(self) -> None:
        slots = [row.group_slot for row in self.bench.rows() if row.group_key in LIMITS and row.reserved_at is not None]
        assert len(slots) == len(set(slots))
        assert set(slots) <= set(range(LIMITS["x"]))

    @invariant()
    def keys_are_unique(self) -> None:
        keys = [known.key for known in self._queued().values() if known.key]
        assert len(keys) == len(set(keys))

    def _queued(self) -> dict[str, Expected]:
        return {uuid: known for uuid, known in self.jobs.items() if not known.is_failed}

    def _holder(self, key: str | None) -> str | None:
        return next((uuid for uuid, known in self._queued().items() if key and known.key == key), None)

    def _due(self, ceiling: int | None) -> list[JobRow]:
        """What could be claimed, the most urgent first, then the oldest."""
        known = self._queued()
        due = [row for row in self.bench.rows() if known[row.uuid].token is None and known[row.uuid].due <= self.now]
        due = [row for row in due if ceiling is None or row.priority <= ceiling]
        return sorted(due, key=lambda row: (row.priority, row.available_at, row.id))

    def _comes_alone(self, row: JobRow) -> bool:
        known = self.jobs[row.uuid]
        return known.attempts > 0 or known.is_key_for_waiting

    def _mine(self, taken: list[Claim]) -> list[Claim]:
        return [each for each in taken if each.uuid in self.jobs and self.jobs[each.uuid].token == each.token]

    def _happens(self, held: Claim, use_case: Callable[[Session], None]) -> bool:
        stands = bool(self._mine([held]))
        try:
            self.store.write(use_case)
        except LeaseLost:
            assert not stands
        else:
            assert stands
        return stands

    def _free(self, uuid: str, *, unspent: int = 0) -> None:
        known = self.jobs[uuid]
        known.attempts, known.token, known.worker = known.attempts - unspent, None, 0

    def _in_hand(self) -> list[Expected]:
        return [known for known in self.jobs.values() if known.token is not None]

    def _dead(self) -> set[int]:
        return {worker for worker, at in self.beats.items() if self.now - at > LEASE_TICKS}

    def _bury(self, dead: set[int]) -> None:
        for worker in dead:
            self.beats.pop(worker, None)
        for known in self.jobs.values():
            if known.worker in dead:
                known.token, known.worker = None, 0

    def _worker(self, luck: int) -> int:
        """One of the living, mostly."""
        some = list(self.beats) if self.beats and luck % 5 else self.crew
        return some[luck % len(some)]

    def _claims(self, luck: int) -> list[Claim]:
        """Claims that stand, mostly."""
        good = [taken for taken in self.held if self._mine(taken)]
        some = good if good and luck % 4 else self.held
        return some[luck % len(some)]
