"""The ledger: what comes in, what goes out, and that no balance is ever below zero."""

import pytest
import sqlalchemy as sa

from smsqueue.domain import credits
from smsqueue.domain.credits import BadAmount, LedgerBroken
from smsqueue.domain.errors import NotEnoughCredits
from smsqueue.models import Account, Campaign, LedgerEntry, LedgerTransaction, Team, User
from tests.domain_fixtures import Office
from tests.domain_workers import at_once


def grant(office, amount, reason="paid by invoice 7"):
    office.store.write(lambda session: credits.grant(session, office.team.id, amount, reason=reason, by=office.user.id))


def charge(office, campaign, amount, key="charge:1"):
    return lambda session: credits.charge(session, campaign, amount, key=key, user_id=office.user.id)


@pytest.fixture
def campaign(office: Office) -> Campaign:
    """A campaign with an empty escrow; its books are not those of a real one."""
    office.is_tampered = True
    draft = office.draft(1)
    office.store.write(lambda session: credits.open_account(session, credits.escrow(draft.id), cached=True))
    return draft


def test_a_grant_can_be_spent_and_stands_in_the_books(office):
    grant(office, 250)

    with office.store.reading() as session:
        line = credits.history(session, office.team.id)[0]
    assert office.balance() == 1250
    assert (line.kind, line.note, line.amount, line.balance_after) == ("grant", "paid by invoice 7", 250, 1250)
    assert line.user_email == office.user.email


@pytest.mark.parametrize("amount", [0, -1, 1_000_000_001])
def test_amounts_that_make_no_sense_are_not_granted(office, amount):
    with pytest.raises(BadAmount, match="whole number"):
        grant(office, amount)

    assert office.balance() == 1000


def test_a_grant_needs_a_reason(office):
    with pytest.raises(BadAmount, match="Say why"):
        grant(office, 5, reason="  ")


def test_a_charge_moves_credits_from_the_wallet_to_the_campaigns_escrow(office, campaign):
    office.store.write(charge(office, campaign, 300))

    balances = {account.name: account.balance for account in office.rows(Account)}
    assert balances[f"wallet:{office.team.id}"] == 700
    assert balances[f"escrow:{campaign.id}"] == 300
    assert sum(entry.amount for entry in office.rows(LedgerEntry)) == 0


def test_a_charge_beyond_the_balance_says_what_is_missing_and_changes_nothing(office, campaign):
    with pytest.raises(NotEnoughCredits) as refused:
        office.store.write(charge(office, campaign, 1001))

    assert (refused.value.needed, refused.value.available, refused.value.missing) == (1001, 1000, 1)
    assert office.balance() == 1000
    assert [movement.kind for movement in office.rows(LedgerTransaction)] == ["grant"]


def test_the_last_credit_can_be_spent(office, campaign):
    office.store.write(charge(office, campaign, 1000))

    assert office.balance() == 0


def test_a_key_moves_credits_once(office, campaign):
    office.store.write(charge(office, campaign, 100, key="once"))

    with pytest.raises(sa.exc.IntegrityError):
        office.store.write(charge(office, campaign, 100, key="once"))
    assert office.balance() == 900


def test_an_escrow_never_gives_more_than_it_holds(office, campaign):
    office.store.write(charge(office, campaign, 10))

    def take_too_much(session):
        movement = credits.record(session, "spend", office.team.id, campaign_id=campaign.id)
        credits.move(session, movement, credits.escrow(campaign.id), credits.REVENUE, 11)

    with pytest.raises(LedgerBroken, match="audit"):
        office.store.write(take_too_much)


@pytest.mark.parametrize("threads", [24])
def test_ten_of_many_charges_at_once_succeed_when_there_are_credits_for_ten(office, campaign, threads):
    def after_looking(number):
        def use_case(session):
            # What a request has read before must not decide: this is where row locks through the ORM overcharge.
            session.get_one(Team, office.team.id), session.get_one(User, office.user.id)
            session.scalars(sa.select(Account).where(Account.name == credits.wallet(office.team.id))).one()
            assert credits.balance(session, office.team.id) >= 0
            charge(office, campaign, 100, key=f"charge:{number}")(session)

        return lambda: office.store.write(use_case)

    errors = at_once(after_looking(number) for number in range(threads))

    assert errors.count(None) == 10
    assert [type(error) for error in errors if error] == [NotEnoughCredits] * (threads - 10)
    assert office.balance() == 0
    spent = [entry for entry in office.rows(LedgerEntry) if entry.amount == -100]
    assert len(spent) == 10


def test_a_statement_runs_backwards_from_the_balance_page_by_page(office):
    for amount in (1, 20, 300):
        grant(office, amount)

    with office.store.reading() as session:
        first = credits.history(session, office.team.id, limit=2)
        rest = credits.history(session, office.team.id, before=first[-1].id, limit=2)
        nothing = credits.history(session, office.team.id, before=rest[-1].id)

    assert [(line.amount, line.balance_after) for line in first] == [(300, 1321), (20, 1021)]
    assert [(line.amount, line.balance_after) for line in rest] == [(1, 1001), (1000, 1000)]
    assert nothing == []


def test_a_statement_names_campaign_and_person_and_never_another_teams_lines(office, store):
    neighbours = Office.open(store, "Neighbours", 77)
    campaign = office.launched(3)

    with store.reading() as session:
        line = credits.history(session, office.team.id)[0]
        theirs = credits.history(session, neighbours.team.id)

    assert (line.campaign_uuid, line.campaign_name, line.user_email) == (campaign.uuid, "Sale", office.user.email)
    assert (line.kind, line.amount, line.balance_after) == ("charge", -3, 997)
    assert [each.amount for each in theirs] == [77]


def test_held_credits_are_those_of_recipients_that_are_not_decided(office):
    office.launched(3)
    office.launched(4)

    with office.store.reading() as session:
        assert credits.held(session, office.team.id) == 7


@pytest.mark.parametrize("statement", [sa.update(Account).where(Account.name.like("wallet%")).values(balance=-1)])
def test_the_database_itself_refuses_a_balance_below_zero(office, statement):
    with pytest.raises(sa.exc.DBAPIError, match="not_negative"):
        office.execute(statement)
