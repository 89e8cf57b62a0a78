"""What is recorded of a worker that died: its job has spent a try, all else that it held goes back unspent."""

import signal
from collections.abc import Iterable

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import Database
from smsqueue.queue import workers
from smsqueue.queue.claim import find
from smsqueue.queue.dispatch import jobs
from smsqueue.queue.registry import Registry
from smsqueue.queue.runner import spend

TIME_IS_OVER = "a job ran longer than it may"


def in_words(code: int) -> str:
    """Say how a process ended."""
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def bury(
    database: Database,
    registry: Registry,
    worker_id: int,
    reason: str,
    *,
    culprits: Iterable[tuple[int, str]],
) -> None:
    """Record a worker's death; `culprits` are the jobs (id, claim token) that it may have died of.

    A culprit waits as its class says before it is tried again, or is given up. All else is free at once.
    """
    for job_id, token in culprits:
        _spend_try(database, registry, job_id, token, reason)
    database.write(lambda session: _free(session, worker_id, reason))


def _free(session: Session, worker_id: int, reason: str) -> None:
    session.execute(sa.update(jobs).where(jobs.c.worker_id == worker_id).values(attempts=jobs.c.attempts - 1))
    workers.bury(session, [worker_id], reason)


def _spend_try(database: Database, registry: Registry, job_id: int, token: str, death: str) -> None:
    held = database.write(lambda session: find(session, job_id, token))
    if held is None:
        return
    policy = registry.policy(held.kind)
    is_late = death == TIME_IS_OVER
    error = "TimedOut" if is_late else "WorkerDied"
    what = f"stopped after {policy.timeout_seconds:g} s" if is_late else f"the worker ended in the middle ({death})"
    reason = f"{error}: {what}"
    spend(database, registry, held, reason, reason, error=error, is_final=is_late and policy.fail_on_timeout)
