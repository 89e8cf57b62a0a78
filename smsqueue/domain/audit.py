"""The books, checked: every law that credits, counters and recipients must keep, on one snapshot."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.domain import laws
from smsqueue.domain.credits import REVENUE, TOPUP, escrow, wallet
from smsqueue.domain.laws import accounts, campaigns, entries, recipients, stream, transactions


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
    for law in (_transactions, _entries, _balances, laws.of_campaigns):
        report.problems.extend(law(session))
    for name, table in (("transactions", transactions), ("campaigns", campaigns), ("recipients", recipients)):
        report.checked[name] = session.scalar(sa.select(sa.func.count()).select_from(table)) or 0
    return report


def _transactions(session: Session) -> Iterator[str]:
    """Each transaction has at least two entries, and they sum to 0."""
    total, count = sa.func.coalesce(sa.func.sum(entries.c.amount), 0), sa.func.count(entries.c.id)
    joined = transactions.outerjoin(entries, entries.c.transaction_id == transactions.c.id)
    statement = sa.select(transactions.c.id, total, count).select_from(joined).group_by(transactions.c.id)
    for id_, sum_, number in stream(session, statement.having(sa.or_(total != 0, count < 2))):
        yield f"ledger transaction {id_}: {number} entries that sum to {sum_}, not 0"


def _entries(session: Session) -> Iterator[str]:
    """Each movement goes from and to the accounts that its kind, its team and its campaign name."""
    columns = [transactions.c[name] for name in ("id", "kind", "team_id", "campaign_id")]
    joined = entries.join(transactions, transactions.c.id == entries.c.transaction_id)
    joined = joined.join(accounts, accounts.c.id == entries.c.account_id)
    statement = sa.select(*columns, accounts.c.name, entries.c.amount).select_from(joined)
    for id_, kind, team_id, campaign_id, name, amount in stream(session, statement):
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
    for name, cached, sum_ in stream(session, grouped.having(wrong)):
        yield f"account {name}: the balance says {cached}, its entries {sum_}"
