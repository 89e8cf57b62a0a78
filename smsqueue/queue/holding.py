"""Putting jobs that belong together on hold, and letting them go: by their tag, in the caller's transaction."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import changed
from smsqueue.queue.dialects import MYSQL_NAMES, now_us
from smsqueue.queue.dispatch import HELD_UNTIL_US, SECOND, jobs, notify

_tagged = jobs.c.tag == sa.bindparam("of")
_is_free = jobs.c.reserved_at.is_(None)
_later = sa.and_(_is_free, jobs.c.available_at > now_us())
_loose = sa.and_(_is_free, jobs.c.available_at < HELD_UNTIL_US)
_payloads = sa.select(jobs.c.id, jobs.c.payload).where(_tagged, _is_free)
_queues = sa.select(jobs.c.queue).where(_tagged, _later).distinct()
AT_ONCE = 500
"""So many jobs are looked at by their keys in one statement."""


def hold(session: Session, tag: str) -> int:
    """Let no waiting job of `tag` be claimed until somebody lets go; return how many could have been.

    Jobs that a worker holds are not touched: what runs them has to see for itself that it should stop.
    """
    return _set_due(session, tag, _loose, HELD_UNTIL_US)


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
    later = _later if ids is None else sa.and_(_later, jobs.c.id.in_(ids))
    count = _set_due(session, tag, later, now_us() + round(delay * SECOND))
    if delay <= 0:
        notify(session, sorted(queues))
    return count


def is_held(available_at: int) -> bool:
    """Say whether a job with this due time waits for somebody to let go."""
    return available_at >= HELD_UNTIL_US


def _set_due(session: Session, tag: str, which: sa.ColumnElement[bool], due: Any) -> int:
    if session.get_bind().dialect.name not in MYSQL_NAMES:
        return changed(session, sa.update(jobs).where(_tagged, which).values(available_at=due), {"of": tag})
    # InnoDB would lock all jobs of the tag before it looks whether they wait, also those in the hands of workers, who
    # may want what the caller has locked. So they are found without locks, and each is asked by its key.
    found = session.scalars(sa.select(jobs.c.id).where(_tagged, which).order_by(jobs.c.id), {"of": tag}).all()
    portions = (found[first : first + AT_ONCE] for first in range(0, len(found), AT_ONCE))
    updates = (sa.update(jobs).where(jobs.c.id.in_(ids), which).values(available_at=due) for ids in portions)
    return sum(changed(session, update) for update in updates)
