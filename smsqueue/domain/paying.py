"""Moving recipients to what became of them after their call, each with its price."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.bulk import update_many
from smsqueue.db import table_of
from smsqueue.domain import credits
from smsqueue.domain.counting import Changes
from smsqueue.domain.errors import NotEnoughCredits
from smsqueue.models import Campaign, Recipient, State
from smsqueue.models.recipients import ACCEPTED, CREDITED, HELD
from smsqueue.queue.dialects import MYSQL_NAMES
from smsqueue.queue.events import emit_once_committed

recipients, campaigns = table_of(Recipient), table_of(Campaign)
TAKEN_LATE = "taken_late"
"""The code of recipients that were credited, and of whom a gateway says later that it took the text: they are not to be
sent to again."""
AFTER_ALL = "taken after all: "
"""So begins the note of a charge for those who were credited and had been taken: nobody is sent to again for it."""
UNPAID = "It was credited back, and the gateway says later that it took it. The credits did not suffice to pay for it."


@dataclass(frozen=True, slots=True)
class Move:
    """A locked recipient that goes from one state to another."""

    id: int
    campaign_id: int
    price: int
    settlement_id: int | None
    source: State
    target: State
    error: str | None
    code: str | None
    at: datetime

    @property
    def kind(self) -> str:
        """What it means for the credits: spend, return, refund (it was paid for), charge (it was credited), or none."""
        if self.target in ACCEPTED:
            return "spend" if self.source in HELD else "charge" if self.source in CREDITED else ""
        return "return" if self.source in HELD else "refund"

    def row(self, settlement_id: int | None) -> dict[str, Any]:
        """What the recipient becomes."""
        return {
            "id": self.id,
            "state": self.target,
            "error": self.error,
            "code": self.code,
            "not_before": None,
            "settlement_id": settlement_id,
            "updated_at": self.at,
        }


def pay(session: Session, moves: Sequence[Move]) -> None:
    """Write down where recipients went, with their credits and their campaigns' counters.

    Whoever was credited and was taken after all is charged again, and stays as it is where the team's credits do not
    suffice: nobody's wallet falls below zero for it.
    """
    _lock_all(session, moves)
    rows: list[dict[str, Any]] = []
    for campaign_id, group in groupby(sorted(moves, key=lambda move: move.campaign_id), lambda move: move.campaign_id):
        theirs = list(group)
        by_kind: dict[str, list[Move]] = {kind: [] for kind in ("charge", "spend", "return", "refund", "")}
        for move in theirs:
            by_kind[move.kind].append(move)
        rows += [move.row(move.settlement_id) for move in by_kind.pop("")]
        changes = Changes()
        if any(by_kind.values()):
            rows += _settle(session, session.get_one(Campaign, campaign_id), by_kind, changes)
        settled = {row["id"]: row["state"] for row in rows}
        for move in theirs:
            changes.moved(move.source, settled[move.id])
        changes.write(session, campaign_id)
    if rows:
        update_many(session, recipients, "id", sorted(rows, key=lambda row: row["id"]))


def _lock_all(session: Session, moves: Sequence[Move]) -> None:
    """Lock what several campaigns' credits need before the first of them moves: all escrows, then the wallets.

    Else the wallet would be held while the next campaign's escrow is waited for, whose owner may want the wallet.
    """
    ids = sorted({move.campaign_id for move in moves})
    paying = {move.campaign_id for move in moves if move.kind}
    if len(ids) < 2 or not paying:
        return
    if session.get_bind().dialect.name in MYSQL_NAMES:  # there whoever moves credits locks the campaign first
        for id_ in ids:
            session.execute(sa.select(campaigns.c.id).where(campaigns.c.id == id_).with_for_update())
    teams = session.scalars(sa.select(campaigns.c.team_id).where(campaigns.c.id.in_(paying)).distinct()).all()
    credits.lock(session, [credits.escrow(id_) for id_ in sorted(paying)])
    credits.lock(session, [credits.wallet(id_) for id_ in sorted(teams)])


def _settle(
    session: Session, campaign: Campaign, by_kind: Mapping[str, list[Move]], changes: Changes
) -> list[dict[str, Any]]:
    """Move the credits, one ledger transaction a kind, the wallet last; return what the recipients become."""
    escrow, wallet = credits.escrow(campaign.id), credits.wallet(campaign.team_id)
    again, unpaid = _charge_again(session, campaign, by_kind["charge"], changes)
    ways = {
        "spend": (escrow, credits.REVENUE, [*by_kind["spend"], *again]),
        "return": (escrow, wallet, by_kind["return"]),
        "refund": (credits.REVENUE, wallet, by_kind["refund"]),
    }
    rows = [replace(move, target=move.source, error=UNPAID, code=TAKEN_LATE).row(move.settlement_id) for move in unpaid]
    for kind, (source, target, moves) in ways.items():
        if not moves:
            continue
        amount = sum(move.price for move in moves)
        settlement = credits.record(session, kind, campaign.team_id, campaign_id=campaign.id, note=campaign.name)
        credits.move(session, settlement, source, target, amount)
        rows += [move.row(settlement) for move in moves]
        changes["spent"] += {"spend": amount, "refund": -amount}.get(kind, 0)
        changes["returned"] += amount if kind != "spend" else 0
        if kind == "refund":
            emit_once_committed(session, "credits.refunded", campaign_id=campaign.id, count=len(moves), credits=amount)
    return rows


def _charge_again(
    session: Session, campaign: Campaign, moves: list[Move], changes: Changes
) -> tuple[list[Move], list[Move]]:
    """Charge those who were credited; return who was charged and who could not be."""
    if not moves:
        return [], []
    amount = sum(move.price for move in moves)
    nested = session.begin_nested()
    try:
        note = f"{AFTER_ALL}{campaign.name}"[:500]
        charge = credits.record(session, "charge", campaign.team_id, campaign_id=campaign.id, note=note)
        credits.move(session, charge, credits.wallet(campaign.team_id), credits.escrow(campaign.id), amount)
    except NotEnoughCredits:
        nested.rollback()
        return [], moves
    nested.commit()
    changes["charged"] += amount
    return moves, []
