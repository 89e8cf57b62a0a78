"""Ending many waiting recipients at once, with their credits: cancelled, expired, given up, charged again."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.db import changed, table_of
from smsqueue.domain import credits
from smsqueue.domain.counting import Changes
from smsqueue.models import Campaign, Recipient, State

recipients = table_of(Recipient)
Rows = tuple[int, int]
"""The first and the last row of a slice, both included."""
GAVE_UP = "gave_up"
"""The code of recipients whose slice spent its tries: these, and only these, a retry sends again."""
LET_GO, LET_GO_NIGHT = "let_go", "let_go_hours"
"""The codes of recipients whom a person let go of their brake: this stays, whatever else they wait for; the second is
of those who wait for the morning."""
was_let_go = recipients.c.code.in_((LET_GO, LET_GO_NIGHT))


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
    the campaign has. `source` is another state that they end from.
    """
    waiting = [*in_rows(campaign.id, rows), recipients.c.state == source]
    if which is not None:
        waiting.append(which)
    mine = [] if ids is None else [recipients.c.id.in_(ids)]
    waiting += mine
    if session.execute(sa.select(recipients.c.id).where(*waiting).limit(1)).first() is None:
        return 0
    nested = session.begin_nested()
    settlement = credits.record(session, "return", campaign.team_id, campaign_id=campaign.id, note=error)
    values = {"state": state, "error": error, "code": code, "settlement_id": settlement, "updated_at": now()}
    count = changed(session, sa.update(recipients).where(*waiting).values(values))
    if not count:
        nested.rollback()
        return 0
    price = _price(session, campaign.id, rows, recipients.c.settlement_id == settlement, *mine)
    credits.move(session, settlement, credits.escrow(campaign.id), credits.wallet(campaign.team_id), price)
    changes = Changes(returned=price)
    changes.moved(source, state, count)
    changes.write(session, campaign.id)
    nested.commit()
    return count


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
