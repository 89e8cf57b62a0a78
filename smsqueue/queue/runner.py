"""One claimed job's run, from its payload to what is recorded of it."""

import traceback
from dataclasses import dataclass
from time import perf_counter

from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from smsqueue.core.errors import SmsQueueError
from smsqueue.db import Database, is_away
from smsqueue.queue import claim as claims
from smsqueue.queue import failed
from smsqueue.queue.claim import Claim, LeaseLost
from smsqueue.queue.events import emit
from smsqueue.queue.job import Policy
from smsqueue.queue.lease import Lease
from smsqueue.queue.order import Order
from smsqueue.queue.registry import Registry, UnknownVersion
from smsqueue.queue.stops import Stops

UNKNOWN_VERSION_SECONDS = 30
HOOK_BROKE_SECONDS = 300


@dataclass(frozen=True, slots=True)
class Snooze:
    """What a handler returns to be run again later; the run does not count as a try."""

    seconds: float
    reason: str


class TooManyTries(SmsQueueError):
    """A job was claimed more often than it may be, so its worker died or froze at each try."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a handler may ask while it runs."""

    claim: Claim
    database: Database
    lease: Lease
    _stops: Stops
    _order: Order

    @property
    def is_stopping(self) -> bool:
        """Say whether the handler should hand its work back soon."""
        return self._stops.reason is not None

    def should_yield(self, session: Session) -> bool:
        """Say whether something waits that goes before this job."""
        return self._order.should_yield(session, self.claim)


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs claimed jobs, one at a time, and records how each ended."""

    registry: Registry
    database: Database
    lease: Lease
    stops: Stops
    order: Order

    def run(self, held: Claim) -> bool:
        """Run one job. True: it is finished and only waits to be deleted in a batch; else all is recorded.

        Raises the database's error when the database is away: nothing is recorded then.
        """
        began = perf_counter()
        try:
            job = self.registry.job(held.payload)
            policy = self.registry.policy(held.kind)
            self._refuse_poison(held, policy)
            result = self.registry.entry(held.kind).handler(job, self._context(held))
        except LeaseLost:
            emit("job.lost", job_id=held.id, kind=held.kind)
            return False
        except UnknownVersion as error:
            return self._release(held, UNKNOWN_VERSION_SECONDS, spent=False, reason=str(error))
        except (Exception, SystemExit) as error:
            if is_away(error):
                raise
            self._record_error(held, error)
            return False
        if isinstance(result, Snooze):
            return self._release(held, result.seconds, spent=False, reason=result.reason)
        return self._finish(held, policy, perf_counter() - began)

    def _context(self, held: Claim) -> Run:
        return Run(held, self.database, self.lease, self.stops, self.order)

    def _refuse_poison(self, held: Claim, policy: Policy) -> None:
        if policy.tries and held.attempts > policy.tries:
            raise TooManyTries(f"the worker stopped in the middle of each of {policy.tries} tries")

    def _finish(self, held: Claim, policy: Policy, seconds: float) -> bool:
        if policy.repeatable:
            return True
        try:
            is_ours = self.database.write(lambda session: claims.finish(session, [held]))
        except DBAPIError as error:
            if not is_away(error):
                raise
            return True  # it is done: as soon as the database is back it is deleted, not repeated
        if is_ours:
            emit("job.finished", job_id=held.id, kind=held.kind, seconds=round(seconds, 3))
        else:
            emit("job.lost", job_id=held.id, kind=held.kind)
        return False

    def _record_error(self, held: Claim, error: BaseException) -> None:
        reason = self.registry.scrub(f"{type(error).__name__}: {error}")
        policy = self.registry.policy(held.kind)
        over = isinstance(error, TooManyTries) or held.kind not in self.registry.entries
        tries = self.database.write(lambda session: claims.tries_of(session, held))
        if over or (policy.tries and tries >= policy.tries):
            give_up(self.database, self.registry, held, reason, "".join(traceback.format_exception(error)))
        else:
            self._release(held, policy.delay(tries), spent=True, reason=reason)

    def _release(self, held: Claim, seconds: float, *, spent: bool, reason: str) -> bool:
        return put_back(self.database, held, seconds, spent=spent, reason=reason)


def give_up(database: Database, registry: Registry, held: Claim, reason: str, trace: str) -> None:
    """Move a job to the failed ones, unless it is not ours any more.

    If its hook breaks, nothing is changed, and the job is given up later; it does not run again.
    """
    scrubbed = _storable(registry.scrub(trace))
    try:
        database.write(lambda session: failed.fail(session, registry, held, reason, scrubbed))
    except LeaseLost:
        emit("job.lost", job_id=held.id, kind=held.kind)
        return
    except Exception as error:
        if is_away(error):
            raise
        broken = registry.scrub(f"giving up failed, {type(error).__name__}: {error}; it was {reason}")
        put_back(database, held, HOOK_BROKE_SECONDS, spent=True, reason=broken)
        return
    emit("job.failed", job_id=held.id, kind=held.kind, attempts=held.attempts, reason=reason)


def put_back(database: Database, held: Claim, seconds: float, *, spent: bool, reason: str) -> bool:
    """Release a job, unless it is not ours any more; always False."""
    reason = _storable(reason)
    try:
        database.write(lambda session: claims.release(session, held, delay_seconds=seconds, spent=spent, reason=reason))
    except LeaseLost:
        emit("job.lost", job_id=held.id, kind=held.kind)
        return False
    emit("job.released", job_id=held.id, kind=held.kind, seconds=round(seconds, 1), spent=spent, reason=reason)
    return False


def _storable(text: str) -> str:
    """Replace what not every database stores: PostgreSQL knows no NUL, and half a surrogate pair is no text."""
    return text.replace("\0", "\ufffd").encode(errors="replace").decode()
