"""`make soak`: the queue under mixed load for long, with kills, freezes, stops and restarts of its database.

`python -m tests.soak --minutes 30 --on postgresql`. It looks at the books all the time, prints a line a minute and
`RESULT {…}` at the end; it ends with 1 as soon as a promise is broken. `DRILL_SEED` repeats a run's decisions.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import count
from typing import Any

import psutil
import sqlalchemy as sa

from smsqueue.queue.dispatch import SECOND, clock_us, enqueue, jobs
from smsqueue.queue.models import FailedJob
from tests.databases import Databases
from tests.drills.yard import Yard, bounce
from tests.entries.labour import Batched, Deadly, Hesitant, Hopeless, Safe, Stumbling, Task, effects
from tests.outside import rest
from tests.processes import Process

KINDS: tuple[type[Task], ...] = (Batched, Batched, Batched, Task, Task, Safe, Safe, Safe, Stumbling, Hesitant)
"""A job's kind is the last digit of its number."""
SAFE = {digit for digit, kind in enumerate(KINDS) if kind is Safe}
LEASE = 5.0
QUIET = {"TEST_QUIET": "1"}
LONGEST_WAIT = 60.0
CHECK_SECONDS, CHAOS_SECONDS, RESTART_SECONDS = 10.0, 12.0, 150.0
FULL = 400
"""Nobody puts more in while so many wait: the load follows the machine."""
_half_held = sa.or_(
    jobs.c.reserved_at.is_(None) != jobs.c.claim_token.is_(None),
    jobs.c.reserved_at.is_(None) != jobs.c.worker_id.is_(None),
    jobs.c.attempts < 0,
)
_is_safe = (effects.c.number % 10).in_(SAFE)
_twice = sa.select(effects.c.number).where(_is_safe).group_by(effects.c.number).having(sa.func.count() > 1)
_strangers = sa.select(FailedJob.kind).where(FailedJob.kind.notin_([Hopeless.kind, Deadly.kind]))
# What is least urgent may wait for as long as there is always something else.
_oldest = sa.select(sa.func.min(jobs.c.available_at)).where(jobs.c.reserved_at.is_(None), jobs.c.priority <= 0)


class Broken(Exception):
    """A promise was not kept."""


class Soak:
    """One run."""

    def __init__(self, yard: Yard, kind: str) -> None:
        self.yard, self.kind, self.dice = yard, kind, yard.dice
        self.numbers = count()
        self.put = 0
        self.hopeless = 0
        self.did: Counter[str] = Counter()
        self.waits: list[tuple[float, Callable[[], None]]] = []
        self.spared = self._start()
        """Nobody touches this one: its memory is what a worker's looks like after a long time."""
        self.parents = yard.prepared(count=2, environment=QUIET, lease=LEASE, heartbeat=1)
        self.prey = [self._start(threads=threads) for threads in (1, 1, 3)]
        self.began = time.monotonic()
        self.memory: list[float] = []

    def run(self, minutes: float) -> None:
        """Keep it busy for so long, then let it end."""
        end = self.began + minutes * 60
        next_check, next_chaos, next_minute = (self.began + each for each in (CHECK_SECONDS, CHAOS_SECONDS, 60))
        next_restart = self.began + RESTART_SECONDS / 2
        while (now := time.monotonic()) < end:
            self._produce()
            self._do_what_is_due(now)
            if now > next_chaos:
                next_chaos = now + self.dice.uniform(0.5, 1.5) * CHAOS_SECONDS
                self.dice.choice([self._kill, self._kill, self._kill_child, self._freeze, self._stop])()
            if now > next_restart and self.kind == "postgresql":
                next_restart = now + RESTART_SECONDS
                self._restart_database()
            if now > next_check:
                next_check = now + CHECK_SECONDS
                self.check()
            if now > next_minute:
                next_minute += 60
                self._report()
            rest(0.2)

    def finish(self) -> None:
        """Let the rest be done, and check that everything was."""
        for _, act in self.waits:
            act()
        self.yard.drained(180)
        self.check()
        with self.yard.store.reading() as session:
            found = session.scalar(sa.select(sa.func.count(effects.c.number.distinct())).where(effects.c.number >= 0))
            failed = session.scalar(sa.select(sa.func.count()).select_from(FailedJob))
        if (found, failed) != (self.put, self.hopeless):
            raise Broken(f"of {self.put} jobs {found} were done, of {self.hopeless} hopeless ones {failed} given up")

    def check(self) -> None:
        """Look at the books."""
        with self.yard.store.reading() as session:
            half = session.execute(sa.select(jobs).where(_half_held)).all()
            twice = session.scalars(_twice).all()
            strangers = session.scalars(_strangers).all()
            oldest, now = session.scalar(_oldest), clock_us(session)
        waited = (now - oldest) / SECOND if oldest else 0
        findings = {"half held": half, "safe jobs done twice": twice, "given up for no reason": strangers}
        for name, found in findings.items():
            if found:
                raise Broken(f"{name}: {found[:5]}")
        if waited > LONGEST_WAIT:
            raise Broken(f"a job has waited for {waited:.0f} s")

    def result(self) -> dict[str, object]:
        """Say what came of it."""
        with self.yard.store.reading() as session:
            done = (
                session.scalar(sa.select(sa.func.count()).where(effects.c.number >= 0, effects.c.what == "done")) or 0
            )
        seconds = time.monotonic() - self.began
        return {
            "soak": self.kind,
            "minutes": round(seconds / 60, 1),
            "seed": self.yard.seed,
            "jobs": self.put + self.hopeless,
            "a_second": round(self.put / seconds),
            "repeats": done - self.put,
            "given_up": self.hopeless,
            **self.did,
            "rss_mib_first": self.memory[0] if self.memory else None,
            "rss_mib_last": self.memory[-1] if self.memory else None,
        }

    def _start(self, **options: Any) -> Process:
        return self.yard.prepared(environment=QUIET, lease=LEASE, heartbeat=1, **options)

    def _produce(self) -> None:
        if self.yard.waiting() > FULL:
            return
        many = [self._next() for _ in range(self.dice.randint(20, 80))]
        special: list[Task] = []
        if self.dice.random() < 0.02:
            special = [self.dice.choice([Hopeless, Deadly])(number=-1 - self.hopeless)]
            self.hopeless += 1

        def put(session: sa.orm.Session) -> None:
            for job, delay, priority in many:
                enqueue(session, job, delay=delay, priority=priority)
            for job in special:
                enqueue(session, job)

        self.yard.store.write(put)
        self.put += len(many)

    def _next(self) -> tuple[Task, float, int]:
        number = next(self.numbers)
        seconds = self.dice.uniform(0, 0.3) if self.dice.random() < 0.02 else 0
        delay = self.dice.uniform(0, 5) if self.dice.random() < 0.1 else 0
        return KINDS[number % 10](number=number, seconds=seconds), delay, self.dice.choice([0, 0, 0, -5, 5])

    def _do_what_is_due(self, now: float) -> None:
        due = [each for each in self.waits if each[0] <= now]
        self.waits = [each for each in self.waits if each[0] > now]
        for _, act in due:
            act()
        for number, worker in enumerate(self.prey):  # a deadly job may have ended any of them
            if not worker.is_running():
                self.prey[number] = self._start()
        if not self.spared.is_running():
            self.spared = self._start()

    def _kill(self) -> None:
        worker = self.dice.choice(self.prey)
        os.kill(worker.pid, signal.SIGKILL)
        self.did["kills"] += 1

    def _kill_child(self) -> None:
        children = psutil.Process(self.parents.pid).children()
        if children:
            self.dice.choice(children).kill()
            self.did["kills"] += 1

    def _freeze(self) -> None:
        worker = self.dice.choice(self.prey)
        os.kill(worker.pid, signal.SIGSTOP)
        wake = partial(_wake, worker)
        self.waits.append((time.monotonic() + LEASE + self.dice.uniform(1, 4), wake))
        self.did["freezes"] += 1

    def _stop(self) -> None:
        os.kill(self.dice.choice(self.prey).pid, signal.SIGTERM)
        self.did["stops"] += 1

    def _restart_database(self) -> None:
        bounce(self.yard.store.engine, self.dice.choice(["fast", "immediate"]))
        self.did["restarts"] += 1

    def _report(self) -> None:
        memory = [psutil.Process(each.pid).memory_info().rss / 2**20 for each in self._alive()]
        self.memory.append(round(memory[0], 1) if memory else 0)
        minutes = (time.monotonic() - self.began) / 60
        print(
            f"minute {minutes:.0f}: {self.put:,} jobs put in, {self.yard.waiting():,} wait, "
            f"{self.put / minutes / 60:.0f} a second, RSS MiB {[round(each) for each in memory]}, {dict(self.did)}",
            flush=True,
        )

    def _alive(self) -> list[Process]:
        return [each for each in (self.spared, *self.prey) if each.is_running()]


def _wake(worker: Process) -> None:
    if worker.is_running():
        os.kill(worker.pid, signal.SIGCONT)


def main() -> int:
    """Run, and say whether all promises were kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--on", choices=["sqlite", "postgresql", "mariadb"], default="postgresql")
    chosen = parser.parse_args()
    databases = Databases.look_around(strict=False)
    try:
        with Yard(databases.ready(chosen.on)) as yard:
            print(f"DRILL_SEED={yard.seed}", flush=True)
            soak = Soak(yard, chosen.on)
            problem = ""
            try:
                soak.run(chosen.minutes)
                soak.finish()
            except (Broken, AssertionError) as error:
                problem = str(error)
            print(f"RESULT {json.dumps({**soak.result(), 'broken': problem or None})}")
    finally:
        databases.stop()
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
