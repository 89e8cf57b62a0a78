"""Who wants no texts of a team any more: asked in the same UPDATE that marks `sending`."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.bulk import insert_new
from smsqueue.core.clock import now
from smsqueue.db import changed, table_of
from smsqueue.domain.settlement import Rows, end_waiting
from smsqueue.models import Campaign, OptOut, Recipient, State, User
from smsqueue.queue.events import emit_once_committed

opt_outs, recipients = table_of(OptOut), table_of(Recipient)
OPTED_OUT = "Opted out: this number wants no texts of this team."
CODE = "opted_out"
STOP, GATEWAY, PERSON = "stop", "gateway", "person"
"""Who put a number on a list: its owner, a gateway that refused it for that reason, or somebody of the team."""
LAST_WORD = 0
"""The `source_row`, which counts from 1, of a text that says goodbye: it goes although its number is on the list."""
CHUNK = 1000


def has_opted_out(team_id: Any) -> sa.ColumnElement[bool]:
    """Build the condition that a recipient's number has opted out of a team (an id, a column or a parameter).

    A text that says goodbye goes nevertheless.
    """
    return sa.and_(recipients.c.source_row != LAST_WORD, is_on_list(team_id))


def is_on_list(team_id: Any) -> sa.ColumnElement[bool]:
    """Build the condition that a recipient's number is on a team's list, also if this text says goodbye to it."""
    mine = (opt_outs.c.team_id == team_id, opt_outs.c.number == recipients.c.number)
    return sa.select(sa.literal(1)).where(*mine).correlate_except(opt_outs).exists()


def suppress(session: Session, campaign: Campaign, rows: Rows | None = None) -> int:
    """End the waiting recipients who have opted out, with their credits; return how many."""
    out = has_opted_out(campaign.team_id)
    return end_waiting(session, campaign, rows, State.SUPPRESSED, error=OPTED_OUT, code=CODE, which=out)


def out_of(session: Session, team_id: int, numbers: Sequence[str]) -> set[str]:
    """Return those of the numbers (as `+` and digits) that have opted out of a team."""
    found: set[str] = set()
    for first in range(0, len(numbers), CHUNK):
        some = opt_outs.c.number.in_(numbers[first : first + CHUNK])
        found.update(session.scalars(sa.select(opt_outs.c.number).where(opt_outs.c.team_id == team_id, some)))
    return found


def add_all(
    session: Session,
    pairs: Collection[tuple[int, str]],
    *,
    source: str,
    at: datetime | None = None,
    note: str = "",
    user_id: int | None = None,
) -> None:
    """Put numbers on teams' lists, as pairs of team and number; whoever is on one already stays as they are."""
    if not pairs:
        return
    told = {"source": source, "note": note[:200], "user_id": user_id, "created_at": at or now()}
    insert_new(session, opt_outs, [{"team_id": team_id, "number": number, **told} for team_id, number in sorted(pairs)])
    emit_once_committed(session, "opt_outs.added", count=len(pairs), source=source)


def remove_all(session: Session, pairs: Collection[tuple[int, str]], *, reason: str, user_id: int | None = None) -> int:
    """Take numbers off teams' lists, and say in the log why; return how many were there."""
    gone = 0
    for team_id, number in sorted(pairs):
        gone += changed(session, sa.delete(opt_outs).where(opt_outs.c.team_id == team_id, opt_outs.c.number == number))
    if gone:
        emit_once_committed(session, "opt_outs.removed", count=gone, reason=reason[:200], user_id=user_id)
    return gone


def let_back(session: Session, pairs: Collection[tuple[int, str]]) -> int:
    """Take off the lists whoever asks for texts again, but not whom a person of the team has put there."""
    gone = 0
    for team_id, number in sorted(pairs):
        mine = (opt_outs.c.team_id == team_id, opt_outs.c.number == number, opt_outs.c.source != PERSON)
        gone += changed(session, sa.delete(opt_outs).where(*mine))
    if gone:
        emit_once_committed(session, "opt_outs.removed", count=gone, reason="they wrote START")
    return gone


def listing(
    session: Session, team_id: int, *, search: str = "", skip: int = 0, limit: int | None = 50
) -> Sequence[OptOut]:
    """Return a team's list in the order of its numbers without the first `skip`, all or those with such digits."""
    digits = "".join(filter(str.isdigit, search)).lstrip("0")
    statement = sa.select(OptOut).where(OptOut.team_id == team_id).order_by(OptOut.number)
    if search:
        statement = statement.where(OptOut.number.contains(digits) if digits else sa.false())
    return session.scalars(statement.limit(limit).offset(skip)).all()


def people(session: Session, entries: Sequence[OptOut]) -> dict[int, str]:
    """Return the addresses of those who put entries on a list, by their ids."""
    ids = {entry.user_id for entry in entries if entry.user_id is not None}
    if not ids:
        return {}
    return {user.id: user.email for user in session.scalars(sa.select(User).where(User.id.in_(ids)))}


def count(session: Session, team_id: int) -> int:
    """Return how many numbers are on a team's list."""
    return session.scalar(sa.select(sa.func.count()).select_from(opt_outs).where(opt_outs.c.team_id == team_id)) or 0
