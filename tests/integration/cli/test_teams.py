"""`team set` and `team show`."""

import json

import pytest

from smsqueue.domain import accounts

pytestmark = pytest.mark.databases("sqlite")


def team_of(store, name="Front"):
    """The team of this name."""
    with store.reading() as session:
        team = accounts.find_team(session, name)
        assert team is not None
        return team


def test_rules_are_set_in_their_stored_form_and_shown(run, store, ann):
    options = ("--time-zone", "Europe/Paris", "--sending-hours", "08:00 - 21:00", "--daily-cap", "20000")
    words = ("--opt-out-words", " arret,, non merci ", "--countries", "fr, de", "--copies-per-hour", "0")
    shown = run("team", "set", "Front", *options, *words).stdout
    team = team_of(store)
    assert (team.time_zone, team.sending_hours, team.daily_cap) == ("Europe/Paris", "08:00-21:00", 20000)
    assert (team.opt_out_words, team.countries, team.copies_per_hour) == ("ARRET,NON MERCI", "DE,FR", 0)
    assert team.first_ten_above == 500
    assert "France, Germany" in shown
    assert "20,000 recipients" in shown


def test_words_for_stop_of_the_countrys_languages_are_shown(run):
    run("user", "create", "zoe@example.org", "--team", "New", "--country", "DE")
    assert "besides STOP, ABMELDEN, STOPP and the like" in run("team", "show", "New").stdout


def test_team_show_as_json(run, ann):
    shown = json.loads(run("team", "show", "Front", "--json").stdout)
    assert (shown["name"], shown["country"], shown["first_ten_above"]) == ("Front", "GB", 500)


@pytest.mark.usefixtures("ann")
@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--time-zone", "Europe/Pris", "not a time zone"),
        ("--sending-hours", "21:00-08:00", "end later on the same day"),
        ("--daily-cap", "-1", "whole number from 0"),
        ("--copies-per-hour", "1001", "from 0 to 1,000"),
        ("--countries", "XX", "not a country code"),
        ("--gateways", "pigeon", "pigeon"),
        ("--opt-out-words", "x" * 201, "200 characters"),
    ],
)
def test_rule_that_cannot_be_is_refused_and_nothing_changes(run, store, option, value, words):
    before = vars(team_of(store))
    assert words in run("team", "set", "Front", "--max-slices", "3", option, value, code=1).stderr
    assert {**vars(team_of(store)), "_sa_instance_state": 0} == {**before, "_sa_instance_state": 0}


def test_hours_can_be_taken_away_again(run, store, ann):
    run("team", "set", "Front", "--sending-hours", "08:00-21:00")
    run("team", "set", "Front", "--sending-hours", "any", "--gateways", "")
    assert team_of(store).sending_hours == ""


def test_nothing_to_set_is_a_wrong_call(run, ann):
    assert "Say what to set" in run("team", "set", "Front", code=2).stderr


def test_team_that_there_is_not(run):
    assert "No team is named" in run("team", "set", "Nobody", "--daily-cap", "1", code=1).stderr


@pytest.mark.parametrize(("country", "zone"), [("FR", "Europe/Paris"), ("US", "UTC")])
def test_new_team_reads_times_by_its_countrys_clocks_where_these_agree(run, store, country, zone):
    run("user", "create", "zoe@example.org", "--team", "New", "--country", country)
    assert team_of(store, "New").time_zone == zone
