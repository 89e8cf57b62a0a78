"""`opt-out list|add|remove`."""

import json

import pytest

from smsqueue.domain import optouts

pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def on_list(store, ann):
    """Read the list of Ann's team: numbers and notes."""

    def read() -> list[tuple[str, str]]:
        with store.reading() as session:
            return [(each.number, each.note) for each in optouts.listing(session, ann.team_id)]

    return read


def test_numbers_are_put_on_the_list_as_they_are_dialled_there_and_taken_off(run, on_list):
    run("opt-out", "add", "Front", "07400 123456", "+12015550123", "--note", "on the phone")
    assert on_list() == [("+12015550123", "on the phone"), ("+447400123456", "on the phone")]
    said = run("opt-out", "remove", "Front", "07400 123456", "+12015550199", "--reason", "asked for it").stdout
    assert said == "1 number taken off the list of Front.\n"
    assert on_list() == [("+12015550123", "on the phone")]


def test_list_is_for_people_and_for_programs(run, ann):
    assert run("opt-out", "list", "Front").stdout == "No number.\n"
    run("opt-out", "add", "Front", "+12015550123", "+12015550188")
    assert "+12015550123  person" in run("opt-out", "list", "Front", "--search", "0123").stdout
    shown = json.loads(run("opt-out", "list", "Front", "--json").stdout)
    assert [each["number"] for each in shown] == ["+12015550123", "+12015550188"]


def test_mistakes_are_said_in_a_sentence(run, on_list):
    assert "No team is named" in run("opt-out", "list", "Nobody", code=1).stderr
    run("opt-out", "list", "Front", "--limit", "9" * 30, code=2)
    run("opt-out", "add", "Front", "12", "+12015550123", code=1)
    assert on_list() == []
    assert "--reason" in run("opt-out", "remove", "Front", "+12015550123", code=2).stderr
