"""A campaign's closing sheet: its rows, states, credits and the gateways' references, which all say the same.

Everything is read from one snapshot, with the time; the laws are those of the audit.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.domain import laws
from smsqueue.domain.credits import escrow
from smsqueue.domain.laws import (
    accounts,
    attempts,
    entries,
    is_billed,
    moved,
    price_of,
    recipients,
    total,
    transactions,
)
from smsqueue.domain.paying import TAKEN_LATE
from smsqueue.models import Campaign, State
from smsqueue.models.recipients import ACCEPTED, CREDITED, HELD
from smsqueue.queue.dispatch import clock_us, when

SHOWN_PROBLEMS = 20
WORDS: dict[str, str] = {
    State.QUEUED: "waiting",
    State.SENDING: "being sent",
    State.FAILED: "failed",
    State.UNKNOWN: "unknown",
    State.CANCELLED: "cancelled",
    State.EXPIRED: "expired",
    State.SUPPRESSED: "opted out",
}
"""What the recipients are called that no gateway accepted."""
_later = attempts.alias("later")
_is_paid_later = sa.and_(
    attempts.c.is_repeated,
    sa.select(sa.literal(1))
    .where(_later.c.recipient_id == attempts.c.recipient_id, _later.c.number > attempts.c.number)
    .where(_later.c.outcome == "sent", sa.func.coalesce(_later.c.reported, "") != "failed")
    .exists(),
)
"""It was sent once more though it may have been taken, or since its gateway did not know it, and that was accepted:
it is paid once."""


@dataclass(frozen=True, slots=True)
class Line:
    """One number that stands in two places."""

    what: str
    one: str
    """Where the first stands."""
    one_says: int
    other: str
    other_says: int

    @property
    def adds_up(self) -> bool:
        """Say whether both are the same."""
        return self.one_says == self.other_says

    @property
    def problem(self) -> str:
        """Say what does not add up."""
        return f"{self.what}: {self.one} {self.one_says:,}, but {self.other} {self.other_says:,}"


@dataclass(frozen=True, slots=True)
class GatewayLine:
    """What went through one gateway: attempts, and segments as we and as it count them."""

    name: str
    attempts: int
    accepted: int
    not_paid: int
    """Of the accepted: it said later that it does not charge for them, or that it took them when they were credited, or
    somebody had the text sent once more (or it said that it did not know it), and that was accepted as well."""
    referenced: int
    """Of the accepted: it gave a reference of its own."""
    reported: int
    """Of the accepted: a delivery report came."""
    unproved: int
    """Of the accepted: neither, so only its answer says so."""
    segments: int
    """Of the accepted, as we count them."""
    counted: int
    """Of these, those of texts whose parts it told."""
    parts: int
    """Its own count of the same texts."""

    @property
    def variance(self) -> int:
        """How many parts more than we charged for it counts; negative: fewer."""
        return self.parts - self.counted


@dataclass(frozen=True, slots=True)
class Sheet:
    """How a campaign adds up, at the moment when it was checked."""

    checked_at: datetime
    is_over: bool
    total: int
    states: Mapping[str, int]
    """The recipients, counted."""
    charged: int
    spent: int
    returned: int
    """Refunds, too."""
    refunded: int
    held: int
    lines: tuple[Line, ...]
    gateways: tuple[GatewayLine, ...]
    problems: tuple[str, ...]
    more_problems: bool

    @property
    def adds_up(self) -> bool:
        """Say whether everything does."""
        return not self.problems

    @property
    def told_problems(self) -> tuple[str, ...]:
        """What does not add up, and whether there is more of it."""
        return (*self.problems, "there is more: `flask sms audit` names all") if self.more_problems else self.problems

    @property
    def accepted(self) -> int:
        """How many recipients a gateway took."""
        return sum(self.states[state] for state in ACCEPTED)

    @property
    def rows_sum(self) -> str:
        """Write the sum of the recipients: "4,000 recipients = 3,961 accepted + 2 unknown + 37 failed"."""
        parts = [f"{self.accepted:,} accepted"]
        parts += [f"{self.states[state]:,} {word}" for state, word in WORDS.items() if self.states[state]]
        return f"{self.total:,} recipient{'' if self.total == 1 else 's'} = {' + '.join(parts)}"

    @property
    def credits_sum(self) -> str:
        """Write the sum of the credits: "4,420 credits charged = 4,377 spent + 41 credited back + 2 held"."""
        parts = f"{self.spent:,} spent + {self.returned:,} credited back + {self.held:,} held"
        return f"{self.charged:,} credit{'' if self.charged == 1 else 's'} charged = {parts}"

    def as_dict(self) -> dict[str, Any]:
        """Return the sheet for JSON."""
        lines = [{**asdict(line), "adds_up": line.adds_up} for line in self.lines]
        gateways = [{**asdict(line), "variance": line.variance} for line in self.gateways]
        content = asdict(self) | {"checked_at": self.checked_at.isoformat(), "lines": lines, "gateways": gateways}
        return {"adds_up": self.adds_up, **content, "states": dict(self.states)}


def sheet(session: Session, campaign: Campaign) -> Sheet:
    """Add a campaign up, which may still run; the session must be a snapshot (`Database.snapshot`)."""
    checked_at = when(clock_us(session))
    states, prices = _recipients(session, campaign)
    ledger = _ledger(session, campaign)
    gateways = tuple(_gateways(session, campaign))
    lines = tuple(_lines(campaign, states, prices, ledger, gateways))
    found = [line.problem for line in lines if not line.adds_up]
    found += islice(laws.of_campaigns(session, campaign.id), SHOWN_PROBLEMS + 1 - min(len(found), SHOWN_PROBLEMS))
    return Sheet(
        checked_at=checked_at,
        is_over=campaign.finished_at is not None,
        total=sum(states.values()),
        states=states,
        lines=lines,
        gateways=gateways,
        problems=tuple(found[:SHOWN_PROBLEMS]),
        more_problems=len(found) > SHOWN_PROBLEMS,
        **ledger,
    )


def _recipients(session: Session, campaign: Campaign) -> tuple[dict[str, int], dict[str, int]]:
    """Count the recipients by state, and what they cost by what became of their credits."""
    mine = recipients.c.campaign_id == campaign.id
    counted = sa.select(recipients.c.state, sa.func.count()).where(mine).group_by(recipients.c.state)
    found: dict[str, int] = dict(session.execute(counted).all())
    kinds = {"held": HELD, "spent": ACCEPTED, "returned": CREDITED}
    prices = session.execute(sa.select(*(price_of(states) for states in kinds.values())).where(mine)).one()
    return {state.value: found.get(state, 0) for state in State}, dict(zip(kinds, map(int, prices), strict=True))


def _ledger(session: Session, campaign: Campaign) -> dict[str, int]:
    """Add up what the ledger moved for a campaign, and what is left in its escrow."""
    sums = {**laws.FLOWS, "refunded": {"refund": 1}}
    gains = sa.and_(entries.c.transaction_id == transactions.c.id, entries.c.amount > 0)
    joined = transactions.join(entries, gains)
    statement = sa.select(*(moved(kinds) for kinds in sums.values())).select_from(joined)
    found = session.execute(statement.where(transactions.c.campaign_id == campaign.id)).one()
    balance = session.scalar(sa.select(accounts.c.balance).where(accounts.c.name == escrow(campaign.id)))
    return {**dict(zip(sums, map(int, found), strict=True)), "held": int(balance or 0)}


def _gateways(session: Session, campaign: Campaign) -> Iterator[GatewayLine]:
    is_accepted = attempts.c.outcome == "sent"
    has_reference = attempts.c.gateway_reference.isnot(None)
    has_report = attempts.c.reported.isnot(None)
    was_late = sa.and_(sa.func.coalesce(recipients.c.code, "") == TAKEN_LATE, recipients.c.state.in_(CREDITED))
    is_counted = sa.and_(is_accepted, attempts.c.parts.isnot(None))

    def number(*conditions: sa.ColumnElement[bool], of: Any = 1) -> sa.ColumnElement[int]:
        return total(sa.case((sa.and_(*conditions), of), else_=0))

    columns = (
        sa.func.count(),
        number(is_accepted),
        number(is_accepted, sa.or_(~is_billed, was_late, _is_paid_later)),
        number(is_accepted, has_reference),
        number(is_accepted, has_report),
        number(is_accepted, ~has_reference, ~has_report),
        number(is_accepted, of=recipients.c.segments),
        number(is_counted, of=recipients.c.segments),
        number(is_counted, of=attempts.c.parts),
    )
    joined = recipients.join(attempts, attempts.c.recipient_id == recipients.c.id)
    statement = sa.select(attempts.c.gateway, *columns).select_from(joined)
    grouped = statement.where(recipients.c.campaign_id == campaign.id).group_by(attempts.c.gateway)
    for name, *numbers in session.execute(grouped.order_by(attempts.c.gateway)):
        yield GatewayLine(name, *map(int, numbers))


def _lines(
    campaign: Campaign,
    states: Mapping[str, int],
    prices: Mapping[str, int],
    ledger: Mapping[str, int],
    gateways: tuple[GatewayLine, ...],
) -> Iterator[Line]:
    yield Line("Recipients", "the campaign has", campaign.total, "the list", sum(states.values()))
    for state, count in states.items():
        counter = campaign.counts[state]
        if counter or count:
            yield Line(f"Recipients {state}", "the counter says", counter, "the list", count)
    yield Line("Credits charged", "the campaign says", campaign.charged, "the ledger", ledger["charged"])
    yield Line("Credits returned", "the campaign says", campaign.returned, "the ledger", ledger["returned"])
    yield Line("Credits spent", "the ledger says", ledger["spent"], "the accepted recipients cost", prices["spent"])
    yield Line("Credits held", "the escrow has", ledger["held"], "the open recipients cost", prices["held"])
    parts = ledger["spent"] + ledger["returned"] + ledger["held"]
    yield Line("Credits in all", "charged are", ledger["charged"], "spent, returned and held", parts)
    accepted = sum(states[state] for state in ACCEPTED)
    billed = sum(line.accepted - line.not_paid for line in gateways)
    yield Line("Accepted", "the recipients are", accepted, "the gateways' acceptances", billed)
