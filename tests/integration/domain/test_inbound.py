"""Texts that come in, and the list of those who want no more."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain import again, goodbye, inbound, journal, optouts, stopping
from smsqueue.domain.counting import Changes
from smsqueue.domain.goodbye import Goodbye
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Deferred, Inbound, Rejected
from smsqueue.models import Campaign, InboundText, State, Team
from tests.desk import Desk
from tests.domain_fixtures import TERMS, Office
from tests.domain_workers import Crew, Scripted, Working, at_once, race, waiting
from tests.outside import wait_until


def hear(office: Office, sender: str, text: str, **more: Any) -> None:
    """Have a text come in."""
    told = Inbound(sender=sender, to="us", text=text, **more)
    inbound.receive(office.store, "scripted", told, now())


def on_list(office: Office) -> list[tuple[str, str]]:
    """Read a team's list: number and source."""
    with office.store.reading() as session:
        return [(each.number, each.source) for each in optouts.listing(session, office.team.id)]


@pytest.fixture
def texted(office: Office) -> str:
    """A number that the office has texted."""
    (intent,) = Desk(office).sent()
    return intent.outgoing.to


def test_a_text_belongs_to_the_team_that_texted_its_number_last(store, office, texted):
    other = Office.open(store, "Other", 10)
    hear(office, texted, "Hello")
    Desk(other).sent()
    hear(office, texted, "Hello again")
    hear(office, "+12015550199", "Who is this?")
    teams = [each.team_id for each in office.rows(InboundText)]
    assert teams == [office.team.id, other.team.id, None]


def test_stop_holds_for_every_team_that_has_texted_the_number(store, office, texted):
    other, stranger = Office.open(store, "Other", 10), Office.open(store, "Stranger", 10)
    Desk(other).sent()
    hear(office, texted, "STOP")
    assert on_list(office) == on_list(other) == [(texted, "stop")]
    assert on_list(stranger) == []


def test_a_teams_own_word_holds_for_that_team_only(store, office, texted):
    other = Office.open(store, "Other", 10)
    Desk(other).sent()
    office.execute(sa.update(Team).where(Team.id == office.team.id).values(opt_out_words="basta, genug"))
    hear(office, texted, "Basta!")
    assert (on_list(office), on_list(other)) == ([(texted, "stop")], [])


def test_words_of_the_languages_of_a_teams_country_hold_for_that_team_only(store, office, texted):
    other = Office.open(store, "Other", 10)
    Desk(other).sent()
    office.execute(sa.update(Team).where(Team.id == office.team.id).values(country="ES"))
    hear(office, texted, "Baja")
    assert (on_list(office), on_list(other)) == ([(texted, "stop")], [])


def test_start_lets_texts_in_again_but_not_past_a_persons_word(office, texted):
    hear(office, texted, "STOP")
    hear(office, texted, "START")
    assert on_list(office) == []
    pairs = {(office.team.id, texted)}
    office.store.write(lambda session: optouts.add_all(session, pairs, source="person", user_id=office.user.id))
    hear(office, texted, "START")
    assert on_list(office) == [(texted, "person")]


@pytest.mark.parametrize("more", [{"gateway_reference": "in-1"}, {"at": now()}])
def test_the_same_text_again_is_no_new_one(office, texted, more):
    for _ in range(3):
        hear(office, texted, "STOP", **more)
    hear(office, texted, "START")
    hear(office, texted, "STOP", **more)
    assert len(office.rows(InboundText)) == 2
    assert on_list(office) == []


def test_a_long_text_is_put_together_when_all_its_pieces_are_there(office, texted):
    for number, text in ((3, "me."), (1, "Unsubscribe "), (1, "Unsubscribe "), (2, "please ")):
        hear(office, texted, text, piece=("7", number, 3), gateway_reference=f"p-{number}")
    with office.store.reading() as session:
        (whole,) = inbound.listing(session, office.team.id)
    assert (whole.text, whole.meaning) == ("Unsubscribe please me.", "stop")
    assert on_list(office) == [(texted, "stop")]


def test_pieces_that_are_not_all_there_are_not_shown(office, texted):
    hear(office, texted, "STOP", piece=("7", 1, 2), gateway_reference="p-1")
    with office.store.reading() as session:
        assert not inbound.listing(session, office.team.id)
    assert on_list(office) == []


def test_a_piece_number_that_comes_again_begins_a_new_text(office, texted):
    for turn in ("a", "b"):
        for number in (1, 2):
            hear(office, texted, f"{turn}{number}", piece=("7", number, 2), gateway_reference=f"{turn}-{number}")
    with office.store.reading() as session:
        assert [each.text for each in inbound.listing(session, office.team.id)] == ["b1b2", "a1a2"]


@pytest.mark.databases("postgresql", "mariadb")
def test_the_last_pieces_at_the_same_moment_make_one_text(office, texted):
    for turn in range(10):

        def tell(number: int, turn: int = turn) -> None:
            hear(office, texted, f"<{number}>", piece=(f"{turn}", number, 3), gateway_reference=f"{turn}-{number}")

        assert at_once([partial(tell, number) for number in (1, 2, 3)]) == [None] * 3
    with office.store.reading() as session:
        assert [each.text for each in inbound.listing(session, office.team.id)] == ["<1><2><3>"] * 10


def test_unread_texts_are_counted_and_marked_up_to_the_one_that_was_seen(office, texted):
    for text in ("one", "two", "three"):
        hear(office, texted, text)
    with office.store.reading() as session:
        newest = inbound.listing(session, office.team.id)[0].id
        assert inbound.unread(session, office.team.id) == 3
    hear(office, texted, "four")
    assert office.store.write(lambda session: inbound.mark_read(session, office.team.id, newest)) == 3
    with office.store.reading() as session:
        assert inbound.unread(session, office.team.id) == 1


def test_whoever_has_opted_out_is_not_sent_to_and_is_credited(office, texted, make_crew):
    campaign = office.launched([texted, "+12015550142"])
    hear(office, texted, "STOP")
    gateway = Scripted()
    make_crew(gateway).finish(office)
    assert gateway.numbers == ["+12015550142"]
    assert office.states(campaign) == {State.SUPPRESSED: 1, State.SENT: 1}
    assert office.reload(campaign).returned == 1


def test_a_refusal_for_an_opt_out_feeds_the_list(office, make_crew):
    gateway = Scripted(lambda _outgoing: Rejected("21610", "The recipient has opted out.", opted_out=True))
    crew: Crew = make_crew(gateway)
    campaign = office.launched(1)
    crew.finish(office)
    assert office.states(campaign) == {State.FAILED: 1}
    assert on_list(office) == [(gateway.numbers[0], "gateway")]


def test_the_list_is_searched_paged_and_counted(office):
    numbers = [f"+1201555{number:04}" for number in range(120)]
    pairs = {(office.team.id, number) for number in numbers}
    for _ in range(2):
        office.store.write(lambda session: optouts.add_all(session, pairs, source="person", note="by hand"))
    with office.store.reading() as session:
        first = optouts.listing(session, office.team.id)
        rest = optouts.listing(session, office.team.id, skip=len(first), limit=None)
        found = optouts.listing(session, office.team.id, search="555 0077")
        assert optouts.count(session, office.team.id) == 120
        assert optouts.out_of(session, office.team.id, [*numbers, "+12015559999"]) == set(numbers)
        assert not optouts.listing(session, office.team.id, search="nobody")
    assert [each.number for each in (*first, *rest)] == numbers
    assert [each.number for each in found] == ["+12015550077"]
    gone = {(office.team.id, numbers[0]), (office.team.id, "+12015559999")}
    assert office.store.write(lambda session: optouts.remove_all(session, gone, reason="asked on the phone")) == 1


GOODBYE = Goodbye("You get no more texts of us.", TERMS, 10)


def test_a_stop_is_answered_once_although_its_number_is_on_the_list(office, texted, make_crew):
    gateway = Scripted()
    crew: Crew = make_crew(gateway)
    for _ in range(2):
        told = Inbound(sender=texted, to="us", text="STOP")
        inbound.receive(office.store, "scripted", told, now(), GOODBYE)
        assert on_list(office) == [(texted, "stop")]
        crew.finish(office)
    assert [(each.to, each.text) for each in gateway.calls] == [(texted, GOODBYE.text)]
    assert office.balance() == 1000 - 2


def test_who_stops_and_starts_in_turns_is_answered_once_a_day(office, texted, make_crew):
    gateway = Scripted()
    crew: Crew = make_crew(gateway)
    for _day in range(2):
        for text in ("STOP", "START") * 3:
            inbound.receive(office.store, "scripted", Inbound(sender=texted, to="us", text=text), now(), GOODBYE)
            crew.finish(office)
        assert on_list(office) == []
        office.execute(sa.update(Campaign).values(confirmed_at=now() - timedelta(days=1, minutes=1)))
    assert [each.text for each in gateway.calls] == [GOODBYE.text] * 2
    assert office.balance() == 1000 - 1 - 2


@pytest.mark.databases("postgresql", "mariadb")
def test_of_two_stops_at_the_same_moment_one_is_answered(office, texted, make_crew):
    def stop(reference):
        told = Inbound(sender=texted, to="us", text="STOP", gateway_reference=reference)
        return lambda session: inbound.keep(session, "scripted", told, now(), GOODBYE)

    race(office.store, stop("a"), stop("b"))
    make_crew(gateway := Scripted()).drain()

    assert gateway.numbers == [texted]


def stop_beside(
    office: Office, monkeypatch: pytest.MonkeyPatch, number: str, work: Callable[[Session], object]
) -> None:
    """Let a STOP come whose answer is queued only when something else has begun, and waits or is done."""
    was_said, running = goodbye._was_said, list[Working]()

    def while_others_work(session: Session, team_id: int, number: str) -> bool:
        if not running:
            running.append(Working(lambda: office.store.write(work)))
            wait_until(lambda: waiting(office.store) or not running[0].is_alive())
        return was_said(session, team_id, number)

    monkeypatch.setattr(goodbye, "_was_said", while_others_work)
    inbound.receive(office.store, "scripted", Inbound(sender=number, to="us", text="STOP"), now(), GOODBYE)
    running[0].ended()


@pytest.mark.databases("postgresql", "mariadb")  # SQLite has one writer at a time
def test_a_stop_is_no_deadlock_with_a_retry(office, repeated, monkeypatch):
    desk = Desk(office, 2)
    for intent in desk.call():
        desk.answer(intent, Rejected("busy", "busy just now", may_retry=True))
    office.execute(sa.text("DELETE FROM jobs"))
    desk.close()
    office.execute(sa.update(Team).values(daily_cap=100))

    def retry(session: Session) -> None:
        again.retry(session, office.team.id, desk.campaign.uuid, TERMS, user_id=office.user.id)

    stop_beside(office, monkeypatch, desk.called[1].outgoing.to, retry)

    assert (repeated, desk.states, len(office.rows(Campaign))) == ([], ["queued", "failed"], 2)


@pytest.mark.databases("postgresql", "mariadb")  # SQLite has one writer at a time
def test_a_stop_is_no_deadlock_with_the_end_of_its_campaign(office, repeated, monkeypatch):
    desk = Desk(office, 2)
    first, second = desk.call()
    desk.answer(second, Deferred(0, "throttled", "later"))
    refusal = Rejected("auth", "wrong key", "account")

    def refused(session: Session) -> None:
        changes, mine = Changes(), session.get_one(Campaign, desk.campaign.id)
        journal.record(session, mine, [Answer(first, refusal)], changes, now=now())
        stopping.stop_for_account(session, mine, refusal)
        changes.write(session, mine.id)

    stop_beside(office, monkeypatch, second.outgoing.to, refused)

    assert (repeated, desk.states, len(office.rows(Campaign))) == ([], ["failed", "failed"], 2)


def test_a_stop_that_cannot_be_answered_is_obeyed_all_the_same(store, make_crew):
    office = Office.open(store, "Poor", 1)
    (intent,) = Desk(office).sent()
    inbound.receive(store, "scripted", Inbound(sender=intent.outgoing.to, to="us", text="STOP"), now(), GOODBYE)
    assert on_list(office) == [(intent.outgoing.to, "stop")]
    assert office.balance() == 0
    assert not office.problems()


def test_start_and_other_texts_are_not_answered(office, texted):
    for text in ("START", "Thanks", "please stop"):
        inbound.receive(office.store, "scripted", Inbound(sender=texted, to="us", text=text), now(), GOODBYE)
    assert office.balance() == 999
