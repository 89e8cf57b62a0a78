"""Gateways' own references, kept where their reports come without ours, so that whom they tell of is found."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.bulk import insert_new
from smsqueue.db import table_of
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Report, Sent
from smsqueue.models import DeliveryReport, GatewayReference

references = table_of(GatewayReference)
Key = tuple[str, str]
"""A gateway, and its reference."""


def of_answers(answers: Iterable[Answer]) -> dict[Key, str]:
    """Return our references of what gateways took, by theirs."""
    return {
        (answer.intent.gateway, theirs): answer.intent.outgoing.reference
        for answer in answers
        if isinstance(answer.outcome, Sent)
        for theirs in (answer.outcome.references or (answer.outcome.reference,))
    }


def keep(session: Session, ours: Mapping[Key, str]) -> None:
    """Remember our references by the gateways' own; what was given to another text before stays that one's."""
    rows = [
        {"gateway": gateway, "gateway_reference": theirs, "reference": reference}
        for (gateway, theirs), reference in sorted(ours.items())
        if theirs
    ]
    if rows:
        insert_new(session, references, rows)


def add_ours(session: Session, gateway: str, told: list[Report]) -> list[Report]:
    """Find ours where only the gateway's came."""
    theirs = {each.gateway_reference for each in told if not each.reference and each.gateway_reference}
    if not theirs:
        return told
    kept = sa.select(references.c.gateway_reference, references.c.reference).where(
        references.c.gateway == gateway, references.c.gateway_reference.in_(sorted(theirs))
    )
    ours: dict[str, str] = dict(session.execute(kept).all())
    return [each if each.reference else replace(each, reference=ours.get(each.gateway_reference, "")) for each in told]


def early(session: Session, keys: Collection[Key]) -> dict[str, list[Report]]:
    """Return reports, by gateway, that came when nobody knew whom they tell of, and of whom that is known by now."""
    found: dict[str, list[Report]] = defaultdict(list)
    for row in _stored(session, keys):
        told = Report(state=row.state, gateway_reference=row.gateway_reference, code=row.code, reason=row.reason)  # type: ignore[arg-type]  # stored as it was told
        found[row.gateway].append(replace(told, at=row.at, price=row.price))
    return {name: [each for each in add_ours(session, name, told) if each.reference] for name, told in found.items()}


def _stored(session: Session, keys: Collection[Key]) -> Sequence[DeliveryReport]:
    gateways, theirs = ({key[index] for key in keys} for index in (0, 1))
    nameless = (DeliveryReport.gateway.in_(sorted(gateways)), DeliveryReport.reference == "")
    mine = sa.select(DeliveryReport).where(*nameless, DeliveryReport.gateway_reference.in_(sorted(theirs)))
    return session.scalars(mine.order_by(DeliveryReport.id)).all() if keys else ()
