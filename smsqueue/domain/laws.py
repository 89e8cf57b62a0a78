"""The laws that each campaign keeps: its counters, credits, recipients and attempts say the same.

The audit asks them of every campaign, a closing sheet of one: each law takes a campaign's id, or None for all of them,
and yields a sentence for each thing that does not add up.
"""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
from smsqueue.domain.credits import escrow
from smsqueue.domain.paying import TAKEN_LATE
from smsqueue.models import Account, Attempt, Campaign, LedgerEntry, LedgerTransaction, Recipient, State, Status
from smsqueue.models.recipients import ACCEPTED, CREDITED, HELD

accounts, entries, transactions = table_of(Account), table_of(LedgerEntry), table_of(LedgerTransaction)
campaigns, recipients, attempts = table_of(Campaign), table_of(Recipient), table_of(Attempt)
FLOWS = {"charged": {"charge": 1}, "returned": {"return": 1, "refund": 1}, "spent": {"spend": 1, "refund": -1}}
"""What a campaign says it moved: by which kinds of movements in the ledger, and with which sign."""
is_billed = sa.and_(attempts.c.outcome == "sent", sa.func.coalesce(attempts.c.reported, "") != "failed")
"""The gateway took it, and did not say later that it does not charge for it."""
Only = int | None


def of_campaigns(session: Session, only: Only = None) -> Iterator[str]:
    """Check every law of campaigns, or of one of them."""
    for law in (_flows, _campaigns, _settlements, _settled_amounts, _journal, _accepted, _credited):
        yield from law(session, only)


def stream(session: Session, statement: sa.Select[Any]) -> Iterator[Any]:
    """Yield rows as they come: there may be a million."""
    yield from session.execute(statement, execution_options={"yield_per": 1000})


def total(value: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    """Build the sum of a column, 0 where there is nothing."""
    return sa.func.coalesce(sa.func.sum(value), 0)


def moved(kinds: dict[str, int]) -> sa.ColumnElement[int]:
    """Build the sum of what movements of these kinds gained, each with its sign."""
    signed = ((transactions.c.kind == kind, entries.c.amount * sign) for kind, sign in kinds.items())
    return total(sa.case(*signed, else_=0))


def price_of(states: tuple[State, ...]) -> sa.ColumnElement[int]:
    """Build the sum of what recipients in these states cost."""
    return total(sa.case((recipients.c.state.in_(states), recipients.c.price), else_=0))


def _of(column: sa.ColumnElement[Any], only: Only) -> sa.ColumnElement[bool]:
    return sa.true() if only is None else column == only


def _flows(session: Session, only: Only) -> Iterator[str]:
    """What a campaign says was charged, returned and spent is what the ledger moved for it."""
    sums = [moved(kinds) for kinds in FLOWS.values()]
    stored = [campaigns.c[name] for name in FLOWS]
    gains = sa.and_(entries.c.transaction_id == transactions.c.id, entries.c.amount > 0)
    joined = campaigns.outerjoin(transactions, transactions.c.campaign_id == campaigns.c.id).outerjoin(entries, gains)
    statement = sa.select(campaigns.c.id, *stored, *sums).select_from(joined).where(_of(campaigns.c.id, only))
    wrong = sa.or_(*(says != is_ for says, is_ in zip(stored, sums, strict=True)))
    for id_, *numbers in stream(session, statement.group_by(campaigns.c.id, *stored).having(wrong)):
        says, is_ = ("/".join(map(str, part)) for part in (numbers[:3], numbers[3:]))
        yield f"campaign {id_}: charged/returned/spent are {says}, the ledger says {is_}"


def _campaigns(session: Session, only: Only) -> Iterator[str]:
    """Counters are what the recipients say, and each campaign's credits are what its recipients cost."""
    escrows = sa.select(accounts.c.name, accounts.c.balance)
    mine = accounts.c.name.startswith("escrow:") if only is None else accounts.c.name == escrow(only)
    held: dict[str, int | None] = dict(session.execute(escrows.where(mine)).all())
    sums = [total(sa.case((recipients.c.state == state, 1), else_=0)) for state in State]
    prices = [price_of(states) for states in (HELD, ACCEPTED, CREDITED)]
    names = [*(state.value for state in State), "total", "charged", "returned", "spent", "finished_at"]
    counters = [campaigns.c[name] for name in names]
    joined = campaigns.outerjoin(recipients, recipients.c.campaign_id == campaigns.c.id)
    launched = sa.and_(campaigns.c.status != Status.DRAFT, _of(campaigns.c.id, only))
    statement = sa.select(campaigns.c.id, *counters, *sums, *prices).select_from(joined).where(launched)
    for row in stream(session, statement.group_by(campaigns.c.id, *counters)):
        stored = dict(zip(names, row[1 : len(names) + 1], strict=True))
        found = [int(value) for value in row[len(names) + 1 :]]
        counted = dict(zip((state.value for state in State), found, strict=False))
        for problem in (*_counts(stored, counted), *_money(stored, found[-3:], held.get(escrow(row[0])))):
            yield f"campaign {row[0]}: {problem}"


def _counts(stored: dict[str, int], counted: dict[str, int]) -> Iterator[str]:
    for state, number in counted.items():
        if stored[state] != number:
            yield f"the counter says {stored[state]} {state}, the recipients {number}"
    if stored["total"] != sum(counted.values()):
        yield f"the total is {stored['total']}, the recipients are {sum(counted.values())}"
    if stored["finished_at"] and counted[State.QUEUED] + counted[State.SENDING]:
        yield "it is closed, but recipients are queued or being sent"


def _money(stored: dict[str, int], prices: list[int], balance: int | None) -> Iterator[str]:
    held, accepted, credited = prices
    if balance != held:
        yield f"escrow holds {balance}, its queued, sending and unknown recipients cost {held}"
    if stored["spent"] != accepted:
        yield f"{stored['spent']} credits were spent, the accepted recipients cost {accepted}"
    if stored["charged"] - stored["returned"] != held + accepted:
        yield f"{stored['charged']} charged - {stored['returned']} returned is not {held} held + {accepted} accepted"
    if credited > stored["returned"]:
        yield f"{stored['returned']} credits were returned, the recipients not accepted cost {credited}"


def _settlements(session: Session, only: Only) -> Iterator[str]:
    """A recipient is settled by a movement of its own campaign that fits its state, or, while held, by none."""
    fits = transactions.c.campaign_id == recipients.c.campaign_id
    kind = sa.func.coalesce(transactions.c.kind, "")
    wrong = sa.or_(
        sa.and_(recipients.c.state.in_(HELD), recipients.c.settlement_id.isnot(None)),
        sa.and_(recipients.c.state.in_(ACCEPTED), kind != "spend"),
        sa.and_(recipients.c.state.in_(CREDITED), kind.notin_(("return", "refund"))),
    )
    joined = recipients.outerjoin(transactions, sa.and_(transactions.c.id == recipients.c.settlement_id, fits))
    statement = sa.select(recipients.c.id, recipients.c.state).select_from(joined)
    for id_, state in stream(session, statement.where(wrong, _of(recipients.c.campaign_id, only))):
        yield f"recipient {id_}: its state is {state}, but its credits say otherwise"


def _settled_amounts(session: Session, only: Only) -> Iterator[str]:
    """A settlement moved what its recipients cost; some that were credited may have been charged again since."""
    gained = sa.func.sum(entries.c.amount).label("moved")
    gains = sa.select(entries.c.transaction_id, gained).where(entries.c.amount > 0)
    if only is not None:
        theirs = sa.select(transactions.c.id).where(transactions.c.campaign_id == only)
        gains = gains.where(entries.c.transaction_id.in_(theirs))
    out = gains.group_by(entries.c.transaction_id).subquery()
    cost = sa.select(recipients.c.settlement_id, sa.func.sum(recipients.c.price).label("cost"))
    settled = (recipients.c.settlement_id.isnot(None), _of(recipients.c.campaign_id, only))
    cost_of = cost.where(*settled).group_by(recipients.c.settlement_id).subquery()
    spends = transactions.join(out, out.c.transaction_id == transactions.c.id).outerjoin(
        cost_of, cost_of.c.settlement_id == transactions.c.id
    )
    cost_or_none = sa.func.coalesce(cost_of.c.cost, 0)
    kind = transactions.c.kind
    # Of what was spent, some may have been refunded since: then the campaign's sums tell.
    others = transactions.alias("others")
    refunds = sa.exists().where(others.c.campaign_id == transactions.c.campaign_id, others.c.kind == "refund")
    too_much = sa.and_(kind == "spend", out.c.moved > cost_or_none, ~refunds)
    wrong = sa.or_(too_much, sa.and_(kind.in_(("spend", "return", "refund")), out.c.moved < cost_or_none))
    statement = sa.select(transactions.c.id, kind, out.c.moved, cost_or_none).select_from(spends).where(wrong)
    for id_, name, amount, price in stream(session, statement):
        yield f"ledger transaction {id_}: its {name} moved {amount}, its recipients cost {price}"


def _journal(session: Session, only: Only) -> Iterator[str]:
    """Each recipient has as many attempts in the journal as it was tried, and nobody was accepted and billed twice.

    But for those whom somebody sent to again knowing that it may be the second time, or since their gateway said that
    it did not know the first. Closing sheets count these.
    """
    once = sa.and_(is_billed, attempts.c.is_repeated.is_(False))
    billed = total(sa.case((once, 1), else_=0))
    written = sa.func.count(attempts.c.id)
    joined = recipients.outerjoin(attempts, attempts.c.recipient_id == recipients.c.id)
    statement = sa.select(recipients.c.id, recipients.c.attempts, written, billed).select_from(joined)
    wrong = sa.or_(recipients.c.attempts != written, billed > 1)
    grouped = statement.where(_of(recipients.c.campaign_id, only)).group_by(recipients.c.id, recipients.c.attempts)
    for id_, tried, count, accepted in stream(session, grouped.having(wrong)):
        if tried != count:
            yield f"recipient {id_}: tried {tried} times, the journal has {count} attempts"
        if accepted > 1:
            yield f"recipient {id_}: accepted {accepted} times"


def _accepted(session: Session, only: Only) -> Iterator[str]:
    """An accepted recipient has an accepted attempt."""
    taken = sa.select(attempts.c.id).where(attempts.c.recipient_id == recipients.c.id, attempts.c.outcome == "sent")
    paid = sa.select(recipients.c.id).where(recipients.c.state.in_(ACCEPTED), ~taken.exists())
    for (id_,) in stream(session, paid.where(_of(recipients.c.campaign_id, only))):
        yield f"recipient {id_}: paid for, but no attempt was accepted"


def _credited(session: Session, only: Only) -> Iterator[str]:
    """Nobody who was accepted and billed is credited or waits, but who could not be charged again."""
    joined = recipients.join(attempts, attempts.c.recipient_id == recipients.c.id)
    known = sa.func.coalesce(recipients.c.code, "") == TAKEN_LATE
    free = sa.select(recipients.c.id, recipients.c.state).select_from(joined).distinct()
    wrong = (is_billed, recipients.c.state.notin_(ACCEPTED), ~known)
    for id_, state in stream(session, free.where(*wrong, _of(recipients.c.campaign_id, only))):
        yield f"recipient {id_}: an attempt was accepted, but its state is {state}"
