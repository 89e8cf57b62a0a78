"""Putting jobs that belong together on hold, and letting them go: by their tag, in the caller's transaction."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import changed
from smsqueue.queue.dialects import now_us
from smsqueue.queue.dispatch import HELD_UNTIL_US, SECOND, jobs, notify

_waiting = (jobs.c.tag == sa.bindparam("of"), jobs.c.reserved_at.is_(None))
_later = (*_waiting, jobs.c.available_at > now_us())
_hold = sa.update(jobs).where(*_waiting, jobs.c.available_at < HELD_UNTIL_US).values(available_at=HELD_UNTIL_US)
_payloads = sa.select(jobs.c.id, jobs.c.payload).where(*_waiting)
_queues = sa.select(jobs.c.queue).where(*_later).distinct()


def hold(session: Session, tag: str) -> int:
    """Let no waiting job of `tag` be claimed until somebody lets go; return how many could have been.

    Jobs that a worker holds are not touched: what runs them has to see for itself that it should stop.
    """
    return changed(session, _hold, {"of": tag})


def waiting(session: Session, tag: str) -> Sequence[Any]:
    """Return the ids and payloads of the jobs of `tag` that no worker holds."""
    return session.execute(_payloads, {"of": tag}).all()


def let_go(session: Session, tag: str, *, delay: float = 0, ids: Sequence[int] | None = None) -> int:
    """Make every waiting job of `tag` that is not due yet due in `delay` seconds; return how many there were.

    With `ids` only these.
    """
    queues = list(session.scalars(_queues, {"of": tag}))
    if not queues:
        return 0
    due: Any = now_us() + round(delay * SECOND)
    later = sa.update(jobs).where(*_later)
    if ids is not None:
        later = later.where(jobs.c.id.in_(ids))
    count = changed(session, later.values(available_at=due), {"of": tag})
    if delay <= 0:
        notify(session, sorted(queues))
    return count


def is_held(available_at: int) -> bool:
    """Say whether a job with this due time waits for somebody to let go."""
    return available_at >= HELD_UNTIL_US
