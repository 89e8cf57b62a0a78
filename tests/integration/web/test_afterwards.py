"""After a campaign: its closing sheet, sending again to those who failed, cloning it."""

import csv
import io
from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.db import table_of
from smsqueue.domain import again, credits, explaining
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Outcome, Rejected, Sent, Unknown
from smsqueue.models import Attempt, Campaign, DeliveryReport, Recipient, Status, Team
from tests.domain_fixtures import Office
from tests.integration.domain.test_closing import close, in_the_air, record
from tests.integration.web.parts import attribute, part, words_of
from tests.web import main_of, page_of

pytestmark = pytest.mark.databases("sqlite", "postgresql")
campaigns = table_of(Campaign)
PASSING = Rejected("busy", "=busy just now", may_retry=True)


@pytest.fixture
def office(store, user):
    """The team of who is signed in."""
    with store.reading() as session:
        return Office(store, session.get_one(Team, user.team_id), user)


@pytest.fixture
def ended(member, office):
    """A campaign that ended: one accepted, two failed, one unknown."""
    campaign = office.launched(4)
    outcomes: list[Outcome] = [Sent("g-1", parts=1), PASSING, PASSING, Unknown("lost")]
    pairs = zip(in_the_air(office, campaign), outcomes, strict=True)
    record(office, campaign, *(Answer(intent, outcome) for intent, outcome in pairs))
    assert close(office, campaign)
    return campaign


def page(campaign, more=""):
    """Return the address of a campaign's page."""
    return f"/sms/campaigns/{campaign.uuid}{more}"


def press_retry(member, campaign, **typed):
    """Send what the page of the retry shows, and what somebody types there."""
    form = part(member.get(page(campaign, "/retry")), "main form")
    fields = {field["name"]: field["value"] for field in form.select("input[name]") if field["name"] != "csrf_token"}
    return member.post(str(form["action"]), fields | typed)


def test_page_offers_sheet_retry_and_clone(member, ended):
    words = words_of(member.get(page(ended)), "section[aria-labelledby=afterwards-heading]")
    assert "Retry 2 failed for 2 credits…" in words
    assert "Closing sheet" in words
    assert "Clone" in words


def test_page_does_not_count_where_many_failed(member, ended, office):
    office.execute(sa.update(campaigns).values(failed=again.FEW + 1))
    assert "Retry what failed…" in words_of(member.get(page(ended)), "section[aria-labelledby=afterwards-heading]")
    assert "2 recipients surely did not get the text" in main_of(member.get(page(ended, "/retry")))


def test_sheet_adds_up_on_the_page(member, ended):
    words = main_of(member.get(page(ended, "/sheet")))
    assert "Everything adds up" in words
    assert "4 recipients = 1 accepted + 2 failed + 1 unknown." in words
    assert "4 credits charged = 1 spent + 2 credited back + 1 held." in words
    assert "scripted" in words


def test_sheet_says_what_does_not_add_up(member, ended, office):
    office.execute(sa.update(campaigns).values(sent=7))
    answer = member.get(page(ended, "/sheet"))
    assert "This does not add up" in main_of(answer)
    assert "Recipients sent: the counter says 7, but the list 1" in main_of(answer)
    assert part(answer, "title").get_text().startswith("Does not add up")


def test_csv_has_everybody_and_no_formula(member, ended):
    answer = member.get(page(ended, "/sheet.csv"))
    rows = list(csv.DictReader(io.StringIO(answer.get_data(as_text=True).removeprefix("\ufeff"))))
    assert answer.mimetype == "text/csv"
    assert [row["State"] for row in rows] == ["sent", "failed", "failed", "unknown"]
    assert rows[1]["Reason"] == "'=busy just now"
    assert all(row["Number"].isdigit() for row in rows)


def test_retry_asks_with_count_and_price_and_sends_once(member, ended, office):
    before = office.balance()
    words = main_of(member.get(page(ended, "/retry")))
    assert "2 recipients surely did not get the text" in words
    assert "Send 2 messages again for 2 credits" in words
    assert "1 recipient unknown: not sent to again" in words

    answer = press_retry(member, ended)

    assert (answer.status_code, answer.location) == (303, page(ended))
    assert "2 messages will be sent again." in main_of(member.get(page(ended)))
    assert office.balance() == before - 2
    member.post(page(ended, "/retry"), {"count": "2", "price": "2"})
    assert "Nobody of this campaign" in main_of(member.get(page(ended)))
    assert office.balance() == before - 2


def test_retry_of_another_number_than_was_shown_asks_again(member, ended, office):
    answer = member.post(page(ended, "/retry"), {"count": "3", "price": "3"})
    assert answer.status_code == 422
    assert "It would be 2 recipients for 2 credits by now" in main_of(answer)
    assert office.reload(ended).status == Status.COMPLETED


def test_retry_of_many_asks_for_their_number(member, ended, office):
    office.execute(sa.update(Team).values(type_count_above=1))
    assert "Type how many: 2." in main_of(member.get(page(ended, "/retry")))

    answer = press_retry(member, ended)
    assert (answer.status_code, office.reload(ended).status) == (422, Status.COMPLETED)
    assert "The number of recipients is missing: type 2" in words_of(answer, "#error-summary")

    assert press_retry(member, ended, typed="2").status_code == 303
    assert office.reload(ended).status == Status.PROCESSING


def test_retry_beyond_the_days_cap_says_how_many_are_left(member, ended, office):
    office.execute(sa.update(campaigns).values(confirmed_at=now() - timedelta(days=2)))
    office.execute(sa.update(Team).values(daily_cap=1))
    answer = press_retry(member, ended)
    assert answer.status_code == 422
    assert "Your team may text 1 recipients a day" in words_of(answer, "#error-summary")


def test_retry_without_the_credits_says_what_is_missing(member, ended, office, store):
    office.launch(office.draft(office.balance()))
    words = main_of(member.get(page(ended, "/retry")))
    assert "2 credits missing" in words
    assert not page_of(member.get(page(ended, "/retry"))).select("main form")
    assert member.post(page(ended, "/retry"), {"count": "2", "price": "2"}).status_code == 422
    with store.reading() as session:
        assert credits.balance(session, office.team.id) == 0
        assert again.offer(session, session.get_one(Campaign, ended.id)) == again.Offer(2, 2)


def test_retry_of_what_has_nothing_to_retry_says_so(member, office):
    campaign = office.launched(1)
    assert "There is nobody to send to again" in main_of(member.get(page(campaign, "/retry")))


@pytest.mark.parametrize("more", ["", "/sheet", "/sheet.csv", "/retry"])
def test_a_draft_has_no_end_yet(member, office, more):
    draft = office.draft(1)
    answer = member.get(page(draft, more))
    assert (answer.status_code, answer.location) == (302, page(draft, "/review"))


def test_a_draft_is_not_retried(member, office):
    draft = office.draft(1)
    member.post(page(draft, "/retry"), {"count": "1", "price": "1"})
    assert "not confirmed yet" in main_of(member.get(page(draft, "/review")))


def test_clone_leads_to_the_review_of_a_draft(member, ended, office):
    answer = member.post(page(ended, "/clone"))
    assert answer.status_code == 303
    review = member.get(answer.location)
    assert "4 can be sent" in main_of(review)
    copy = office.rows(Campaign)[-1]
    assert (copy.cloned_from, copy.status) == (ended.uuid, Status.DRAFT)
    token = attribute(review, "input[name=token]")
    sent = member.post(answer.location.replace("/review", "/confirm"), {"token": token, "again": "y"})
    assert sent.status_code == 303


def test_clone_of_a_single_sms_leads_to_its_own_review(member, office):
    campaign = office.launch(office.single())
    answer = member.post(page(campaign, "/clone"))
    assert answer.location.startswith("/sms/send/")
    assert "Review your SMS" in main_of(member.get(answer.location))


def test_another_teams_campaign_is_not_found(make_visitor, factory, ended):
    stranger = make_visitor()
    stranger.sign_in(factory.user(team=factory.team(balance=5)).email)
    assert [stranger.get(page(ended, more)).status_code for more in ("/sheet", "/sheet.csv", "/retry")] == [404] * 3
    assert [stranger.post(page(ended, more)).status_code for more in ("/retry", "/clone")] == [404] * 2


def test_recipients_show_reports_and_who_said_what(member, ended, office):
    attempt = office.attempts(ended)[0]
    facts = {"gateway": "scripted", "reference": attempt.reference, "state": "delivered", "received_at": now()}
    office.execute(sa.insert(DeliveryReport).values(attempt_id=attempt.id, **facts))
    office.execute(sa.update(Attempt).where(Attempt.id == attempt.id).values(reported="delivered", reported_at=now()))
    office.execute(sa.update(Recipient).where(Recipient.id == attempt.recipient_id).values(state="delivered"))
    words = words_of(member.get(page(ended)), "#recipients tbody tr")
    assert "report: delivered" in words
    assert "Says the network, by a report of gateway scripted" in words


def test_recipients_who_wait_say_why(member, office):
    campaign = office.launched(1)
    assert "No worker is running" in words_of(member.get(page(campaign)), "#recipients tbody tr")


def test_recipients_are_found_by_their_digits(member, ended, office):
    wanted = office.recipients(ended)[2].number
    rows = page_of(member.get(page(ended, f"?number={wanted[-4:]}"))).select("#recipients tbody tr")
    assert len(rows) == 1
    assert "No recipient has these digits" in main_of(member.get(page(ended, "?number=99999999")))


def test_page_names_the_command_that_ends_a_wait_also_where_the_rest_has_a_button(member, office):
    campaign = office.launched(12)
    office.execute(sa.update(Campaign).values(first_ten=True, status=Status.PROCESSING, started_at=now()))
    assert "flask sms work --daemon" in main_of(member.get(page(campaign)))


def test_page_status_and_explain_say_the_same_of_what_waits(member, office, store):
    campaign = office.launched(2)
    with store.reading() as session:
        answer = explaining.explain(session, campaign.uuid, ("sms.send-bulk",))
    assert answer
    (_, reason, *_others) = answer.reasons
    assert member.get(page(campaign, "/status")).json["why"]["text"] == reason.sentence
    words = main_of(member.get(page(campaign)))
    assert reason.sentence in words
    assert reason.command
    assert reason.command in words
    assert reason.sentence in words_of(member.get(page(campaign)), "#recipients tbody tr")
