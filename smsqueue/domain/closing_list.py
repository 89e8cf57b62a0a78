"""The list of a closing sheet: every recipient, and the attempt that decided what became of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core import cells
from smsqueue.domain.closing import Sheet
from smsqueue.domain.laws import attempts, recipients, stream
from smsqueue.models import Campaign
from smsqueue.models.recipients import ACCEPTED, HELD

HEADS = (
    "Row",
    "Number",
    "State",
    "Code",
    "Reason",
    "Attempts",
    "Gateway",
    "Gateway's reference",
    "Segments",
    "Parts by the gateway",
    "Credits",
    "Time (UTC)",
    "Checked (UTC)",
)
_RECIPIENT = ("source_row", "number", "state", "code", "error", "attempts", "segments", "price", "updated_at")
_ATTEMPT = ("gateway", "gateway_reference", "parts", "ended_at", "reported_at")


@dataclass(frozen=True, slots=True)
class Row:
    """One recipient as the list has it."""

    source_row: int
    number: str
    state: str
    code: str
    reason: str
    attempts: int
    gateway: str
    gateway_reference: str
    segments: int
    parts: int | None
    """The gateway's count."""
    credits: int
    """What is spent on it or held for it; nothing, once it is credited back."""
    at: datetime | None


def rows(session: Session, campaign: Campaign) -> Iterator[Row]:
    """Yield every recipient with the attempt that was accepted, or else the last one; however many there are."""
    ours = attempts.c.recipient_id == recipients.c.id
    accepted = sa.func.max(sa.case((attempts.c.outcome == "sent", attempts.c.number)))
    decided = sa.func.coalesce(accepted, sa.func.max(attempts.c.number))
    best = sa.select(decided).where(ours).correlate(recipients).scalar_subquery()
    columns = [recipients.c[name] for name in _RECIPIENT] + [attempts.c[name] for name in _ATTEMPT]
    joined = recipients.outerjoin(attempts, sa.and_(ours, attempts.c.number == best))
    statement = sa.select(*columns).select_from(joined).where(recipients.c.campaign_id == campaign.id)
    for row in stream(session, statement.order_by(recipients.c.row)):
        yield _row(row)


def as_csv(session: Session, campaign: Campaign, sheet: Sheet) -> Iterator[str]:
    """Write the list as CSV, line by line, in a form that a spreadsheet cannot be made to calculate.

    Below it stands what does not add up on the sheet, which is of the same moment.
    """
    checked = f"{sheet.checked_at:%Y-%m-%d %H:%M:%S}"
    yield cells.BOM + cells.line(*HEADS)
    for row in rows(session, campaign):
        yield cells.line(
            row.source_row,
            cells.harmless(row.number),
            row.state,
            cells.harmless(row.code),
            cells.harmless(row.reason),
            row.attempts,
            cells.harmless(row.gateway),
            cells.harmless(row.gateway_reference),
            row.segments,
            "" if row.parts is None else row.parts,
            row.credits,
            f"{row.at:%Y-%m-%d %H:%M:%S}" if row.at else "",
            checked,
        )
    for problem in sheet.told_problems:
        yield cells.line(cells.harmless(f"Does not add up: {problem}"))


def _row(row: Any) -> Row:
    return Row(
        source_row=row.source_row,
        number=row.number,
        state=row.state,
        code=row.code or "",
        reason=row.error or "",
        attempts=row.attempts,
        gateway=row.gateway or "",
        gateway_reference=row.gateway_reference or "",
        segments=row.segments,
        parts=row.parts,
        credits=row.price if row.state in (*ACCEPTED, *HELD) else 0,
        at=row.reported_at or row.ended_at or row.updated_at,
    )
