"""Teams and people."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import accounts
from smsqueue.domain.accounts import BadAccount, UnknownUser
from smsqueue.models import Account, Team, User


def make_user(office, email):
    return office.store.write(
        lambda session: accounts.create_user(session, email=email, password_hash="-", team=office.team)
    )


def fail_to_log_in(office, times):
    for _ in range(times):
        office.store.write(lambda session: accounts.note_failed_login(session, office.user.email.upper()))
    with office.store.reading() as session:
        return accounts.login_delay(session.get_one(User, office.user.id))


def test_a_new_team_has_an_empty_wallet_and_may_text_its_own_country(store):
    team = store.write(lambda session: accounts.create_team(session, " Shop ", "gb"))

    with store.reading() as session:
        found = accounts.find_team(session, "Shop")
        wallets = session.scalars(sa.select(Account.balance).where(Account.name == f"wallet:{team.id}")).all()
    assert found is not None
    assert (found.country, found.allowed_countries, wallets) == ("GB", frozenset({"GB"}), [0])


def test_a_team_may_text_the_countries_that_are_named_or_all(store):
    some = store.write(lambda session: accounts.create_team(session, "Some", "GB", "fr, gb"))
    every = store.write(lambda session: accounts.create_team(session, "All", "GB", "*"))

    assert (some.allowed_countries, every.allowed_countries) == ({"FR", "GB"}, None)


@pytest.mark.parametrize(
    ("name", "country", "countries"),
    [(" ", "GB", None), ("x" * 101, "GB", None), ("Shop", "XX", None), ("Shop", "GB", "GB,ZZ"), ("Office", "GB", None)],
)
def test_teams_that_make_no_sense_are_refused(office, name, country, countries):
    with pytest.raises(BadAccount):
        office.store.write(lambda session: accounts.create_team(session, name, country, countries))

    assert [team.name for team in office.rows(Team)] == ["Office"]


def test_an_address_is_one_person_whatever_its_case(office):
    make_user(office, " Ann@Example.COM ")

    with pytest.raises(BadAccount, match="account already"):
        make_user(office, "ann@example.com")
    with office.store.reading() as session:
        assert accounts.find_user(session, "ANN@example.com").email == "ann@example.com"


@pytest.mark.parametrize("email", ["", "ann", "a b@example.com", "a@b", "x" * 250 + "@example.com", "a@b.c,d@e.f"])
def test_what_is_no_address_is_refused(office, email):
    with pytest.raises(BadAccount, match="not an e-mail address"):
        make_user(office, email)


def test_an_unknown_person_is_named_with_the_command_that_makes_one(office):
    with office.store.reading() as session, pytest.raises(UnknownUser, match="flask sms user create"):
        accounts.find_user(session, "nobody@example.com")


def test_wrong_passwords_slow_down_more_and_more_and_at_most_a_quarter_of_an_hour(office):
    assert fail_to_log_in(office, 5) == 0
    assert 0 < fail_to_log_in(office, 1) <= 2
    assert 2 < fail_to_log_in(office, 1) <= 4
    assert 800 < fail_to_log_in(office, 10) <= 900


def test_the_right_password_forgets_the_wrong_ones(office):
    fail_to_log_in(office, 9)

    office.store.write(lambda session: accounts.note_login(session, office.user.id))

    assert fail_to_log_in(office, 5) == 0


def test_a_wait_that_is_over_counts_no_more(office):
    fail_to_log_in(office, 6)

    office.execute(sa.update(User).values(locked_until=now() - timedelta(seconds=1)))

    with office.store.reading() as session:
        assert accounts.login_delay(session.get_one(User, office.user.id)) == 0


def test_a_strangers_address_is_not_counted(office):
    office.store.write(lambda session: accounts.note_failed_login(session, "nobody@example.com"))

    assert [user.failed_logins for user in office.rows(User)] == [0]
