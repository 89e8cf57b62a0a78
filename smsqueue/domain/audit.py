"""The books, checked: every law that credits, counters and recipients must keep, on one snapshot."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
from smsqueue.models import Account, Attempt, Campaign, LedgerEntry, LedgerTransaction, Recipient, State, Status
from smsqueue.models.recipients import ACCEPTED, CREDITED, HELD

accounts, entries, transactions = table_of(Account), table_of(LedgerEntry), table_of(LedgerTransaction)
campaigns, recipients, attempts = table_of(Campaign), table_of(Recipient), table_of(Attempt)
_launched = campaigns.c.status != Status.DRAFT


@dataclass
class Report:
    """How much was looked at, and each thing that does not add up, as a sentence."""

    checked: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Say whether everything adds up."""
        return not self.problems


def audit(session: Session) -> Report:
    """Check all laws; the session must be a snapshot (`Database.snapshot`)."""
    report = Report()
    for law in (_transactions, _balances, _campaigns, _settlements, _attempts):
        report.problems.extend(law(session))
    for name, table in (("transactions", transactions), ("campaigns", campaigns), ("recipients", recipients)):
        report.checked[name] = session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
    return report


def _transactions(session: Session) -> Iterator[str]:
    """Each transaction has at least two entries, and they sum to 0."""
    total, count = sa.func.coalesce(sa.func.sum(entries.c.amount), 0), sa.func.count(entries.c.id)
    joined = transactions.outerjoin(entries, entries.c.transaction_id == transactions.c.id)
    statement = sa.select(transactions.c.id, total, count).select_from(joined).group_by(transactions.c.id)
    for id_, sum_, number in _stream(session, statement.having(sa.or_(total != 0, count < 2))):
        yield f"ledger transaction {id_}: {number} entries that sum to {sum_}, not 0"


def _balances(session: Session) -> Iterator[str]:
    """Each cached balance is the sum of its entries, and none is below zero."""
    total = sa.func.coalesce(sa.func.sum(entries.c.amount), 0)
    joined = accounts.outerjoin(entries, entries.c.account_id == accounts.c.id)
    statement = sa.select(accounts.c.name, accounts.c.balance, total).select_from(joined)
    grouped = statement.where(accounts.c.balance.isnot(None)).group_by(
        accounts.c.id, accounts.c.name, accounts.c.balance
    )
    for name, cached, sum_ in _stream(
        session, grouped.having(sa.or_(accounts.c.balance != total, accounts.c.balance < 0))
    ):
        yield f"account {name}: the balance says {cached}, its entries {sum_}"


def _campaigns(session: Session) -> Iterator[str]:
    """Counters are what the recipients say, and each campaign's credits are what its recipients cost."""
    held = dict(session.execute(sa.select(accounts.c.name, accounts.c.balance)).tuples().all())
    sums = [_sum(sa.case((recipients.c.state == state, 1), else_=0)) for state in State]
    prices = [_price_of(states) for states in (HELD, ACCEPTED, CREDITED)]
    names = [*(state.value for state in State), "total", "charged", "returned", "spent", "finished_at"]
    counters = [campaigns.c[name] for name in names]
    joined = campaigns.outerjoin(recipients, recipients.c.campaign_id == campaigns.c.id)
    statement = sa.select(campaigns.c.id, *counters, *sums, *prices).select_from(joined).where(_launched)
    for row in _stream(session, statement.group_by(campaigns.c.id, *counters)):
        stored = dict(zip(names, row[1 : len(names) + 1], strict=True))
        found = [int(value) for value in row[len(names) + 1 :]]
        counted = dict(zip((state.value for state in State), found, strict=False))
        for problem in (*_counts(stored, counted), *_money(stored, found[-3:], held.get(f"escrow:{row[0]}"))):
            yield f"campaign {row[0]}: {problem}"


def _counts(stored: dict[str, int], counted: dict[str, int]) -> Iterator[str]:
    for state, number in counted.items():
        if stored[state] != number:
            yield f"the counter says {stored[state]} {state}, the recipients {number}"
    if stored["total"] != sum(counted.values()):
        yield f"the total is {stored['total']}, the recipients are {sum(counted.values())}"
    if stored["finished_at"] and counted[State.QUEUED] + counted[State.SENDING]:
        yield "it is closed, but recipients are queued or being sent"


def _money(stored: dict[str, int], prices: list[int], escrow: int | None) -> Iterator[str]:
    held, accepted, credited = prices
    if escrow != held:
        yield f"escrow holds {escrow}, its queued, sending and unknown recipients cost {held}"
    if stored["spent"] != accepted:
        yield f"{stored['spent']} credits were spent, the accepted recipients cost {accepted}"
    if stored["charged"] - stored["returned"] != held + accepted:
        yield f"{stored['charged']} charged - {stored['returned']} returned is not {held} held + {accepted} accepted"
    if credited > stored["returned"]:
        yield f"{stored['returned']} credits were returned, the recipients not accepted cost {credited}"


def _settlements(session: Session) -> Iterator[str]:
    """A recipient is settled exactly when it is accepted or credited, for what its settlement moved."""
    decided = recipients.c.state.in_((*ACCEPTED, *CREDITED))
    wrong = sa.or_(
        sa.and_(decided, recipients.c.settlement_id.is_(None)),
        sa.and_(~decided, recipients.c.settlement_id.isnot(None)),
    )
    for id_, state in _stream(session, sa.select(recipients.c.id, recipients.c.state).where(wrong)):
        yield f"recipient {id_}: its state is {state}, but its credits say otherwise"
    moved = sa.func.sum(entries.c.amount).label("moved")
    out = (
        sa.select(entries.c.transaction_id, moved)
        .where(entries.c.amount > 0)
        .group_by(entries.c.transaction_id)
        .subquery()
    )
    cost = sa.select(recipients.c.settlement_id, sa.func.sum(recipients.c.price).label("cost"))
    cost_of = cost.where(recipients.c.settlement_id.isnot(None)).group_by(recipients.c.settlement_id).subquery()
    spends = transactions.join(out, out.c.transaction_id == transactions.c.id).outerjoin(
        cost_of, cost_of.c.settlement_id == transactions.c.id
    )
    cost_or_none = sa.func.coalesce(cost_of.c.cost, 0)
    statement = sa.select(transactions.c.id, out.c.moved, cost_or_none).select_from(spends)
    for id_, amount, price in _stream(
        session, statement.where(transactions.c.kind == "spend", out.c.moved != cost_or_none)
    ):
        yield f"ledger transaction {id_}: it spent {amount}, its recipients cost {price}"
    for id_, amount, price in _stream(
        session, statement.where(transactions.c.kind == "return", out.c.moved < cost_or_none)
    ):
        yield f"ledger transaction {id_}: it returned {amount}, its recipients cost {price}"


def _attempts(session: Session) -> Iterator[str]:
    """Nobody was accepted twice, and an accepted recipient has an accepted attempt."""
    twice = sa.select(attempts.c.recipient_id, sa.func.count()).where(attempts.c.outcome == "sent")
    for id_, count in _stream(session, twice.group_by(attempts.c.recipient_id).having(sa.func.count() > 1)):
        yield f"recipient {id_}: accepted {count} times"
    accepted = sa.select(attempts.c.id).where(attempts.c.recipient_id == recipients.c.id, attempts.c.outcome == "sent")
    paid = sa.select(recipients.c.id).where(recipients.c.state.in_(ACCEPTED), ~accepted.exists())
    for (id_,) in _stream(session, paid):
        yield f"recipient {id_}: paid for, but no attempt was accepted"


def _sum(value: sa.ColumnElement[int]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(value), 0)


def _price_of(states: tuple[State, ...]) -> sa.ColumnElement[int]:
    return _sum(sa.case((recipients.c.state.in_(states), recipients.c.price), else_=0))


def _stream(session: Session, statement: sa.Select[Any]) -> Iterator[Any]:
    yield from session.execute(statement, execution_options={"yield_per": 1000})
