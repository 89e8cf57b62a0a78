"""What operators ask of all workers, as rows: a cache that not everybody shares would break it silently."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import changed, table_of
from smsqueue.queue.dialects import now_us
from smsqueue.queue.dispatch import SECOND, clock_us
from smsqueue.queue.events import emit_once_committed
from smsqueue.queue.models import ControlRow
from smsqueue.queue.upsert import upsert

controls = table_of(ControlRow)
RESTART = "restart"
MAINTENANCE = "maintenance"
PAUSE = "pause:"
EVERY = "*"
"""Stands for all queues."""
RESTART_CODE = 75
"""Tells the parent that its worker stopped in order to be started anew (EX_TEMPFAIL)."""
_ours = sa.or_(controls.c.name.in_((RESTART, MAINTENANCE)), controls.c.name.startswith(PAUSE))
_all_valid = (
    sa.select(controls.c.name, controls.c.value, controls.c.until, controls.c.reason, controls.c.author)
    .where(_ours, sa.or_(controls.c.until.is_(None), controls.c.until > now_us()))
    .order_by(controls.c.name)
)


@dataclass(frozen=True, slots=True)
class Control:
    """One wish: since when, until when (None: until somebody ends it), why and whose; times in microseconds UTC."""

    name: str
    since: int
    until: int | None
    reason: str
    author: str

    @property
    def queue(self) -> str:
        """Return the queue that a pause is of, `*` for all; nothing for what is no pause."""
        return self.name.removeprefix(PAUSE) if self.name.startswith(PAUSE) else ""


@dataclass(frozen=True, slots=True)
class Controls:
    """All wishes that hold at this moment."""

    restart: int = 0
    """When a restart was last asked for; 0 for never."""
    maintenance: Control | None = None
    pauses: tuple[Control, ...] = ()

    def pause_of(self, queue: str) -> Control | None:
        """Return the pause that keeps `queue` from being served; one of all queues goes before its own."""
        names = (f"{PAUSE}{EVERY}", f"{PAUSE}{queue}")
        return next((pause for name in names for pause in self.pauses if pause.name == name), None)


def read(session: Session) -> Controls:
    """Read all wishes that hold, by the database's clock."""
    rows = session.execute(_all_valid).all()
    found = {row.name: Control(*row) for row in rows}
    pauses = tuple(each for name, each in found.items() if name.startswith(PAUSE))
    restart = found.get(RESTART)
    return Controls(restart.since if restart else 0, found.get(MAINTENANCE), pauses)


def request_restart(session: Session, *, reason: str = "", author: str = "") -> int:
    """Ask every worker to finish what it has in hand and start anew (with new code); return the stamp of it."""
    _write(session, RESTART, None, reason, author)
    emit_once_committed(session, "workers.restarting", author=author, reason=reason)
    return restart_stamp(session)


def restart_stamp(session: Session) -> int:
    """Return when a restart was last asked for; 0 for never."""
    return session.scalar(sa.select(ControlRow.value).where(ControlRow.name == RESTART)) or 0


def pause(
    session: Session, queue: str = EVERY, *, seconds: float | None = None, reason: str = "", author: str = ""
) -> None:
    """Let no worker claim from `queue` (or any) for `seconds`, or until `resume`; what runs is finished."""
    _write(session, f"{PAUSE}{queue}", seconds, reason, author)
    emit_once_committed(session, "queue.paused", queue=queue, seconds=seconds, author=author, reason=reason)


def resume(session: Session, queue: str = EVERY, *, author: str = "") -> int:
    """End the pause of `queue`; for all queues, every pause. Return how many pauses that were."""
    name = controls.c.name.startswith(PAUSE) if queue == EVERY else controls.c.name == f"{PAUSE}{queue}"
    ended = changed(session, sa.delete(controls).where(name))
    if ended:
        emit_once_committed(session, "queue.resumed", queue=queue, author=author)
    return ended


def begin_maintenance(session: Session, *, seconds: float | None = None, reason: str = "", author: str = "") -> None:
    """Let workers claim nothing (unless started with --force) and pages answer that the service is being worked on."""
    _write(session, MAINTENANCE, seconds, reason, author)
    emit_once_committed(session, "maintenance.began", seconds=seconds, author=author, reason=reason)


def end_maintenance(session: Session, *, author: str = "") -> bool:
    """Go back to normal; say whether there was anything to end."""
    if not changed(session, sa.delete(controls).where(controls.c.name == MAINTENANCE)):
        return False
    emit_once_committed(session, "maintenance.ended", author=author)
    return True


def _write(session: Session, name: str, seconds: float | None, reason: str, author: str) -> None:
    now = clock_us(session)
    until = None if seconds is None else now + round(seconds * SECOND)
    row = {"name": name, "value": now, "until": until, "reason": reason[:200], "author": author[:120]}
    session.execute(upsert(session.get_bind().dialect, controls, _replaced), row)


def _replaced(_table: sa.Table, given: Any) -> dict[str, Any]:
    return {name: given[name] for name in ("value", "until", "reason", "author")}
