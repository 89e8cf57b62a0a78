"""Checking a draft's rows into the database, and the quote that a person decides on."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.bulk import insert_many
from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.db import Database, table_of
from smsqueue.domain import credits, drafts, options, optouts, sheets
from smsqueue.domain.checking import Bad, Duplicate, Good, Rules, check
from smsqueue.models import Campaign, Recipient, SkippedRow, State, Status, Team

recipients, skipped_rows = table_of(Recipient), table_of(SkippedRow)
CHUNK = 1000
"""Rows of one transaction: others must not wait longer than 0.2 s for the database's write lock."""
EXAMPLES = 3


class Superseded(SmsQueueError):
    """The draft was changed, confirmed or thrown away while its rows were being checked."""


@dataclass
class Tally:
    """What has been counted so far."""

    rows: int = 0
    total: int = 0
    segments: int = 0
    price: int = 0
    bad: int = 0
    duplicates: int = 0
    opted_out: int = 0
    countries: Counter[str] = field(default_factory=Counter)


def check_rows(database: Database, campaign_id: int, rules: Rules) -> None:
    """Check every row of a draft's list and store the result, chunk by chunk; a repeated run starts anew.

    Ends quietly when the draft was changed meanwhile: whoever changed it has it checked again.
    """
    with database.reading() as session:
        campaign = session.get(Campaign, campaign_id)
        upload = drafts.upload_of(session, campaign) if campaign else None
    if campaign is None or upload is None or campaign.status != Status.DRAFT:
        return
    token, tally = campaign.token or "", Tally()
    verdicts = check(sheets.read(upload.content), campaign.column, campaign.text, rules)
    try:
        database.write(lambda session: _begin(session, campaign_id, token))
        while chunk := list(islice(verdicts, CHUNK)):
            _store(database, campaign_id, token, chunk, tally)
        database.write(lambda session: _end(session, campaign_id, token, tally))
    except Superseded:
        return


def _current(session: Session, campaign_id: int, token: str) -> Campaign:
    mine = (Campaign.id == campaign_id, Campaign.token == token, Campaign.status == Status.DRAFT)
    campaign = session.scalars(sa.select(Campaign).where(*mine).with_for_update()).first()
    if campaign is None:
        raise Superseded(f"draft {campaign_id} was changed meanwhile")
    return campaign


def _begin(session: Session, campaign_id: int, token: str) -> None:
    campaign = _current(session, campaign_id, token)
    drafts.forget_rows(session, campaign_id)
    campaign.checked_rows, campaign.checked_at = 0, None


def _store(
    database: Database, campaign_id: int, token: str, chunk: Sequence[Good | Bad | Duplicate], tally: Tally
) -> None:
    good: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    out = _opted_out(database, campaign_id, [verdict.number for verdict in chunk if isinstance(verdict, Good)])
    for verdict in chunk:
        tally.rows += 1
        if not isinstance(verdict, Good):
            rest.append(_count_rest(verdict, campaign_id, tally))
        elif verdict.number in out:
            rest.append(_count_opted_out(verdict, campaign_id, tally))
        else:
            good.append(_count_good(verdict, campaign_id, tally))

    def write(session: Session) -> None:
        _current(session, campaign_id, token).checked_rows = tally.rows
        if good:
            insert_many(session, recipients, good)
        if rest:
            insert_many(session, skipped_rows, rest)

    database.write(write)


def _opted_out(database: Database, campaign_id: int, numbers: Sequence[str]) -> set[str]:
    with database.reading() as session:
        team_id = session.scalar(sa.select(Campaign.team_id).where(Campaign.id == campaign_id))
        return optouts.out_of(session, team_id, numbers) if team_id else set()


def _count_good(row: Good, campaign_id: int, tally: Tally) -> dict[str, Any]:
    tally.total += 1
    tally.segments += row.segments
    tally.price += row.price
    tally.countries[row.country] += 1
    return {
        "campaign_id": campaign_id,
        "row": tally.total,
        "source_row": row.row,
        "number": row.number,
        "country": row.country,
        "text": row.text,
        "encoding": row.encoding,
        "segments": row.segments,
        "price": row.price,
        "state": State.QUEUED,
        "attempts": 0,
    }


def _count_rest(row: Bad | Duplicate, campaign_id: int, tally: Tally) -> dict[str, Any]:
    duplicate = isinstance(row, Duplicate)
    tally.duplicates += duplicate
    tally.bad += not duplicate
    problem = f"The same number as in row {row.first_row:,}: sent once" if isinstance(row, Duplicate) else row.problem
    base = {"campaign_id": campaign_id, "source_row": row.row, "duplicate": duplicate, "opted_out": False}
    return {**base, "cell": row.cell[:200], "problem": problem[:500]}


def _count_opted_out(row: Good, campaign_id: int, tally: Tally) -> dict[str, Any]:
    tally.opted_out += 1
    base = {"campaign_id": campaign_id, "source_row": row.row, "duplicate": False, "opted_out": True}
    return {**base, "cell": row.number, "problem": optouts.OPTED_OUT}


def _end(session: Session, campaign_id: int, token: str, tally: Tally) -> None:
    campaign = _current(session, campaign_id, token)
    campaign.checked_rows, campaign.checked_at = tally.rows, now()
    campaign.total, campaign.segments, campaign.price = tally.total, tally.segments, tally.price
    campaign.bad, campaign.duplicates, campaign.opted_out = tally.bad, tally.duplicates, tally.opted_out
    campaign.countries = dict(tally.countries)
    campaign.first_ten = options.has_first_ten(campaign, session.get_one(Team, campaign.team_id))


@dataclass(frozen=True, slots=True)
class Example:
    """A message as one recipient will get it."""

    row: int
    number: str
    text: str
    segments: int
    encoding: str


@dataclass(frozen=True, slots=True)
class Quote:
    """What confirming a draft would send and cost."""

    recipients: int
    bad: int
    duplicates: int
    opted_out: int
    segments_min: int
    segments_max: int
    segments_total: int
    price: int
    balance: int
    examples: list[Example]
    countries: list[tuple[str, int]]

    @property
    def balance_after(self) -> int:
        """What would be left; negative when it is not enough."""
        return self.balance - self.price

    @property
    def missing(self) -> int:
        """How many credits are short; 0 when there are enough."""
        return max(0, -self.balance_after)


def quote(session: Session, campaign: Campaign) -> Quote:
    """Add up a checked draft from its own rows."""
    mine = recipients.c.campaign_id == campaign.id
    sizes = sa.select(sa.func.min(recipients.c.segments), sa.func.max(recipients.c.segments)).where(mine)
    least, most = session.execute(sizes).one()
    countries = sorted((campaign.countries or {}).items(), key=lambda pair: -pair[1])
    return Quote(
        campaign.total,
        campaign.bad,
        campaign.duplicates,
        campaign.opted_out,
        least or 0,
        most or 0,
        campaign.segments,
        campaign.price,
        credits.balance(session, campaign.team_id),
        _examples(session, campaign),
        countries,
    )


def _examples(session: Session, campaign: Campaign) -> list[Example]:
    """Return the first rows, and the longest one when it is not among them."""
    columns = [recipients.c[name] for name in ("source_row", "number", "text", "segments", "encoding")]
    mine = sa.select(*columns).where(recipients.c.campaign_id == campaign.id)
    first = session.execute(mine.order_by(recipients.c.row).limit(EXAMPLES)).all()
    longest = session.execute(mine.order_by(recipients.c.segments.desc(), recipients.c.row).limit(1)).all()
    rows = [*first, *(row for row in longest if row not in first)]
    return [Example(row[0], row[1], campaign.text if row[2] is None else row[2], row[3], row[4]) for row in rows]
