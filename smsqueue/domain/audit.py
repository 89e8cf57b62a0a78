"""The books, checked: every law that credits, counters and recipients must keep, on one snapshot."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
from smsqueue.domain.credits import REVENUE, TOPUP, escrow, wallet
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
    for law in (_transactions, _entries, _balances, _flows, _campaigns, _settlements, _settled_amounts, _attempts):
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


def _entries(session: Session) -> Iterator[str]:
    """Each movement goes from and to the accounts that its kind, its team and its campaign name."""
    columns = [transactions.c[name] for name in ("id", "kind", "team_id", "campaign_id")]
    joined = entries.join(transactions, transactions.c.id == entries.c.transaction_id)
    joined = joined.join(accounts, accounts.c.id == entries.c.account_id)
    statement = sa.select(*columns, accounts.c.name, entries.c.amount).select_from(joined)
    for id_, kind, team_id, campaign_id, name, amount in _stream(session, statement):
        mine, held = wallet(team_id), escrow(campaign_id)
        ways = {
            "grant": (TOPUP, mine),
            "charge": (mine, held),
            "spend": (held, REVENUE),
            "return": (held, mine),
            "refund": (REVENUE, mine),
        }
        if kind not in ways or name != ways[kind][amount > 0]:
            yield f"ledger transaction {id_}: a {kind} of team {team_id} moved {amount} in {name}"


def _balances(session: Session) -> Iterator[str]:
    """Each cached balance is the sum of its entries, and none is below zero."""
    total = sa.func.coalesce(sa.func.sum(entries.c.amount), 0)
    joined = accounts.outerjoin(entries, entries.c.account_id == accounts.c.id)
    statement = sa.select(accounts.c.name, accounts.c.balance, total).select_from(joined)
    grouped = statement.where(accounts.c.name.notin_((TOPUP, REVENUE))).group_by(
        accounts.c.id, accounts.c.name, accounts.c.balance
    )
    wrong = sa.or_(accounts.c.balance.is_(None), accounts.c.balance != total, accounts.c.balance < 0)
    for name, cached, sum_ in _stream(session, grouped.having(wrong)):
        yield f"account {name}: the balance says {cached}, its entries {sum_}"


def _flows(session: Session) -> Iterator[str]:
    """What a campaign says was charged, returned and spent is what the ledger moved for it."""
    kinds = {"charged": {"charge": 1}, "returned": {"return": 1, "refund": 1}, "spent": {"spend": 1, "refund": -1}}
    moved = [
        _sum(sa.case(*((transactions.c.kind == kind, entries.c.amount * sign) for kind, sign in each.items()), else_=0))
        for each in kinds.values()
    ]
    stored = [campaigns.c[name] for name in kinds]
    gains = sa.and_(entries.c.transaction_id == transactions.c.id, entries.c.amount > 0)
    joined = campaigns.outerjoin(transactions, transactions.c.campaign_id == campaigns.c.id).outerjoin(entries, gains)
    statement = sa.select(campaigns.c.id, *stored, *moved).select_from(joined).group_by(campaigns.c.id, *stored)
    wrong = sa.or_(*(says != is_ for says, is_ in zip(stored, moved, strict=True)))
    for id_, *numbers in _stream(session, statement.having(wrong)):
        says, is_ = ("/".join(map(str, part)) for part in (numbers[:3], numbers[3:]))
        yield f"campaign {id_}: charged/returned/spent are {says}, the ledger says {is_}"


def _campaigns(session: Session) -> Iterator[str]:
    """Counters are what the recipients say, and each campaign's credits are what its recipients cost."""
    escrows = sa.select(accounts.c.name, accounts.c.balance).where(accounts.c.name.startswith("escrow:"))
    held: dict[str, int | None] = dict(session.execute(escrows).all())
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


def _settlements(session: Session) -> Iterator[str]:
    """A recipient is settled by a movement of its own campaign that fits its state, or, while held, by none."""
    fits = transactions.c.campaign_id == recipients.c.campaign_id
    wrong = sa.or_(
        sa.and_(recipients.c.state.in_(HELD), recipients.c.settlement_id.isnot(None)),
        sa.and_(recipients.c.state.in_(ACCEPTED), sa.func.coalesce(transactions.c.kind, "") != "spend"),
        sa.and_(
            recipients.c.state.in_(CREDITED), sa.func.coalesce(transactions.c.kind, "").notin_(("return", "refund"))
        ),
    )
    joined = recipients.outerjoin(transactions, sa.and_(transactions.c.id == recipients.c.settlement_id, fits))
    statement = sa.select(recipients.c.id, recipients.c.state).select_from(joined).where(wrong)
    for id_, state in _stream(session, statement):
        yield f"recipient {id_}: its state is {state}, but its credits say otherwise"


def _settled_amounts(session: Session) -> Iterator[str]:
    """A settlement moved what its recipients cost; some that were credited may have been charged again since."""
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
    kind = transactions.c.kind
    # Of what was spent, some may have been refunded since: then the campaign's sums tell.
    others = transactions.alias("others")
    refunds = sa.exists().where(others.c.campaign_id == transactions.c.campaign_id, others.c.kind == "refund")
    too_much = sa.and_(kind == "spend", out.c.moved > cost_or_none, ~refunds)
    wrong = sa.or_(too_much, sa.and_(kind.in_(("spend", "return", "refund")), out.c.moved < cost_or_none))
    statement = sa.select(transactions.c.id, kind, out.c.moved, cost_or_none).select_from(spends).where(wrong)
    for id_, name, amount, price in _stream(session, statement):
        yield f"ledger transaction {id_}: its {name} moved {amount}, its recipients cost {price}"


def _attempts(session: Session) -> Iterator[str]:
    """Nobody was accepted and billed twice, and an accepted recipient has an accepted attempt."""
    billed = (attempts.c.outcome == "sent", sa.func.coalesce(attempts.c.reported, "") != "failed")
    twice = sa.select(attempts.c.recipient_id, sa.func.count()).where(*billed)
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
