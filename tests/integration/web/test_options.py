"""Choosing when and how in the browser: every refusal keeps what was typed, and the review tells what holds."""

import csv
import io
import re
from datetime import UTC, date, datetime, timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import brake, optouts
from smsqueue.models import Campaign, Recipient, Status, Team
from tests.integration.web.parts import attribute, part, words_of
from tests.integration.web.test_bulk import GOOD, confirm, error_at, review_of, send_form
from tests.web import main_of, page_of

pytestmark = pytest.mark.databases("sqlite")
THREE = "Name;Mobile\nAna;+12015550123\nBob;+33612345678\nCid;+33612345679\n"


def ahead(days=30):
    """A day to come, as browsers send it."""
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d}"


def fold_of(year):
    """The day on which Paris has an hour twice."""
    return next(f"{year}-10-{day}" for day in range(25, 32) if date(year, 10, day).weekday() == 6)


@pytest.fixture
def rule(store, user):
    """Set rules of the member's team: `rule(time_zone="Europe/Paris")`."""

    def rule(**values):
        change = sa.update(Team).where(Team.id == user.team_id).values(**values)
        store.write(lambda session: session.execute(change))

    return rule


def only(store):
    """The only campaign."""
    with store.reading() as session:
        return session.scalars(sa.select(Campaign)).one()


def test_draft_keeps_its_time_and_the_button_spells_out_the_zone(member, store, rule):
    rule(time_zone="Asia/Kolkata")
    review = review_of(member, when="later", day=ahead(), time="09:00")
    page = member.get(review)
    assert "09:00 in Asia/Kolkata (UTC+5:30)" in words_of(page, "form button[data-busy='Scheduling…']")
    assert f"{only(store).scheduled_for:%H:%M}" == "03:30"
    form = page_of(member.get(f"/sms/campaigns/new?draft={only(store).uuid}"))
    assert [attribute(form, f"input[name={name}]") for name in ("day", "time")] == [ahead(), "09:00"]
    assert part(form, "input[name=when][checked]")["value"] == "later"
    assert confirm(member, review).status_code == 303
    assert only(store).status == Status.SCHEDULED


@pytest.mark.parametrize(
    ("fields", "name", "words"),
    [
        ({"when": "later", "day": "2020-01-01", "time": "09:00"}, "time", "is over"),
        ({"when": "later", "day": "2033-01-01", "time": "09:00"}, "day", "within a year"),
        ({"when": "later", "day": "", "time": "09:00"}, "day", "Choose the day"),
        ({"hours": "9 to 5"}, "hours", "08:00-21:00"),
    ],
)
def test_wrong_choice_is_told_at_its_field_and_nothing_typed_is_lost(member, store, fields, name, words):
    answer = send_form(member, GOOD, text="My long text", **fields)
    assert answer.status_code == 422
    assert words in error_at(answer, name)
    assert words_of(answer, "textarea[name=text]") == "My long text"
    assert attribute(page_of(answer), f"input[name={name}]") == fields[name]
    assert "customers.csv" in main_of(answer)
    with store.reading() as session:
        assert not session.scalars(sa.select(Campaign)).all()


def test_day_without_saying_later_is_not_sent_at_once(member):
    answer = send_form(member, GOOD, day=ahead(), time="09:00")
    assert answer.status_code == 422
    assert "There is a day or a time, too" in words_of(answer, "#when-error")


def test_hour_that_is_there_twice_is_asked_for(member, store, rule):
    rule(time_zone="Europe/Paris")
    today = datetime.now(UTC)
    year = today.year + (f"{today:%m-%d}" > "10-20")
    fields = {"when": "later", "day": fold_of(year), "time": "02:30"}
    answer = send_form(member, GOOD, **fields)
    assert answer.status_code == 422
    page = page_of(answer)
    assert [choice["value"] for choice in page.select("input[name=which]")] == ["earlier", "later"]
    assert "The later one: 02:30 in Europe/Paris (UTC+1)" in main_of(answer)
    upload = attribute(page, "input[name=upload]")
    review_of(member, None, upload=upload, which="later", **fields)
    assert f"{only(store).scheduled_for:%H:%M}" == "01:30"
    form = page_of(member.get(f"/sms/campaigns/new?draft={only(store).uuid}"))
    assert part(form, "input[name=which][checked]")["value"] == "later"


def test_review_warns_of_the_night_and_says_who_waits(member, rule):
    rule(sending_hours="00:00-00:01")
    page = main_of(member.get(review_of(member, THREE, hours="00:00-24:00")))
    assert "Not everybody gets it at once" not in page
    review = main_of(member.get(review_of(member, THREE)))
    assert "Sending hours 00:00-00:01" in review
    assert re.search(r"2 recipients in France wait until \d+ \w{3}, 2[23]:00 UTC\.", review)


def test_hours_that_never_come_are_told_at_the_review_which_offers_no_send(member):
    review = member.get(review_of(member, THREE, hours="12:00-14:00"))
    page = main_of(review)
    assert "These sending hours never come United States: the clocks there are so far apart" in page
    assert "until never" not in page
    assert "Nothing can be sent at these sending hours" in page
    assert not page_of(review).select("form[action$='/confirm']")


def test_of_a_single_sms_the_night_is_told_as_of_one(member, rule):
    rule(time_zone="Europe/Paris")
    fields = {"number": "+33612345678", "text": "Hello", "when": "later", "day": ahead(), "time": "02:00"}
    review = main_of(member.get(member.post("/sms/send", fields).location))
    assert "It is night there" in review
    assert "some of them" not in review


def test_options_survive_a_change_of_the_column(member, store):
    chosen = {"validity": "3600", "policy": "give-up", "first_ten": "yes", "hours": "09:00-20:00"}
    review = review_of(member, **chosen)
    member.post(review.replace("/review", "/column"), {"column": "1"})
    campaign = only(store)
    assert (campaign.validity_seconds, campaign.unknown_policy) == (3600, "give-up")
    assert (campaign.first_ten, campaign.sending_hours) == (True, "09:00-20:00")
    page = main_of(member.get(review))
    assert "1 hour" in page
    assert "it may have arrived all the same" in page


def test_single_sms_can_be_scheduled_and_keeps_its_options_when_changed(member, store):
    fields = {"number": "201 555 0123", "text": "Hello", "when": "later", "day": ahead(), "time": "09:00"}
    first = member.post("/sms/send", {**fields, "validity": "300"}).location
    form = page_of(member.get(f"/sms/send?draft={only(store).uuid}"))
    assert attribute(form, "input[name=time]") == "09:00"
    assert part(form, "select[name=validity] option[selected]")["value"] == "300"
    assert "to go" in words_of(member.get(first), "button[data-busy='Scheduling…']")
    assert member.post("/sms/send", {**fields, "time": "9 o'clock"}).status_code == 422


def test_large_campaign_wants_its_number_typed(member, store, rule):
    rule(type_count_above=1)
    review = review_of(member)
    token = attribute(member.get(review), "input[name=token]")
    address = review.replace("/review", "/confirm")
    for typed, words in (("", "is missing"), ("3", "You typed 3")):
        answer = member.post(address, {"token": token, "count": typed})
        assert answer.status_code == 422
        assert words in error_at(answer, "count")
        assert attribute(page_of(answer), "input[name=count]") == typed
    assert only(store).status == Status.DRAFT
    assert member.post(address, {"token": token, "count": "2"}).status_code == 303


def test_same_text_to_the_same_list_is_asked_for_once_more(member, store):
    assert confirm(member, review_of(member)).status_code == 303
    review = review_of(member)
    assert "“ Spring sale ” was confirmed" in main_of(member.get(review))
    token = attribute(member.get(review), "input[name=token]")
    address = review.replace("/review", "/confirm")
    answer = member.post(address, {"token": token})
    assert answer.status_code == 422
    assert "say that they shall get it again" in words_of(answer, "#error-summary")
    assert member.post(address, {"token": token, "again": "y"}).status_code == 303


def test_over_the_cap_is_told_on_the_review_and_nothing_is_charged(member, store, rule):
    review = review_of(member)
    rule(daily_cap=1)
    answer = confirm(member, review)
    assert answer.status_code == 422
    assert "Your team may text 1 recipients a day" in words_of(answer, "#error-summary")
    assert only(store).status == Status.DRAFT


def test_who_opted_out_is_left_out_counted_and_can_be_downloaded(member, user, store):
    store.write(lambda session: optouts.add_all(session, [(user.team_id, "+33612345678")], source="person"))
    review = review_of(member, THREE)
    page = main_of(member.get(review))
    assert "2 can be sent" in page
    assert "1 opted out" in page
    assert "0 need fixing" in page
    answer = member.get(review.replace("/review", "/bad-rows.csv?opted_out=1"))
    rows = list(csv.reader(io.StringIO(answer.get_data(as_text=True))))
    assert [row[0] for row in rows[1:]] == ["3"]
    assert "wants no texts" in rows[1][2]
    assert len(member.get(review.replace("/review", "/bad-rows.csv")).get_data(as_text=True).splitlines()) == 1


def test_single_sms_to_who_opted_out_is_refused(member, user, store):
    store.write(lambda session: optouts.add_all(session, [(user.team_id, "+12015550123")], source="person"))
    answer = member.post("/sms/send", {"number": "201 555 0123", "text": "Hello"})
    assert answer.status_code == 422
    assert "wants no texts of your team" in error_at(answer, "number")


@pytest.fixture
def held(member, store):
    """A campaign of two recipients, both held by the brake."""
    confirm(member, review_of(member))
    campaign = only(store)
    mine = sa.update(Recipient).where(Recipient.campaign_id == campaign.id)
    store.write(lambda session: session.execute(mine.values(code=brake.HELD, not_before=brake.FOR_EVER)))
    store.write(lambda session: session.execute(sa.update(Campaign).values(braked=2)))
    return campaign


def test_held_recipients_are_shown_and_let_go_by_a_button(member, store, held):
    page = member.get(f"/sms/campaigns/{held.uuid}")
    assert "2 recipients held" in main_of(page)
    assert "Send these 2 after all" in main_of(page)
    assert "What still waits at " in main_of(page)
    answer = member.post(f"/sms/campaigns/{held.uuid}/let-go")
    assert answer.status_code == 303
    page = main_of(member.get(answer.location))
    assert "2 recipients will get the same words once more" in page
    assert "recipients held" not in page
    member.post(f"/sms/campaigns/{held.uuid}/let-go")
    assert "Nobody is held any more" in main_of(member.get(answer.location))


def test_what_is_being_sent_but_held_up_is_shown_as_waiting(member, store, held):
    def begin(session):
        session.execute(sa.update(Campaign).values(status=Status.PROCESSING, started_at=now()))

    store.write(begin)
    assert words_of(member.get(f"/sms/campaigns/{held.uuid}"), ".status-line").startswith("Waiting ")


def test_another_team_cannot_let_go(make_visitor, factory, held):
    stranger = make_visitor()
    stranger.sign_in(factory.user(team=factory.team(balance=5)).email)
    assert stranger.post(f"/sms/campaigns/{held.uuid}/let-go").status_code == 404


def test_team_sees_its_rules_and_what_is_left_of_the_cap(member, rule):
    rule(daily_cap=500, time_zone="Europe/Paris")
    confirm(member, review_of(member))
    page = main_of(member.get("/team"))
    assert "Europe/Paris" in page
    assert "Confirmed today: 2 of 500 recipients" in page
    for title in ("Sent at the same time", "Same text to one number"):
        assert title in page
