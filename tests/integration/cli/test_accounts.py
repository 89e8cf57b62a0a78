"""`user create`, `credits grant`, `team countries`."""

import pytest
from flask_security import verify_password

from smsqueue.domain import accounts, credits

pytestmark = pytest.mark.databases("sqlite")


def user_of(store, email):
    """The person with this address."""
    with store.reading() as session:
        return accounts.find_user(session, email)


def balance_of(store, team_id):
    """What a team can spend."""
    with store.reading() as session:
        return credits.balance(session, team_id)


def test_new_person_of_a_new_team_gets_a_password_that_is_shown_once(run, app, store):
    result = run("user", "create", "Bob@Example.org", "--team", "Desk", "--country", "gb", "--operator")
    password = result.stdout.rpartition(": ")[2].strip()
    bob = user_of(store, "bob@example.org")
    assert bob.operator
    assert (bob.team.name, bob.team.country, bob.team.countries) == ("Desk", "GB", "GB")
    with app.test_request_context():
        assert verify_password(password, bob.password)
    assert bob.password.startswith("$argon2id$")
    assert password not in bob.password


def test_password_can_come_from_standard_input(run, app, store):
    options = ("--team", "Desk", "--country", "GB", "--countries", "*", "--password-stdin")
    result = run("user", "create", "bob@example.org", *options, input="correct horse\n")
    bob = user_of(store, "bob@example.org")
    assert "horse" not in result.output
    assert bob.team.allowed_countries is None
    with app.test_request_context():
        assert verify_password("correct horse", bob.password)


def test_short_password_is_refused(run):
    options = ("--team", "Desk", "--country", "GB", "--password-stdin")
    result = run("user", "create", "bob@example.org", *options, input="short\n", code=1)
    assert "at least 10 characters" in result.stderr


def test_second_person_joins_the_team(run, store, ann):
    run("user", "create", "bob@example.org", "--team", "Front")
    assert user_of(store, "bob@example.org").team_id == ann.team_id


def test_new_team_needs_a_country(run):
    assert "--country GB" in run("user", "create", "bob@example.org", "--team", "Desk", code=1).stderr


def test_country_of_an_existing_team_is_not_changed(run, ann):
    result = run("user", "create", "bob@example.org", "--team", "Front", "--country", "FR", code=1)
    assert "exists, in GB" in result.stderr


def test_address_that_has_an_account_is_refused(run, ann):
    assert "has an account already" in run("user", "create", "ann@example.org", "--team", "Front", code=1).stderr


def test_granted_credits_can_be_spent(run, store, ann):
    result = run("credits", "grant", "Front", "5000", "--reason", "invoice 117")
    assert result.stdout == "Front has 5,100 credits now.\n"
    assert balance_of(store, ann.team_id) == 5100


def test_grant_below_one_is_refused(run, ann):
    assert "cannot be granted" in run("credits", "grant", "Front", "0", "--reason", "x", code=1).stderr


def test_grant_to_nobody_is_refused(run, ann):
    assert "No team is named 'Frnt'" in run("credits", "grant", "Frnt", "5", "--reason", "x", code=1).stderr


def test_grant_needs_a_reason(run, ann):
    assert "--reason" in run("credits", "grant", "Front", "5", code=2).stderr


def test_countries_of_a_team_can_be_set(run, store, ann):
    assert run("team", "countries", "Front", "fr, DE").stdout == "Front may send to DE,FR.\n"
    assert user_of(store, "ann@example.org").team.countries == "DE,FR"
    assert "every country" in run("team", "countries", "Front", "*").stdout


def test_unknown_country_is_refused(run, ann):
    assert "'XX' is not a country code" in run("team", "countries", "Front", "GB,XX", code=1).stderr


def test_disabled_person_can_be_enabled_again(run, store, ann):
    run("user", "disable", ann.email)
    assert not user_of(store, ann.email).active
    run("user", "enable", ann.email)
    assert user_of(store, ann.email).active


def test_disabling_nobody_is_refused(run):
    assert "Nobody has the address" in run("user", "disable", "who@example.org", code=1).stderr
