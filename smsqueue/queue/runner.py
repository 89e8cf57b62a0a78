"""One claimed job's run, from its payload to what is recorded of it."""

import traceback
from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from time import perf_counter
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from smsqueue.core.errors import SmsQueueError
from smsqueue.db import Database, after_commit, is_away
from smsqueue.queue import claim as claims
from smsqueue.queue import failed
from smsqueue.queue.claim import Claim, LeaseLost
from smsqueue.queue.dispatch import SECOND
from smsqueue.queue.events import emit, is_heard
from smsqueue.queue.history import Tally
from smsqueue.queue.job import Policy
from smsqueue.queue.lease import Lease
from smsqueue.queue.order import Order
from smsqueue.queue.registry import Registry, UnknownVersion
from smsqueue.queue.stops import Stops

UNKNOWN_VERSION_SECONDS = 30
HOOK_BROKE_SECONDS = 300
QUICK_SECONDS = 0.05
"""Jobs that took less and were claimed together are told together."""
SUSPECT_AFTER = 3
"""So often may the database go away while a job runs before that counts as an error of the job."""


@dataclass(frozen=True, slots=True)
class Snooze:
    """What a handler returns to be run again later; the run does not count as a try."""

    seconds: float
    reason: str


class TooManyTries(SmsQueueError):
    """A job was claimed more often than it may be, so its worker died or froze at each try."""


class End(StrEnum):
    """How a run ended."""

    DONE = "done"
    BATCHED = "batched"
    """Done, and to be deleted together with others."""
    RELEASED = "released"
    FAILED = "failed"
    LOST = "lost"
    """The job is not ours any more: nothing was recorded."""


@dataclass(slots=True)
class Run:
    """What a handler may ask while it runs."""

    claim: Claim
    database: Database
    lease: Lease
    _stops: Stops
    _order: Order
    is_complete: bool = False
    """The job is over already: the handler has committed its end itself."""

    @property
    def is_stopping(self) -> bool:
        """Say whether the handler should hand its work back soon: by a Snooze of 0 seconds, which spends no try."""
        return self._stops.reason is not None

    def should_yield(self, session: Session) -> bool:
        """Say whether something waits that goes before this job."""
        return self._order.should_yield(session, self.claim)

    def begin_lull(self, seconds: float) -> None:
        """Let this worker take no job of this queue for so long that is as urgent as this one or less."""
        self._order.lulls.begin(self.claim.queue, self.claim.priority, seconds)

    def complete_in(self, session: Session) -> None:
        """End the job in a transaction of `database.write`: the handler's own rows and the end are one commit.

        Raises LeaseLost when the job is not ours any more; nothing may be kept then. If the transaction is rolled back,
        the job goes on. An error after the commit is reported and changes nothing.
        """
        if session.in_nested_transaction():
            raise RuntimeError("complete_in belongs into the outermost transaction: a savepoint could be taken back")
        if not claims.finish(session, [self.claim]):
            raise LeaseLost(self.claim.id)
        after_commit(session, self._mark_complete)

    def _mark_complete(self) -> None:
        self.is_complete = True


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs claimed jobs, in one thread or in several, and records how each ended."""

    registry: Registry
    database: Database
    lease: Lease
    stops: Stops
    order: Order
    tally: Tally = field(default_factory=Tally)
    _breaks: Counter[str] = field(default_factory=Counter)
    """How often runs of a job ended because the database was away."""
    _quick: Counter[str] = field(default_factory=Counter)
    """The kinds of jobs whose ends are told together."""

    def run(self, held: Claim, *, is_one_of_many: bool = False) -> bool:
        """Run one job. True: it is finished and only waits to be deleted in a batch; else all is recorded.

        The end of a quick one of many is told by `tell_quick`. Raises the database's error when the database is away:
        nothing is recorded then.
        """
        began = perf_counter()
        run = Run(held, self.database, self.lease, self.stops, self.order)
        policy = self.registry.policy(held.kind)
        try:
            job = self.registry.job(held.payload)
            _refuse_poison(held, policy)
            result = self.registry.entry(held.kind).handler(job, run)
        except (Exception, SystemExit) as error:
            if is_away(error) and not run.is_complete and not self._is_suspect(held):
                raise
            seconds = perf_counter() - began
            end = self._after_error(run, policy, error)
        else:
            seconds = perf_counter() - began
            end = self._after_return(run, policy, result)
        if end is End.DONE:
            self._tell(held, seconds, together=is_one_of_many and seconds < QUICK_SECONDS)
        self._note(held, end, seconds)
        return end is End.BATCHED

    def tell_quick(self) -> None:
        """Tell that the quick ones of many have ended, by an event for each kind."""
        for kind, count in self._quick.items():
            emit("jobs.finished", worker_id=self.lease.worker_id, count=count, kind=kind)
        self._quick.clear()

    def _tell(self, held: Claim, seconds: float, *, together: bool) -> None:
        if not together:
            emit("job.finished", job_id=held.id, kind=held.kind, seconds=round(seconds, 3))
            return
        self._quick[held.kind] += 1
        if is_heard("job.batched"):
            emit("job.batched", job_id=held.id, kind=held.kind)

    def _after_return(self, run: Run, policy: Policy, result: Any) -> End:
        if run.is_complete:
            return End.DONE
        if isinstance(result, Snooze):
            return put_back(self.database, run.claim, result.seconds, spent=False, reason=result.reason)
        return End.BATCHED if policy.repeatable else self._finish(run.claim)

    def _after_error(self, run: Run, policy: Policy, error: BaseException) -> End:
        held = run.claim
        if run.is_complete:
            emit("job.broke_late", job_id=held.id, kind=held.kind, reason=self._reason(error))
            return End.DONE
        if isinstance(error, LeaseLost):
            return _lost(held)
        if isinstance(error, UnknownVersion):
            return put_back(self.database, held, UNKNOWN_VERSION_SECONDS, spent=False, reason=str(error))
        is_final = isinstance(error, (TooManyTries, *policy.fail_on)) or held.kind not in self.registry.entries
        trace = "".join(traceback.format_exception(error))
        name, reason = type(error).__name__, self._reason(error)
        return spend(
            self.database, self.registry, held, reason, trace, error=name, is_final=is_final, is_exception=True
        )

    def _is_suspect(self, held: Claim) -> bool:
        """Say whether the database was away so often just when this job ran that the job must be the cause."""
        self._breaks[held.uuid] += 1
        return self._breaks[held.uuid] > SUSPECT_AFTER

    def _finish(self, held: Claim) -> End:
        try:
            is_ours = claims.finish_at_once(self.database, held)
        except DBAPIError as error:
            if not is_away(error):
                raise
            return End.BATCHED  # it is done: as soon as the database is back it is deleted, not repeated
        return End.DONE if is_ours else _lost(held)

    def _note(self, held: Claim, end: End, seconds: float) -> None:
        if end is not End.LOST:
            self.tally.note(held, End.DONE if end is End.BATCHED else end, seconds)
        if end is not End.RELEASED and self._breaks:
            self._breaks.pop(held.uuid, None)

    def _reason(self, error: BaseException) -> str:
        return self.registry.scrub(f"{type(error).__name__}: {error}")


def spend(
    database: Database,
    registry: Registry,
    held: Claim,
    reason: str,
    trace: str,
    *,
    error: str,
    is_final: bool = False,
    is_exception: bool = False,
) -> End:
    """Record a run that ended badly: the job waits for its next try, or is given up if its policy has none left.

    `error` names the error's class; `is_final` gives the job up at once; `is_exception` says that the error was its own
    and not a death or a timeout.
    """
    policy, own = registry.policy(held.kind), int(is_exception)
    now = database.write(lambda session: claims.standing(session, held))
    if is_final or policy.is_over(now.attempts, now.exceptions + own, now.age_seconds):
        return give_up(database, registry, held, reason, trace, error=error)
    return put_back(database, held, policy.delay(now.attempts), spent=True, reason=reason, exceptions=own)


def give_up(database: Database, registry: Registry, held: Claim, reason: str, trace: str, *, error: str = "?") -> End:
    """Move a job to the failed ones, unless it is not ours any more.

    If its hook breaks, nothing is changed, and the job is given up later; it does not run again.
    """
    scrubbed = _storable(registry.scrub(trace))
    try:
        database.write(lambda session: failed.fail(session, registry, held, reason, scrubbed, error=error))
    except LeaseLost:
        return _lost(held)
    except Exception as broken:
        if is_away(broken):
            raise
        why = registry.scrub(f"giving up failed, {type(broken).__name__}: {broken}; it was {reason}")
        return put_back(database, held, HOOK_BROKE_SECONDS, spent=True, reason=why)
    emit("job.failed", job_id=held.id, kind=held.kind, attempts=held.attempts, reason=reason)
    return End.FAILED


def put_back(database: Database, held: Claim, seconds: float, *, spent: bool, reason: str, exceptions: int = 0) -> End:
    """Release a job, unless it is not ours any more."""
    facts: dict[str, Any] = {"spent": spent, "reason": _storable(reason)}
    try:
        database.write(
            lambda session: claims.release(session, held, delay_seconds=seconds, exceptions=exceptions, **facts)
        )
    except LeaseLost:
        return _lost(held)
    emit("job.released", job_id=held.id, kind=held.kind, seconds=round(seconds, 1), **facts)
    return End.RELEASED


def _refuse_poison(held: Claim, policy: Policy) -> None:
    if policy.retry_for:
        if held.attempts > 1 and held.claimed_at - held.created_at > policy.retry_for * SECOND:
            raise TooManyTries(f"the worker stopped in the middle, and the {policy.retry_for:g} s for tries are over")
    elif 0 < policy.tries < held.attempts:
        raise TooManyTries(f"the worker stopped in the middle of each of {policy.tries} tries")


def _lost(held: Claim) -> End:
    emit("job.lost", job_id=held.id, kind=held.kind)
    return End.LOST


def _storable(text: str) -> str:
    """Replace what not every database stores: PostgreSQL knows no NUL, and half a surrogate pair is no text."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
