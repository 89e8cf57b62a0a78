"""What gateways have reported of a text that is in no campaign."""

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
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
