"""A campaign's copy as a new draft: the same text, recipients and options, for somebody to look at and confirm."""

import secrets
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.db import changed, table_of
from smsqueue.domain import campaigns, options, optouts
from smsqueue.domain.checking import Rules
from smsqueue.models import Campaign, Recipient, SkippedRow, State, Status, Team, User
from smsqueue.queue.events import emit_once_committed

recipients, skipped_rows = table_of(Recipient), table_of(SkippedRow)
# A copy of a text that said goodbye is a text like any other.
_source_row = sa.case((recipients.c.source_row == optouts.LAST_WORD, 1), else_=recipients.c.source_row)
LEFT_OUT = "Your team may not send this to this number as things are: its country, or the length of the text"
_SAME = ("number", "country", "text", "encoding", "segments")


class NothingToClone(SmsQueueError):
    """A draft is no campaign yet, or nobody of the campaign may be sent to any more."""


def clone(session: Session, team_id: int, uuid: UUID, user: User, rules: Rules) -> Campaign:
    """Write a campaign down once more as a draft of `user`; who has opted out since, or may not be texted, is left out.

    Nothing is charged. Raises NothingToClone.
    """
    source = campaigns.find(session, team_id, uuid)
    if source.status == Status.DRAFT:
        raise NothingToClone("This is a draft: it can be confirmed as it is.")
    draft = _written(session, source, user)
    out = optouts.is_on_list(team_id)
    fits = _fits(rules)
    _copy(session, source, draft, rules, ~out, fits)
    draft.opted_out = _leave_out(session, source, draft, optouts.OPTED_OUT, out)
    draft.bad = _leave_out(session, source, draft, LEFT_OUT, ~out, ~fits)
    _add_up(session, draft)
    if not draft.total:
        raise NothingToClone("Nobody of this campaign may be sent to any more: all have opted out, or are refused.")
    draft.first_ten = options.has_first_ten(draft, session.get_one(Team, team_id))
    emit_once_committed(session, "campaign.cloned", campaign_id=draft.id, source_id=source.id, total=draft.total)
    return draft


def _written(session: Session, source: Campaign, user: User) -> Campaign:
    draft = Campaign(
        team_id=source.team_id,
        user_id=user.id,
        kind=source.kind,
        name=source.name,
        text=source.text,
        token=secrets.token_urlsafe(32),
        cloned_from=source.uuid,
        checked_at=now(),
    )
    chosen = options.of(source)
    # The time is over, or is the other campaign's: this one goes at once, unless somebody chooses a time.
    draft.scheduled_for, draft.time_zone = None, chosen.time_zone
    draft.validity_seconds, draft.sending_hours = chosen.validity_seconds, chosen.sending_hours
    draft.unknown_policy, draft.first_ten_chosen = chosen.unknown_policy, chosen.first_ten
    session.add(draft)
    session.flush()  # its rows name it
    return draft


def _fits(rules: Rules) -> sa.ColumnElement[bool]:
    """Build the condition that the rules as they are now let a recipient be sent to."""
    short = recipients.c.segments <= rules.max_segments
    if rules.countries is None:
        return short
    return sa.and_(short, recipients.c.country.in_(sorted(rules.countries)))


def _copy(
    session: Session, source: Campaign, draft: Campaign, rules: Rules, *conditions: sa.ColumnElement[bool]
) -> None:
    """Copy the recipients in one statement, at today's price; rows count from 1 without gaps."""
    values: dict[str, Any] = {
        "campaign_id": sa.literal(draft.id),
        "row": sa.func.row_number().over(order_by=recipients.c.row),
        "source_row": _source_row,
        **{name: recipients.c[name] for name in _SAME},
        "price": recipients.c.segments * rules.credits_per_segment,
        "state": sa.literal(State.QUEUED.value),
        "attempts": sa.literal(0),
    }
    found = sa.select(*values.values()).where(recipients.c.campaign_id == source.id, *conditions)
    session.execute(sa.insert(recipients).from_select(list(values), found.order_by(recipients.c.row), False))


def _leave_out(
    session: Session, source: Campaign, draft: Campaign, why: str, *conditions: sa.ColumnElement[bool]
) -> int:
    """Write down who is left out; return how many."""
    values: dict[str, Any] = {
        "campaign_id": sa.literal(draft.id),
        "source_row": _source_row,
        "duplicate": sa.false(),
        "opted_out": sa.literal(why == optouts.OPTED_OUT),
        "cell": recipients.c.number,
        "problem": sa.literal(why),
    }
    found = sa.select(*values.values()).where(recipients.c.campaign_id == source.id, *conditions)
    insert: Any = sa.insert(skipped_rows).from_select(list(values), found, False)
    return changed(session, insert.execution_options(preserve_rowcount=True))


def _add_up(session: Session, draft: Campaign) -> None:
    mine = recipients.c.campaign_id == draft.id
    sums = (sa.func.coalesce(sa.func.sum(recipients.c[name]), 0) for name in ("segments", "price"))
    total, segments, price = session.execute(sa.select(sa.func.count(), *sums).where(mine)).one()
    known = (mine, recipients.c.country != "")  # who was checked by an older version has none
    countries = sa.select(recipients.c.country, sa.func.count()).where(*known).group_by(recipients.c.country)
    draft.total, draft.segments, draft.price = total, int(segments), int(price)
    draft.countries = dict(session.execute(countries).all())
    draft.rows = draft.checked_rows = total + draft.opted_out + draft.bad
    session.flush()
