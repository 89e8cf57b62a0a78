"""Everything that gives credits back happens at the same moment: each credit comes back at most once."""

import os
import random
from collections.abc import Callable
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain import again, campaigns, delivery, intents, journal, slices, stopping, unknowns
from smsqueue.domain.counting import Changes
from smsqueue.domain.intents import Portion, Sender
from smsqueue.domain.jobs import SendBulkSmsJob
from smsqueue.domain.journal import Answer
from smsqueue.domain.resolving import Terms
from smsqueue.domain.unknowns import Choice, Decision
from smsqueue.gateways.base import Outcome, Rejected, Report, Sent, Unknown
from smsqueue.models import Campaign, LedgerEntry, Recipient
from smsqueue.models.recipients import ACCEPTED, HELD
from tests.domain_fixtures import TERMS, Office
from tests.domain_workers import at_once

SENDER = Sender(worker_id=1, token="t" * 32, gateway="simulated", sender="us")
OUTCOMES: tuple[Outcome, ...] = (
    Sent("1"),
    Sent("2"),
    Unknown("lost"),
    Unknown("lost"),
    Rejected("bad", "a bad number"),
)
PATIENCE = Terms(patience_seconds=0, wait_seconds=0)
ROWS, GRANTED, RUNS = 7, 1000, 4
DRILLED_RUNS = 200 if os.environ.get("DRILL_SIZE") == "full" else 20


def begun(office: Office) -> tuple[Campaign, list[str]]:
    """Launch a campaign of which some is sent, some unknown, one refused, and two not begun; with the references."""
    campaign = office.launched(ROWS)

    def begin(session: Session) -> list[str]:
        mine, changes = session.get_one(Campaign, campaign.id), Changes()
        stopping.start(session, mine, now())
        room = Portion(len(OUTCOMES))
        called = intents.start(session, mine, (1, ROWS), SENDER, changes, portion=room, now=now())
        answers = [Answer(intent, outcome) for intent, outcome in zip(called, OUTCOMES, strict=True)]
        journal.record(session, mine, answers, changes, now=now())
        changes.write(session, mine.id)
        return [intent.outgoing.reference for intent in called]

    return campaign, office.store.write(begin)


def reported(office: Office, references: list[str]) -> None:
    """Let the gateway say of all these that they failed and are not billed."""
    told = [Report(state="failed", reference=each, code="x") for each in references]
    applied = office.store.write(lambda session: delivery.apply(session, "simulated", told, now()))
    delivery.follow_up(office.store, applied)


def everything(office: Office, campaign: Campaign, references: list[str]) -> list[Callable[[], object]]:
    """All that gives credits of a campaign back, and all that takes them again."""
    write, job = office.store.write, SendBulkSmsJob(campaign_id=campaign.id, first_row=1, last_row=ROWS)
    decide = partial(unknowns.decide, office.store, Choice(campaign.id), terms=PATIENCE, by="somebody")
    again_ = partial(again.retry, team_id=office.team.id, uuid=campaign.uuid, terms=TERMS, user_id=None)
    cancel = partial(campaigns.cancel, team_id=office.team.id, uuid=campaign.uuid)
    return [
        *(partial(reported, office, references[:4]) for _ in range(2)),
        *(partial(decide, decision=Decision.NOT_SENT) for _ in range(2)),
        partial(decide, decision=Decision.SENT),
        partial(write, partial(slices.on_failed, job=job, reason="too many tries")),
        partial(write, partial(slices.on_retried, job=job, validity_seconds=60)),
        *(partial(write, again_) for _ in range(2)),
        *(partial(write, cancel) for _ in range(2)),
    ]


def run_once(office: Office, dice: random.Random) -> None:
    """Fire all of it at once, and compare the wallet with what is paid for or held."""
    campaign, references = begun(office)
    works = everything(office, campaign, references)
    dice.shuffle(works)
    strange = [error for error in at_once(works) if error and not isinstance(error, SmsQueueError)]
    assert strange == []
    with office.store.reading() as session:
        bound = sa.select(sa.func.sum(Recipient.price)).where(Recipient.state.in_((*HELD, *ACCEPTED)))
        assert office.balance() == GRANTED - int(session.scalar(bound) or 0)
        assert not session.scalar(sa.select(sa.func.sum(LedgerEntry.amount)))
    assert office.problems() == []


def test_each_credit_comes_back_once_though_everything_gives_it_back_at_once(office):
    dice = random.Random()
    for _ in range(RUNS):
        run_once(office, dice)


@pytest.mark.drill
def test_each_credit_comes_back_once_in_many_runs(office):
    dice = random.Random(seed := random.randrange(2**32))
    print(f"\nseed {seed}")
    for _ in range(DRILLED_RUNS):
        run_once(office, dice)
    print(f"\nRESULT {DRILLED_RUNS} runs of everything that gives credits back at once: each came back at most once")
