"""What operators ask of all workers, as rows: a cache that not everybody shares would break it silently."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.queue.dispatch import clock_us
from smsqueue.queue.models import ControlRow

RESTART = "restart"
RESTART_CODE = 75
"""Tells the parent that its worker stopped in order to be started anew (EX_TEMPFAIL)."""


def request_restart(session: Session) -> None:
    """Ask every worker to finish what it has in hand and start anew (with new code)."""
    session.merge(ControlRow(name=RESTART, value=clock_us(session)))


def restart_stamp(session: Session) -> int:
    """Return when a restart was last asked for; 0 for never."""
    return session.scalar(sa.select(ControlRow.value).where(ControlRow.name == RESTART)) or 0
