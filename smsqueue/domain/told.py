"""What gateways have reported, as it is kept: every report once, also of a text that is in no campaign."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.bulk import insert_new
from smsqueue.db import table_of
from smsqueue.domain.storable import clean
from smsqueue.gateways.base import Report
from smsqueue.models import DeliveryReport

reports = table_of(DeliveryReport)


def reports_of(session: Session, gateway: str, ours: str, theirs: Collection[str]) -> Sequence[DeliveryReport]:
    """List the reports of one text by our reference or the gateway's, oldest first."""
    mine = reports.c.reference == ours
    known = sorted(reference for reference in theirs if reference)
    if known:
        mine = sa.or_(mine, sa.and_(reports.c.reference == "", reports.c.gateway_reference.in_(known)))
    found = sa.select(DeliveryReport).where(reports.c.gateway == gateway, mine).order_by(reports.c.id)
    return session.scalars(found).all()


def unique(reports: Iterable[Report]) -> list[Report]:
    """Cut what is told to what there is room for, and leave out copies."""
    found: dict[tuple[str, str, str], Report] = {}
    for each in reports:
        short = replace(
            each,
            reference=clean(each.reference, 40) if len(each.reference) <= 40 else "",
            gateway_reference=clean(each.gateway_reference, 100),
            code=clean(each.code, 40),
            reason=clean(each.reason, 300),
            price=clean(each.price, 30) if each.price else None,
        )
        found.setdefault((short.reference, short.gateway_reference, short.state), short)
    return list(found.values())


def store(session: Session, gateway: str, told: Sequence[Report], ids: Mapping[str, int], now: datetime) -> None:
    """Keep reports, with the attempts that they tell of by our references."""
    rows = [
        {
            "attempt_id": ids.get(each.reference),
            "gateway": gateway,
            "reference": each.reference,
            "gateway_reference": each.gateway_reference,
            "state": each.state,
            "code": each.code,
            "reason": each.reason,
            "price": each.price,
            "at": each.at,
            "received_at": now,
        }
        for each in told
    ]
    # In one order everywhere: two who store the same ones then wait for each other, and are no deadlock.
    insert_new(
        session, reports, sorted(rows, key=lambda row: (row["reference"], row["gateway_reference"], row["state"]))
    )
