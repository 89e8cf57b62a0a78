"""The audit: clean books stay unmentioned, and each kind of tampering is found."""

import pytest
import sqlalchemy as sa

from smsqueue.db import table_of
from smsqueue.domain import audit
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Outcome, Rejected, Sent, Unknown
from smsqueue.models import Account, Attempt, Campaign, LedgerEntry, LedgerTransaction, Recipient
from tests.domain_fixtures import Office
from tests.domain_workers import Scripted
from tests.integration.domain.test_closing import close, in_the_air, record

accounts, entries, movements = table_of(Account), table_of(LedgerEntry), table_of(LedgerTransaction)
campaigns, recipients, attempts = table_of(Campaign), table_of(Recipient), table_of(Attempt)


def only(table, *where):
    """Pick the first key of a table."""
    return sa.select(sa.func.min(table.c.id)).where(*where).scalar_subquery()


def first(table, *where):
    """Update the first row; MySQL does not let a statement look at the table that it changes."""
    keys = sa.select(only(table, *where).label("id")).subquery()
    return sa.update(table).where(table.c.id.in_(sa.select(keys.c.id)))


SENT, FAILED = recipients.c.state == "sent", recipients.c.state == "failed"
AWRY = {
    "a balance": (
        first(accounts, accounts.c.name.startswith("wallet")).values(balance=accounts.c.balance + 5),
        "the balance says",
    ),
    "a balance that is not there": (
        first(accounts, accounts.c.name.startswith("wallet")).values(balance=None),
        "the balance says None",
    ),
    "an entry's amount": (first(entries, entries.c.amount > 0).values(amount=7), "sum to"),
    "an entry that is gone": (sa.delete(entries).where(entries.c.amount < 0), "1 entries"),
    "an entry in another account": (
        first(entries, entries.c.amount > 0).values(account_id=only(accounts, accounts.c.name == "revenue")),
        "in revenue",
    ),
    "a movement's kind": (first(movements, movements.c.kind == "return").values(kind="spend"), "a spend of team"),
    "a recipient's state": (first(recipients, SENT).values(state="failed"), "its credits say otherwise"),
    "a recipient's price": (first(recipients, SENT).values(price=9), "its recipients cost"),
    "a recipient's settlement": (first(recipients, SENT).values(settlement_id=None), "its credits say otherwise"),
    "a settlement of somebody who waits": (
        first(recipients, recipients.c.state == "unknown").values(settlement_id=only(movements)),
        "its credits say otherwise",
    ),
    "a settlement that never was": (first(recipients, FAILED).values(settlement_id=10**6), "say otherwise"),
    "a counter": (sa.update(campaigns).values(sent=campaigns.c.sent + 1), "the counter says"),
    "the total": (sa.update(campaigns).values(total=campaigns.c.total + 1), "the total is"),
    "what was charged and returned": (
        sa.update(campaigns).values(charged=campaigns.c.charged + 5, returned=campaigns.c.returned + 5),
        "charged/returned/spent are",
    ),
    "what was spent": (sa.update(campaigns).values(spent=campaigns.c.spent + 1), "credits were spent"),
    "a closed campaign's recipient": (first(recipients, SENT).values(state="queued"), "it is closed"),
    "an attempt that did not happen": (
        sa.update(attempts).where(attempts.c.outcome == "sent").values(outcome="rejected"),
        "no attempt was accepted",
    ),
}


@pytest.fixture
def ended(office: Office) -> Campaign:
    """A campaign that ended with somebody sent to, somebody refused and somebody unknown."""
    campaign = office.launched(3)
    outcomes: list[Outcome] = [Sent("r"), Rejected("bad", "a bad number"), Unknown("lost")]
    pairs = zip(in_the_air(office, campaign), outcomes, strict=True)
    record(office, campaign, *(Answer(intent, outcome) for intent, outcome in pairs))
    assert close(office, campaign)
    return campaign


def test_books_in_order_are_clean_and_counted(office, ended):
    with office.store.snapshot() as session:
        report = audit.audit(session)

    assert report.is_clean
    assert report.checked == {"transactions": 4, "campaigns": 1, "recipients": 3}


@pytest.mark.parametrize(("statement", "complaint"), AWRY.values(), ids=AWRY)
def test_what_was_changed_behind_the_programs_back_is_found(office, ended, statement, complaint):
    office.is_tampered = True

    office.execute(statement)

    assert [problem for problem in office.problems() if complaint in problem]


def test_somebody_accepted_twice_is_found(office, ended):
    office.is_tampered = True
    again = {"number": 2, "reference": "again", "claim_token": "t", "gateway": "g", "outcome": "sent"}
    accepted = next(attempt for attempt in office.attempts(ended) if attempt.outcome == "sent")

    office.execute(
        sa.insert(attempts).values(recipient_id=accepted.recipient_id, started_at=accepted.started_at, **again)
    )

    assert [problem for problem in office.problems() if problem.endswith("accepted 2 times")]


def test_credits_in_another_teams_wallet_are_found(office, ended, store):
    other = Office.open(store, "Neighbours", 0)
    office.is_tampered = True
    theirs, mine = (only(accounts, accounts.c.name == f"wallet:{team.id}") for team in (other.team, office.team))
    returned = sa.select(movements.c.id).where(movements.c.kind == "return")

    office.execute(
        sa.update(entries)
        .where(entries.c.transaction_id.in_(returned), entries.c.account_id == mine)
        .values(account_id=theirs)
    )
    for team, more in ((other.team, 1), (office.team, -1)):
        wallet = sa.update(accounts).where(accounts.c.name == f"wallet:{team.id}")
        office.execute(wallet.values(balance=accounts.c.balance + more))

    assert [problem for problem in office.problems() if f"in wallet:{other.team.id}" in problem]


def test_drafts_are_not_asked_for_credits(office):
    office.draft(3)

    assert not office.problems()


def test_books_are_clean_while_a_campaign_runs(office, make_crew):
    campaign = office.launched(40)
    found = []

    def look(outgoing):
        found.extend(office.problems())
        return Sent(outgoing.reference)

    make_crew(Scripted(look), SMS_WINDOW="4").finish(office)

    assert office.reload(campaign).sent == 40
    assert not found
