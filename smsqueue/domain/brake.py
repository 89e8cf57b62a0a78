"""The brake of a number: the same words to the same number once too often within an hour are held and shown.

Counted are attempts that may have been taken, and the recipients of campaigns that were confirmed earlier and still
wait. So of any number of campaigns at once exactly those that were confirmed first go.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now as clock_now
from smsqueue.db import changed, table_of
from smsqueue.domain import first_ten, reopening
from smsqueue.domain.settlement import LET_GO, Rows, in_rows, was_let_go
from smsqueue.models import Attempt, Campaign, Kind, Recipient, State, Status, Team, UnknownPolicy
from smsqueue.queue.events import emit_once_committed

recipients, campaigns, attempts = table_of(Recipient), table_of(Campaign), table_of(Attempt)
HELD = "brake"
"""The code of a recipient that is held."""
FOR_EVER = datetime(9999, 1, 1, tzinfo=UTC)
WITHIN = timedelta(hours=1)
WAITING = (Status.PENDING, Status.PROCESSING, Status.PAUSED)
ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
TAKEN = ("sending", "unknown", "sent")
"""Outcomes of attempts that may have been taken."""

_other, _theirs = recipients.alias("other"), campaigns.alias("theirs")
_words = sa.func.coalesce(recipients.c.text, sa.bindparam("words", type_=sa.Text))
_same = (
    _other.c.number == recipients.c.number,
    _theirs.c.id == _other.c.campaign_id,
    _theirs.c.team_id == sa.bindparam("team", type_=sa.Integer),
    sa.func.coalesce(_other.c.text, _theirs.c.text) == _words,
)
_taken = (
    sa.select(sa.func.count())
    .select_from(_other, _theirs, attempts)
    .where(
        *_same,
        attempts.c.recipient_id == _other.c.id,
        attempts.c.outcome.in_(TAKEN),
        attempts.c.started_at > sa.bindparam("since"),
    )
    .correlate(recipients)
    .scalar_subquery()
)


def hold(session: Session, campaign: Campaign, rows: Rows, now: datetime) -> int:
    """Hold the waiting recipients of these rows who would get the same words once too often; return how many."""
    most = session.scalar(sa.select(Team.copies_per_hour).where(Team.id == campaign.team_id)) or 0
    if not most or not _may_repeat(session, campaign, rows, now):
        return 0
    free = sa.or_(recipients.c.code.is_(None), sa.and_(recipients.c.code != HELD, ~was_let_go))
    copies = _taken + _waiting(campaign)
    mine = (*in_rows(campaign.id, rows), recipients.c.state == State.QUEUED, free, copies >= most)
    facts = {"words": campaign.text, "team": campaign.team_id, "since": now - WITHIN, "soon": now + WITHIN}
    ids: Sequence[int] = session.scalars(sa.select(recipients.c.id).where(*mine), facts).all()
    if not ids:
        return 0
    error = f"Held: the same words went, or are to go, to this number {_times(most)} within an hour."
    values = {"not_before": FOR_EVER, "code": HELD, "error": error, "updated_at": now}
    held = sa.update(recipients).where(recipients.c.id.in_(ids), recipients.c.state == State.QUEUED)
    count = changed(session, held.values(values))
    note = sa.update(campaigns).where(campaigns.c.id == campaign.id)
    session.execute(note.values(braked=campaigns.c.braked + count))
    emit_once_committed(session, "recipients.held", campaign_id=campaign.id, count=count)
    return count


def held(session: Session, campaign: Campaign) -> int:
    """Count the recipients of a campaign that are held; reads its rows only when there ever were some."""
    if not campaign.braked or not campaign.queued:
        return 0
    return session.scalar(sa.select(sa.func.count()).where(*_held(campaign.id))) or 0


def let_go(session: Session, campaign: Campaign, by: str = "") -> int:
    """Send what was held of a campaign after all; return how many recipients."""
    mine = sa.select(recipients.c.row).where(*_held(campaign.id)).order_by(recipients.c.id)
    rows = session.scalars(mine.with_for_update()).all()
    freed = sa.update(recipients).where(*_held(campaign.id))
    count = changed(session, freed.values(not_before=None, code=LET_GO, error=None, updated_at=clock_now()))
    left = sa.case((campaigns.c.braked > count, campaigns.c.braked - count), else_=0)  # others may just have been held
    session.execute(sa.update(campaigns).where(campaigns.c.id == campaign.id).values(braked=left))
    if count and campaign.status in (Status.PENDING, Status.PROCESSING):
        _look_at(session, campaign, rows)
    if count:
        emit_once_committed(session, "recipients.let-go", campaign_id=campaign.id, count=count, by=by or None)
    return count


def _look_at(session: Session, campaign: Campaign, rows: Sequence[int]) -> None:
    """Have these rows looked at now; a job in some worker's hands may be past them, and about to rest for hours."""
    if first_ten.is_waiting(campaign):
        rows = [row for row in rows if row <= first_ten.FIRST]  # the others wait for these
    reopening.look_again(session, campaign, rows)


def _held(campaign_id: int) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        recipients.c.campaign_id == campaign_id,
        recipients.c.state == State.QUEUED,
        recipients.c.code == HELD,
    )


def _may_repeat(session: Session, campaign: Campaign, rows: Rows, now: datetime) -> bool:
    """Say, by one look into indexes, whether anything of the team went within the hour or still waits: in another
    campaign, or once already to these rows."""
    if campaign.kind == Kind.SINGLE or campaign.reopened or campaign.unknown_policy == UnknownPolicy.RESEND:
        return True
    mine = (campaigns.c.team_id == campaign.team_id, campaigns.c.id != campaign.id)
    soon = sa.and_(campaigns.c.status == Status.SCHEDULED, campaigns.c.scheduled_for <= now + WITHIN)
    kinds = (
        sa.and_(campaigns.c.status.in_(WAITING)),
        soon,
        sa.and_(campaigns.c.status.in_(ENDED), campaigns.c.finished_at > now - WITHIN),
    )
    looks = [sa.select(sa.literal(1)).select_from(campaigns).where(*mine, kind).exists() for kind in kinds]
    tried = (*in_rows(campaign.id, rows), recipients.c.state == State.QUEUED, recipients.c.attempts > 0)
    repeated = (attempts.c.recipient_id == recipients.c.id, attempts.c.is_repeated.is_(True))
    # Counted, and not joined: by the index, whatever the planner believes of a young table.
    count = sa.select(sa.func.count()).select_from(attempts).where(*repeated).correlate(recipients).scalar_subquery()
    looks.append(sa.select(sa.literal(1)).select_from(recipients).where(*tried, count > 0).exists())
    return bool(session.scalar(sa.select(sa.or_(*looks))))


def _waiting(campaign: Campaign) -> sa.ScalarSelect[int]:
    """Count the copies that wait in campaigns confirmed earlier; one that was reopened comes after all others."""
    confirmed = campaign.confirmed_at or clock_now()
    earlier = sa.or_(
        _theirs.c.confirmed_at < confirmed, sa.and_(_theirs.c.confirmed_at == confirmed, _theirs.c.id < campaign.id)
    )
    due = sa.or_(
        _theirs.c.status.in_(WAITING),
        sa.and_(_theirs.c.status == Status.SCHEDULED, _theirs.c.scheduled_for <= sa.bindparam("soon")),
    )
    return (
        sa.select(sa.func.count())
        .select_from(_other, _theirs)
        .where(
            *_same,
            _other.c.campaign_id != campaign.id,
            _other.c.state == State.QUEUED,
            sa.or_(_other.c.code.is_(None), _other.c.code != HELD),
            due,
            sa.true() if campaign.reopened else earlier,
        )
        .correlate(recipients)
        .scalar_subquery()
    )


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
