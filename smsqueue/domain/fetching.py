"""Asking gateways what became of texts whose report did not come; lost reports are normal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
from smsqueue.domain import delivery
from smsqueue.domain.delivery import Applied
from smsqueue.domain.resolving import today
from smsqueue.domain.turns import CHUNK, Turn, traits_of
from smsqueue.gateways.base import Fetches, Gateway, Report, Unknown
from smsqueue.models import Attempt, Campaign, Recipient, State
from smsqueue.queue.events import emit
from smsqueue.queue.runner import Run, Snooze

recipients, attempts = table_of(Recipient), table_of(Attempt)
LATE = timedelta(days=1)
"""A text without a report for so long is asked about, once in so long."""
KEPT = timedelta(days=7)
"""A report that has not come in so long does not come."""


def can_fetch(gateway: Gateway | None) -> bool:
    """Say whether a gateway tells what became of a text, as it is set up."""
    return gateway is not None and isinstance(gateway, Fetches) and traits_of(gateway).fetch != "none"


def campaigns_without_reports(session: Session, most: int = 1000) -> list[int]:
    """Return campaigns of which texts may have gone a day to a week ago, and that have some without a report.

    Not only by their start: what was paused, or sent again, went later.
    """
    now = today(session)
    late_enough = sa.or_(Campaign.finished_at.is_(None), Campaign.finished_at > now - KEPT)
    some = (Campaign.sent > 0, Campaign.started_at < now - LATE, late_enough)
    found = sa.select(Campaign.id).where(*some).order_by(Campaign.id.desc()).limit(most)
    return list(session.scalars(found))


@dataclass
class Fetching:
    """One turn of asking about a campaign's texts."""

    run: Run
    gateways: Mapping[str, Gateway]
    campaign_id: int
    asked: int = 0
    told: int = 0

    def work(self) -> Snooze | None:
        """Ask about every text that is due; say when to go on, None when there is no such text."""
        after, left, reason = (0, 0), False, ""
        with Turn(self.run) as turn:
            while not reason and (chunk := self._read(after)):
                after, left = (chunk[-1].row, chunk[-1].attempt_id), True
                self._ask([row for row in chunk if row.is_due and can_fetch(self.gateways.get(row.gateway))], turn)
                reason = turn.reason_to_stop()
        if self.asked:
            emit("reports.fetched", campaign_id=self.campaign_id, asked=self.asked, told=self.told)
        if reason:
            return Snooze(0, reason)
        return Snooze(LATE.total_seconds(), "reports that did not come are asked for once a day") if left else None

    def _read(self, after: tuple[int, int]) -> Sequence[Any]:
        with self.run.database.reading() as session:
            return session.execute(_without_report(self.campaign_id, after, today(session))).all()

    def _ask(self, due: Sequence[Any], turn: Turn) -> None:
        if not due:
            return
        said = turn.ask(self._call, due)
        reports = [
            (row.gateway, replace(answer, reference=row.reference))
            for row, answer in zip(due, said, strict=True)
            if isinstance(answer, Report)
        ]
        ids = [row.attempt_id for row, answer in zip(due, said, strict=True) if answer is not None]
        for applied in self.run.database.write(partial(_write, reports=reports, asked=ids)):
            delivery.follow_up(self.run.database, applied)
        self.asked += len(ids)
        self.told += len(reports)

    def _call(self, row: Any) -> Report | Unknown | None:
        gateway = self.gateways[row.gateway]
        if not self.run.lease.covers(gateway.connect_seconds + gateway.read_seconds) or not isinstance(
            gateway, Fetches
        ):
            return None
        return gateway.fetch(row.gateway_reference)


def _without_report(campaign_id: int, after: tuple[int, int], now: datetime) -> sa.Select[Any]:
    """Choose the attempts that were taken long ago, and of which nothing more was told, from after a row's attempt on.

    Not only each recipient's last: the first may have been taken, and a later one have come to nothing.
    """
    is_due = sa.or_(attempts.c.looked_up_at.is_(None), attempts.c.looked_up_at < now - LATE + timedelta(minutes=5))
    columns = (recipients.c.row, attempts.c.id.label("attempt_id"), attempts.c.gateway, attempts.c.reference)
    more = (attempts.c.gateway_reference, sa.case((is_due, 1), else_=0).label("is_due"))
    row, attempt_id = after
    return (
        sa.select(*columns, *more)
        .join(attempts, attempts.c.recipient_id == recipients.c.id)
        .where(
            recipients.c.campaign_id == campaign_id,
            recipients.c.row >= row,
            sa.or_(recipients.c.row > row, attempts.c.id > attempt_id),
            recipients.c.state == State.SENT,
            attempts.c.outcome == "sent",
            sa.func.coalesce(attempts.c.reported, "sent") == "sent",
            attempts.c.gateway_reference.isnot(None),
            attempts.c.started_at.between(now - KEPT, now - LATE),
        )
        .order_by(recipients.c.row, attempts.c.id)
        .limit(CHUNK)
    )


def _write(session: Session, reports: Sequence[tuple[str, Report]], asked: Sequence[int]) -> list[Applied]:
    """Write down what was told, and that it was asked."""
    now = today(session)
    found = [
        delivery.apply(session, gateway, [report for name, report in reports if name == gateway], now)
        for gateway in sorted({name for name, _ in reports})
    ]
    session.execute(
        sa.update(attempts).where(attempts.c.id.in_(asked)).values(looked_up=attempts.c.looked_up + 1, looked_up_at=now)
    )
    return found
