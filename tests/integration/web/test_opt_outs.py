"""The pages of who wants no more texts, and of what people texted back."""

import re

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import inbound, optouts
from smsqueue.gateways.base import Inbound
from smsqueue.models import InboundText, OptOut, Team
from tests.desk import Desk
from tests.domain_fixtures import Office
from tests.web import main_of, page_of, value_of


@pytest.fixture
def office(store, user) -> Office:
    """The team of the member who looks."""
    with store.reading() as session:
        return Office(store, session.get_one(Team, user.team_id), user)


@pytest.fixture
def texted(office) -> str:
    """A number that the team has texted."""
    (intent,) = Desk(office).sent()
    return intent.outgoing.to


def put(office, *numbers, source="stop"):
    """Put numbers on the team's list."""
    pairs = {(office.team.id, number) for number in numbers}
    office.store.write(lambda session: optouts.add_all(session, pairs, source=source))


def hear(office, sender, text):
    """Have a text come in."""
    inbound.receive(office.store, "scripted", Inbound(sender=sender, to="us", text=text), now())


def on_list(office) -> list[str]:
    """Read every list there is."""
    with office.store.reading() as session:
        return list(session.scalars(sa.select(OptOut.number).order_by(OptOut.number)))


def test_nobody_has_opted_out_yet(member):
    assert "Nobody has opted out" in main_of(member.get("/opt-outs"))


def test_a_number_is_put_on_the_list_as_it_is_typed_in_the_country(member, office):
    answer = member.post("/opt-outs", {"number": "(201) 555-0123", "note": "on the phone"}, follow_redirects=True)
    assert on_list(office) == ["+12015550123"]
    for words in ("+1 201-555-0123", "on the phone", office.user.email, "Added by hand"):
        assert words in main_of(answer)


@pytest.mark.parametrize(("number", "words"), [("", "Enter the phone number"), ("12", "12")])
def test_what_is_no_number_comes_back_with_a_reason(member, office, number, words):
    answer = member.post("/opt-outs", {"number": number, "note": "kept"})
    assert answer.status_code == 422
    assert words in main_of(answer)
    assert "kept" in answer.get_data(as_text=True)
    assert on_list(office) == []


def test_a_number_is_taken_off_with_a_reason_and_not_without(member, office):
    put(office, "+12015550123")
    answer = member.post("/opt-outs/remove", {"number": "+12015550123", "reason": " "})
    assert answer.status_code == 422
    assert "Say why" in main_of(answer)
    assert on_list(office) == ["+12015550123"]
    answer = member.post("/opt-outs/remove", {"number": "+12015550123", "reason": "asked"}, follow_redirects=True)
    assert "may be texted again" in main_of(answer)
    assert on_list(office) == []


def test_a_missing_reason_is_asked_for_where_it_is_missing(member, office):
    put(office, *(f"+1201555{number:04}" for number in range(60)))
    sent = {"number": "+12015550055", "reason": "", "search": "555", "page": "2"}
    answer = member.post("/opt-outs/remove", sent)
    (entry,) = page_of(answer).select("details[open]:has(input[name=number])")
    field = entry.select("input[name=reason]")[0]
    assert value_of(answer, "#error-summary a", "href") == f"#{field['id']}"
    assert field["aria-invalid"] == "true"
    assert entry.select("input[name=number]")[0]["value"] == "+12015550055"
    assert len(page_of(answer).select("tbody tr")) == 10
    assert value_of(answer, "#search", "value") == "555"
    answer = member.post("/opt-outs/remove", {**sent, "reason": "asked"})
    assert answer.location == "/opt-outs?search=555&page=2"


def test_the_page_says_whom_a_start_does_not_take_off(member):
    assert "unless somebody of your team put them here" in main_of(member.get("/opt-outs"))


def test_another_teams_list_is_neither_seen_nor_changed(member, store, office):
    other = Office.open(store, "Other", 10)
    put(other, "+12015550199")
    assert "0199" not in main_of(member.get("/opt-outs?search=0199")).replace("these digits", "")
    member.post("/opt-outs/remove", {"number": "+12015550199", "reason": "mine now"})
    assert on_list(office) == ["+12015550199"]


def test_the_list_is_paged_and_searched(member, office):
    put(office, *(f"+1201555{number:04}" for number in range(120)))
    first = member.get("/opt-outs")
    assert len(page_of(first).select("tbody tr")) == 50
    assert "The list: 120" in main_of(first)
    second = value_of(first, "a[rel=next]", "href")
    assert second == "/opt-outs?page=2"
    assert len(page_of(member.get(second)).select("tbody tr")) == 50
    assert len(page_of(member.get("/opt-outs?search=555-0077")).select("tbody tr")) == 1
    assert "No number on the list" in main_of(member.get("/opt-outs?search=999999"))


def test_nobody_has_written_yet(member):
    assert "Nobody has written yet" in main_of(member.get("/inbox"))


def test_texts_are_shown_with_what_they_ask_for(member, office, texted):
    for text in ("Thanks <b>!", "please stop this", "STOP"):
        hear(office, texted, text)
    shown = member.get("/inbox")
    assert "3 new" in main_of(shown)
    for words in ("Thanks <b>!", "Please look", "No more texts", "Gets no more texts"):
        assert words in main_of(shown)


def test_texts_keep_their_lines(member, office, texted):
    hear(office, texted, "one\ntwo")
    page = page_of(member.get("/inbox"))
    assert "one\ntwo" in page.select("td .own-text")[0].get_text()
    sheets = ""
    for link in page.select("link[rel=stylesheet]"):
        with member.get(str(link["href"])) as answer:
            sheets += answer.text
    assert re.search(r"\.own-text \{[^}]*pre-wrap", sheets)


def test_texts_are_marked_as_read_as_far_as_they_were_seen(member, office, texted):
    hear(office, texted, "one")
    newest = value_of(member.get("/inbox"), "input[name=up_to]", "value")
    hear(office, texted, "two")
    member.post("/inbox/read", {"up_to": newest})
    assert "1 new" in main_of(member.get("/inbox"))


def test_a_person_reads_a_no_and_presses_the_button(member, office, texted):
    hear(office, texted, "no more please")
    (text,) = office.rows(InboundText)
    answer = member.post("/inbox/stop", {"text": text.id}, follow_redirects=True)
    assert "gets no more texts" in main_of(answer)
    assert on_list(office) == [texted]


def test_another_teams_texts_are_not_there(member, store, office):
    other = Office.open(store, "Other", 10)
    (intent,) = Desk(other).sent()
    hear(other, intent.outgoing.to, "secret")
    (text,) = other.rows(InboundText)
    assert "secret" not in main_of(member.get("/inbox"))
    assert member.post("/inbox/stop", {"text": text.id}).status_code == 404
    member.post("/inbox/read", {"up_to": text.id})
    assert other.rows(InboundText)[0].read_at is None
