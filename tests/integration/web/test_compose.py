"""One SMS in the browser: typed, reviewed, confirmed once."""

import pytest
import sqlalchemy as sa

from smsqueue.db import Database
from smsqueue.domain import credits
from smsqueue.models import Campaign, Recipient, Status
from smsqueue.queue.models import JobRow
from tests.integration.web.parts import attribute, part, words_of
from tests.web import main_of, page_of

pytestmark = pytest.mark.databases("sqlite", "postgresql")
words_only = pytest.mark.databases("sqlite")


def write(member, number="201 555 0123", text="Hello", **more):
    """Send the form of one SMS."""
    return member.post("/sms/send", {"number": number, "text": text, **more})


def review_of(member, **fields):
    """Write one SMS and open its review."""
    answer = write(member, **fields)
    assert answer.status_code == 303, main_of(answer)
    return answer.location


def token_of(member, review):
    """Return the confirm token that the review hides."""
    return attribute(member.get(review), "input[name=token]")


def only(store: Database, model):
    """Return the only row of a table."""
    with store.reading() as session:
        return session.scalars(sa.select(model)).one()


def test_review_shows_number_as_understood_text_cost_and_balance(member):
    review = review_of(member, text="Hello <b>you</b>")
    page = main_of(member.get(review))
    assert "+1 201-555-0123, United States" in page
    assert "Hello <b>you</b>" in page
    assert "Balance now 1,000 This costs − 1 Balance after 999" in page
    assert "Send 1 message for 1 credit" in page


def test_confirming_charges_queues_one_job_and_leads_to_the_campaign(member, user, store):
    review = review_of(member)
    answer = member.post(f"{review}/confirm", {"token": token_of(member, review)})
    campaign = only(store, Campaign)
    assert (answer.status_code, answer.location) == (303, f"/sms/campaigns/{campaign.uuid}")
    assert campaign.status == Status.PENDING
    assert only(store, JobRow).kind == "sms.send-single"
    with store.reading() as session:
        assert credits.balance(session, user.team_id) == 999


def test_confirming_twice_is_one_sms(member, user, store):
    review = review_of(member)
    token = token_of(member, review)
    answers = [member.post(f"{review}/confirm", {"token": token}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert answers[0].location == answers[1].location
    only(store, JobRow)
    with store.reading() as session:
        assert credits.balance(session, user.team_id) == 999


@words_only
@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("", "Enter the phone number"),
        ("call me", "letters"),
        ("12", "short"),
        ("4.47E+11", "Excel"),
    ],
)
def test_wrong_number_is_explained_and_everything_typed_comes_back(member, number, words):
    answer = write(member, number=number, text="My long text")
    page = page_of(answer)
    assert answer.status_code == 422
    assert words_of(page, "title").startswith("Error: ")
    field = part(page, "input[name=number]")
    assert field["value"] == number
    assert field["aria-invalid"] == "true"
    error = part(page, f"#{field['id']}-error")
    assert error["id"] in field["aria-describedby"]
    assert words in error.get_text()
    assert words_of(page, f'.error-summary a[href="#{field["id"]}"]') in error.get_text()
    assert words_of(page, "textarea[name=text]") == "My long text"


@words_only
@pytest.mark.parametrize(
    ("text", "words"), [("  ", "Write the text"), ("a" * 1531, "at most 10"), ("Hi ((name))", "((name))")]
)
def test_text_that_cannot_be_sent_is_refused(member, text, words):
    answer = write(member, text=text)
    assert answer.status_code == 422
    assert words in words_of(answer, "#text-error")


def test_change_link_brings_back_what_was_typed_and_replaces_the_draft(member, store):
    review = review_of(member, text="Hello")
    back = attribute(member.get(review), "main a[href*=draft]", "href")
    form = page_of(member.get(back))
    assert words_of(form, "textarea[name=text]") == "Hello"
    assert attribute(form, "input[name=number]") == "+12015550123"
    write(member, text="Hello again", draft=attribute(form, "input[name=draft]"))
    assert only(store, Campaign).text == "Hello again"
    assert only(store, Recipient).number == "+12015550123"


def test_changing_an_sms_that_was_sent_meanwhile_makes_another_draft(member, store):
    review = review_of(member)
    member.post(f"{review}/confirm", {"token": token_of(member, review)})
    answer = write(member, text="Second", draft=review.rsplit("/", 1)[1])
    assert answer.status_code == 303
    with store.reading() as session:
        assert sorted(session.scalars(sa.select(Campaign.status))) == [Status.DRAFT, Status.PENDING]


def test_too_few_credits_show_what_is_missing_and_no_button(make_visitor, factory):
    poor = make_visitor()
    poor.sign_in(factory.user(team=factory.team(balance=0)).email)
    review = review_of(poor, text="a" * 200)
    page = main_of(poor.get(review))
    assert "2 credits missing" in page
    assert "Send 1 message" not in page


def test_another_teams_draft_is_not_found(member, make_visitor, factory):
    review = review_of(member)
    stranger = make_visitor()
    stranger.sign_in(factory.user(team=factory.team(balance=5)).email)
    assert stranger.get(review).status_code == 404
    assert stranger.post(f"{review}/confirm", {"token": token_of(member, review)}).status_code == 404


def test_forged_token_is_refused_and_nothing_is_charged(member, user, store):
    review = review_of(member)
    answer = member.post(f"{review}/confirm", {"token": "made-up"})
    assert answer.status_code == 409
    assert "Nothing was sent" in main_of(answer)
    with store.reading() as session:
        assert credits.balance(session, user.team_id) == 1000


def test_expired_csrf_token_brings_the_form_back_filled(member):
    answer = member.client.post("/sms/send", data={"number": "201 555 0123", "text": "Kept", "csrf_token": "old"})
    assert answer.status_code == 400
    assert words_of(answer, "textarea[name=text]") == "Kept"


def test_expired_csrf_token_on_confirm_shows_the_review_again(member, store):
    review = review_of(member)
    token = token_of(member, review)
    answer = member.client.post(f"{review}/confirm", data={"token": token, "csrf_token": "old"})
    assert answer.status_code == 400
    assert "Send 1 message for 1 credit" in main_of(answer)
    assert only(store, Campaign).status == Status.DRAFT


@words_only
def test_counter_has_a_hint_that_needs_no_script(member):
    page = page_of(member.get("/sms/send"))
    assert "160 characters" in words_of(page, "[data-counter-shown]")
    assert attribute(page, "textarea", "data-most") == "10"
