"""The closing sheet: it adds up with what happened, and says what does not; the audit says the same."""

import csv
import io
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.db import table_of
from smsqueue.domain import closing, closing_list, delivery, resolving
from smsqueue.domain.closing import Sheet
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import NotFound, Outcome, Rejected, Report, Sent, Unknown
from smsqueue.models import Account, Attempt, Campaign, LedgerEntry, LedgerTransaction, Recipient, Status
from tests.integration.domain.test_audit import first, only
from tests.integration.domain.test_closing import close, in_the_air, record
from tests.integration.domain.test_unknowns import Asked, age, look, lose

accounts, entries, movements = table_of(Account), table_of(LedgerEntry), table_of(LedgerTransaction)
campaigns, recipients, attempts = table_of(Campaign), table_of(Recipient), table_of(Attempt)
OUTCOMES: list[Outcome] = [
    Sent("g-1", parts=2),
    Sent("", parts=1),
    Rejected("bad", "=a bad number"),
    Unknown("lost"),
]


def sheet_of(office, campaign) -> Sheet:
    """Add a campaign up."""
    with office.store.snapshot() as session:
        return closing.sheet(session, session.get_one(Campaign, campaign.id))


@pytest.fixture
def ended(office):
    """A campaign that ended: two accepted, one refused, one unknown."""
    campaign = office.launched(4)
    pairs = zip(in_the_air(office, campaign), OUTCOMES, strict=True)
    record(office, campaign, *(Answer(intent, outcome) for intent, outcome in pairs))
    assert close(office, campaign)
    return campaign


def test_a_campaign_that_ended_adds_up(office, ended):
    sheet = sheet_of(office, ended)

    assert sheet.adds_up, sheet.problems
    assert all(line.adds_up for line in sheet.lines)
    assert sheet.is_over
    assert sheet.rows_sum == "4 recipients = 2 accepted + 1 failed + 1 unknown"
    assert sheet.credits_sum == "4 credits charged = 2 spent + 1 credited back + 1 held"


def test_what_the_gateway_counts_is_shown_beside_what_we_count(office, ended):
    (line,) = sheet_of(office, ended).gateways

    assert (line.name, line.attempts, line.accepted) == ("scripted", 4, 2)
    assert (line.referenced, line.reported, line.unproved) == (1, 0, 1)
    assert (line.segments, line.counted, line.parts, line.variance) == (2, 2, 3, 1)


def test_a_campaign_that_runs_adds_up_so_far(office):
    campaign = office.launched(3)
    intents = in_the_air(office, campaign, 2)
    record(office, campaign, Answer(intents[0], Sent("g")))

    sheet = sheet_of(office, campaign)

    assert sheet.adds_up, sheet.problems
    assert not sheet.is_over
    assert sheet.rows_sum == "3 recipients = 1 accepted + 1 waiting + 1 being sent"
    assert sheet.held == 2


def test_a_refund_is_counted_and_the_sheet_still_adds_up(office, ended):
    reference = next(attempt.reference for attempt in office.attempts(ended) if attempt.gateway_reference == "g-1")
    told = Report(state="failed", reference=reference, reason="no such phone")
    office.store.write(lambda session: delivery.apply(session, "scripted", [told], now()))

    sheet = sheet_of(office, ended)

    assert sheet.adds_up, sheet.problems
    assert (sheet.spent, sheet.returned, sheet.refunded) == (1, 2, 1)
    (line,) = sheet.gateways
    assert (line.accepted, line.not_paid, line.reported) == (2, 1, 1)


@pytest.mark.parametrize(
    "repeat", [Sent("g-2"), Rejected("bad", "no"), Unknown("lost"), None], ids=["taken", "refused", "lost", "waits"]
)
def test_a_text_that_was_sent_once_more_knowingly_adds_up_whatever_comes_of_both(office, repeat):
    campaign = office.launched(1)
    (one,) = in_the_air(office, campaign)
    record(office, campaign, Answer(one, Unknown("lost")))

    def send_again(session):
        mine = session.get_one(Campaign, campaign.id)
        locked = resolving.lock(session, mine, [one.recipient_id], now() + timedelta(hours=1))
        assert resolving.send_again(session, mine, locked, resolving.Terms(62, 3600), extends=True)

    office.store.write(send_again)
    if repeat:
        (two,) = in_the_air(office, campaign)
        record(office, campaign, Answer(two, repeat))
    told = Report(state="delivered", reference=one.outgoing.reference)
    office.store.write(lambda session: delivery.apply(session, "scripted", [told], now()))

    sheet = sheet_of(office, campaign)
    (line,) = sheet.gateways
    twice = isinstance(repeat, Sent)
    assert sheet.adds_up, sheet.problems
    assert (line.accepted, line.not_paid, sheet.spent) == (1 + twice, int(twice), 1)


def test_a_text_that_its_gateway_did_not_know_and_delivered_all_the_same_adds_up(office, make_crew):
    outcomes = iter([Unknown("lost"), Sent("g-2")])
    gateway = Asked(NotFound(), answer=lambda _: next(outcomes))
    campaign, crew = lose(office, make_crew, gateway, count=1)
    office.execute(sa.update(campaigns).values(status=Status.PROCESSING, finished_at=None))
    for _ in range(2):
        age(office)
        look(office, crew, campaign)
    crew.finish(office)
    told = Report(state="delivered", reference=office.attempts(campaign)[0].reference)
    office.store.write(lambda session: delivery.apply(session, "scripted", [told], now()))

    sheet = sheet_of(office, campaign)
    (line,) = sheet.gateways
    assert sheet.adds_up, sheet.problems
    assert (office.states(campaign), line.accepted, line.not_paid, sheet.spent) == ({"delivered": 1}, 2, 1, 1)


def test_other_campaigns_are_not_counted(office, ended):
    office.launched(2)
    assert sheet_of(office, ended).total == 4


SENT = recipients.c.state == "sent"
BROKEN = {
    "Recipients": sa.update(campaigns).values(total=campaigns.c.total + 1),
    "Recipients sent": sa.update(campaigns).values(sent=campaigns.c.sent + 1),
    "Credits charged": sa.update(campaigns).values(charged=campaigns.c.charged + 5),
    "Credits returned": sa.update(campaigns).values(returned=campaigns.c.returned + 5),
    "Credits spent": first(recipients, SENT).values(price=9),
    "Credits held": first(accounts, accounts.c.name.startswith("escrow")).values(balance=accounts.c.balance + 1),
    "Credits in all": first(accounts, accounts.c.name.startswith("escrow")).values(balance=accounts.c.balance + 1),
    "Accepted": first(attempts, attempts.c.outcome == "sent").values(outcome="rejected"),
}


@pytest.mark.parametrize(("what", "statement"), BROKEN.items(), ids=BROKEN)
def test_each_line_notices_when_its_law_is_broken_and_the_audit_fails_too(office, ended, what, statement):
    office.is_tampered = True

    office.execute(statement)

    sheet = sheet_of(office, ended)
    assert what in {line.what for line in sheet.lines if not line.adds_up}
    assert any(problem.startswith(f"{what}: ") for problem in sheet.problems)
    assert office.problems()


LAWS = {
    "a settlement": (first(recipients, SENT).values(settlement_id=None), "its credits say otherwise"),
    "an attempt that is gone": (
        sa.delete(attempts).where(attempts.c.outcome == "rejected"),
        "tried 1 times, the journal has 0 attempts",
    ),
    "a refused one that was accepted": (
        first(attempts, attempts.c.outcome == "rejected").values(outcome="sent"),
        "an attempt was accepted, but its state is failed",
    ),
    "an unknown one that was accepted": (
        first(attempts, attempts.c.outcome == "unknown").values(outcome="sent"),
        "an attempt was accepted, but its state is unknown",
    ),
    "a closed one that waits": (first(recipients, SENT).values(state="queued"), "it is closed"),
}


@pytest.mark.parametrize(("statement", "complaint"), LAWS.values(), ids=LAWS)
def test_sheet_and_audit_say_the_same_of_a_broken_law(office, ended, statement, complaint):
    office.is_tampered = True

    office.execute(statement)

    for problems in (sheet_of(office, ended).problems, office.problems()):
        assert [problem for problem in problems if complaint in problem], problems


@pytest.mark.databases("sqlite")
def test_a_sheet_names_some_problems_and_says_that_there_are_more(office):
    campaign = office.launched(30)
    office.is_tampered = True
    office.execute(sa.update(recipients).values(settlement_id=only(movements)))

    sheet = sheet_of(office, campaign)

    assert len(sheet.problems) == closing.SHOWN_PROBLEMS
    assert sheet.more_problems


def listed(office, campaign):
    """Read the list as a spreadsheet does."""
    with office.store.snapshot() as session:
        mine = session.get_one(Campaign, campaign.id)
        text = "".join(closing_list.as_csv(session, mine, closing.sheet(session, mine)))
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))


def test_the_list_has_everybody_and_its_credits_are_what_is_spent_or_held(office, ended):
    rows = listed(office, ended)

    assert [row["State"] for row in rows] == ["sent", "sent", "failed", "unknown"]
    assert sum(int(row["Credits"]) for row in rows) == 3
    assert [row["Gateway's reference"] for row in rows] == ["g-1", "", "", ""]
    assert [row["Parts by the gateway"] for row in rows] == ["2", "1", "", ""]
    assert all(row["Number"].isdigit() for row in rows)
    assert all(row["Time (UTC)"] for row in rows)


def test_the_list_says_when_it_was_checked_and_below_it_what_does_not_add_up(office, ended):
    office.is_tampered = True
    good = listed(office, ended)
    office.execute(BROKEN["Recipients sent"])
    bad = listed(office, ended)

    (checked,) = {row["Checked (UTC)"] for row in good}
    assert abs(datetime.fromisoformat(f"{checked}+00:00") - now()) < timedelta(minutes=5)
    assert [row["State"] for row in bad[:4]] == [row["State"] for row in good]
    assert bad[4]["Row"] == "Does not add up: Recipients sent: the counter says 3, but the list 2"
    assert [row["Row"].partition(":")[0] for row in bad[5:]] == ["Does not add up"] * (len(bad) - 5)


def test_no_cell_of_the_list_is_a_formula(office, ended):
    assert listed(office, ended)[2]["Reason"] == "'=a bad number"


def test_the_list_shows_the_attempt_that_was_accepted(office, ended):
    """Not a later one that came to nothing."""
    office.is_tampered = True
    taken = office.attempts(ended)[0]
    later = {"number": 2, "reference": "later", "claim_token": "t", "gateway": "second", "outcome": "deferred"}
    office.execute(sa.insert(attempts).values(recipient_id=taken.recipient_id, started_at=taken.started_at, **later))

    row = listed(office, ended)[0]

    assert (row["Gateway"], row["Gateway's reference"]) == ("scripted", "g-1")
