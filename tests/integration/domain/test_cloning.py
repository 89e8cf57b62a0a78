"""Cloning a campaign: a draft with the same text, people and options, at today's price."""

from dataclasses import replace

import pytest
import sqlalchemy as sa

from smsqueue.domain import cloning, drafts, optouts, reviewing
from smsqueue.domain.cloning import NothingToClone
from smsqueue.domain.errors import NotFound
from smsqueue.domain.goodbye import Goodbye
from smsqueue.models import Campaign, Status
from tests.domain_fixtures import RULES, TERMS, Office, plain
from tests.domain_workers import Scripted

LIST = "name;phone\n" + "\n".join(f"Ann {row};{number}" for row, number in enumerate(plain(3)))


def clone(office, campaign, rules=RULES, team_id=None):
    """Press Clone."""
    team = team_id or office.team.id
    return office.store.write(lambda s: cloning.clone(s, team, campaign.uuid, office.user, rules))


def people(office, campaign):
    """List whom a campaign goes to, with what."""
    return [
        (each.row, each.source_row, each.number, each.country, each.text, each.segments, each.price)
        for each in office.recipients(campaign)
    ]


@pytest.fixture
def sent(office):
    """A campaign with a text for each, and options, that was launched."""
    draft = office.checked(LIST, text="Hi ((name))")
    office.execute(sa.update(Campaign).values(sending_hours="08:00-21:00", unknown_policy="give-up", time_zone="UTC"))
    return office.launch(office.reload(draft))


def test_a_clone_is_a_draft_with_the_same_people_text_and_options(office, sent):
    before = office.balance()
    copy = office.reload(clone(office, sent))

    assert (copy.status, copy.cloned_from, copy.name, copy.text) == (Status.DRAFT, sent.uuid, sent.name, sent.text)
    assert people(office, copy) == people(office, sent)
    assert (copy.total, copy.price, copy.segments) == (sent.total, sent.price, sent.segments)
    assert (copy.sending_hours, copy.unknown_policy, copy.countries) == ("08:00-21:00", "give-up", {"US": 3})
    assert {recipient.state for recipient in office.recipients(copy)} == {"queued"}
    assert office.balance() == before


def test_a_clone_can_be_confirmed(office, sent):
    copy = clone(office, sent)
    assert office.launch(copy).status == Status.PENDING
    assert office.reload(sent).total == 3


def test_who_opted_out_is_left_out_and_rows_count_without_gaps(office, sent):
    number = office.recipients(sent)[1].number
    office.store.write(lambda s: optouts.add_all(s, {(office.team.id, number)}, source="stop"))

    copy = office.reload(clone(office, sent))

    assert [(each.row, each.source_row) for each in office.recipients(copy)] == [(1, 2), (2, 4)]
    assert (copy.total, copy.opted_out, copy.bad, copy.rows) == (2, 1, 0, 3)
    with office.store.reading() as session:
        (left,) = drafts.iter_skipped(session, copy)
        assert (left.cell, left.opted_out, left.source_row) == (number, True, 3)
        assert reviewing.quote(session, copy).recipients == 2


def test_a_goodbye_is_cloned_for_nobody_who_wants_no_texts_any_more(office, make_crew):
    campaign = office.launched(1)
    make_crew(gateway := Scripted()).drain()
    pair = (office.team.id, office.recipients(campaign)[0].number)

    def stop(session):
        Goodbye("Bye", TERMS, 10).say(session, *pair)
        optouts.add_all(session, {pair}, source=optouts.STOP)

    office.store.write(stop)
    goodbye = office.rows(Campaign)[-1]
    with pytest.raises(NothingToClone, match="opted out"):
        clone(office, goodbye)

    office.store.write(lambda session: optouts.let_back(session, {pair}))
    copy = office.launch(clone(office, goodbye))
    office.store.write(lambda session: optouts.add_all(session, {pair}, source=optouts.STOP))
    make_crew(gateway).drain()

    assert (len(gateway.calls), office.states(goodbye), office.states(copy)) == (2, {"sent": 1}, {"suppressed": 1})


def test_todays_price_and_rules_hold(office, sent):
    dear = office.reload(clone(office, sent, replace(RULES, credits_per_segment=3)))
    assert dear.price == 9
    with pytest.raises(NothingToClone):
        clone(office, sent, replace(RULES, countries=frozenset({"FR"})))
    assert len(office.rows(Campaign)) == 2


def test_a_single_sms_is_cloned_too(office):
    copy = office.reload(clone(office, office.launch(office.single())))
    assert (copy.kind, copy.total, copy.status) == ("single", 1, Status.DRAFT)


def test_drafts_and_other_teams_campaigns_are_not_cloned(office, sent, store):
    with pytest.raises(NothingToClone):
        clone(office, office.draft(1))
    other = Office.open(store, "Neighbours", 0)
    with pytest.raises(NotFound):
        clone(office, sent, team_id=other.team.id)


@pytest.mark.databases("sqlite", "postgresql")
def test_many_are_copied_by_few_statements(office):
    campaign = office.launched(900)
    asked = []
    sa.event.listen(office.store.engine, "before_cursor_execute", lambda *about: asked.append(about[2]))
    copy = clone(office, campaign)
    assert len(asked) < 25, asked
    assert len(office.recipients(copy)) == 900
