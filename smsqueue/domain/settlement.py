"""Ending many waiting recipients at once, with their credits: cancelled, expired, given up, charged again."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.db import changed, table_of
from smsqueue.domain import credits
from smsqueue.domain.counting import Changes
from smsqueue.models import Attempt, Campaign, Recipient, State

recipients, attempts = table_of(Recipient), table_of(Attempt)
Rows = tuple[int, int]
"""The first and the last row of a slice, both included."""
GAVE_UP = "gave_up"
"""The code of recipients whose slice spent its tries: these, and only these, a retry sends again."""
LET_GO, LET_GO_NIGHT = "let_go", "let_go_hours"
"""The codes of recipients whom a person let go of their brake: this stays, whatever else they wait for; the second is
of those who wait for the morning."""
was_let_go = recipients.c.code.in_((LET_GO, LET_GO_NIGHT))
_lost = sa.select(sa.func.count()).where(attempts.c.recipient_id == recipients.c.id, attempts.c.outcome == "unknown")
# Counted for each recipient that was tried: no planner joins all attempts for it.
is_in_doubt = sa.and_(recipients.c.attempts > 0, _lost.correlate(recipients).scalar_subquery() > 0)
"""Nobody can tell of an earlier try: it may have arrived, whatever becomes of the next one."""


def in_doubt(session: Session, ids: Sequence[int]) -> set[int]:
    """Return those of these recipients of some of whose tries nobody can tell."""
    found = sa.select(recipients.c.id).where(recipients.c.id.in_(ids), is_in_doubt)
    return set(session.scalars(found)) if ids else set()


def still_unknown(reason: str) -> str:
    """Say why somebody is unknown although the last try came to nothing."""
    return f"Nobody can tell of an earlier try, and the last one came to nothing: {reason}"[:300]


def in_rows(campaign_id: int, rows: Rows | None) -> list[sa.ColumnElement[bool]]:
    """Build the condition for a campaign's recipients, or those of one slice."""
    conditions = [recipients.c.campaign_id == campaign_id]
    if rows is not None:
        conditions.append(recipients.c.row.between(*rows))
    return conditions


def end_waiting(
    session: Session,
    campaign: Campaign,
    rows: Rows | None,
    state: State,
    *,
    error: str,
    code: str | None = None,
    which: sa.ColumnElement[bool] | None = None,
    ids: Sequence[int] | None = None,
    source: State = State.QUEUED,
) -> int:
    """Give every queued recipient of these rows (all, or `which`) a final state and its credits back; return how many.

    It is one UPDATE, so that nobody is ended and sent to at once. With `ids` only these are looked at, however many
    the campaign has. `source` is another state that they end from. Who waits for a second try while nobody can tell of
    the first one is unknown again, and nothing is credited.
    """
    mine = [] if ids is None else [recipients.c.id.in_(ids)]
    waiting = [*in_rows(campaign.id, rows), recipients.c.state == source, *mine, sa.true() if which is None else which]
    if session.execute(sa.select(recipients.c.id).where(*waiting).limit(1)).first() is None:
        return 0
    changes = Changes()
    if source == State.QUEUED:
        changes.moved(source, State.UNKNOWN, _leave_unknown(session, waiting, error))
        waiting.append(~is_in_doubt)
    nested = session.begin_nested()
    settlement = credits.record(session, "return", campaign.team_id, campaign_id=campaign.id, note=error)
    values = {"state": state, "error": error, "code": code, "settlement_id": settlement, "updated_at": now()}
    count = changed(session, sa.update(recipients).where(*waiting).values(values))
    if count:
        changes["returned"] = _price(session, campaign.id, rows, recipients.c.settlement_id == settlement, *mine)
        wallet = credits.wallet(campaign.team_id)
        credits.move(session, settlement, credits.escrow(campaign.id), wallet, changes["returned"])
        changes.moved(source, state, count)
        nested.commit()
    else:
        nested.rollback()
    changes.write(session, campaign.id)
    return -changes[source]


def _leave_unknown(session: Session, waiting: Sequence[sa.ColumnElement[bool]], error: str) -> int:
    mine = sa.select(recipients.c.id).where(*waiting)
    if session.execute(mine.where(is_in_doubt).limit(1)).first() is None:
        return 0
    # These and the others end by two UPDATEs: all are locked in the order of their ids before, as everywhere.
    session.execute(mine.order_by(recipients.c.id).with_for_update()).all()
    values = {"state": State.UNKNOWN, "error": still_unknown(error), "code": None, "not_before": None}
    return changed(session, sa.update(recipients).where(*waiting, is_in_doubt).values(**values, updated_at=now()))


def charge_again(session: Session, campaign: Campaign, rows: Rows, *, user_id: int | None) -> int:
    """Queue and charge anew exactly the recipients of a slice that was given up; return how many.

    Raises NotEnoughCredits and changes nothing.
    """
    theirs = (*in_rows(campaign.id, rows), recipients.c.state == State.FAILED, recipients.c.code == GAVE_UP)
    ids: Sequence[int] = session.scalars(sa.select(recipients.c.id).where(*theirs).with_for_update()).all()
    if not ids:
        return 0
    price = _price(session, campaign.id, rows, sa.and_(*theirs))
    values = {"state": State.QUEUED, "error": None, "code": None, "settlement_id": None, "not_before": None}
    count = changed(session, sa.update(recipients).where(*theirs).values(**values, updated_at=now()))
    transaction = credits.record(
        session, "charge", campaign.team_id, campaign_id=campaign.id, user_id=user_id, note=f"retry: {campaign.name}"
    )
    credits.move(session, transaction, credits.wallet(campaign.team_id), credits.escrow(campaign.id), price)
    changes = Changes(charged=price)
    changes.moved(State.FAILED, State.QUEUED, count)
    changes.write(session, campaign.id)
    return count


def _price(session: Session, campaign_id: int, rows: Rows | None, *which: sa.ColumnElement[bool]) -> int:
    total = sa.select(sa.func.sum(recipients.c.price)).where(*in_rows(campaign_id, rows), *which)
    return int(session.scalar(total) or 0)
