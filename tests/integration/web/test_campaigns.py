"""A campaign after confirm: its page, the poll that keeps it fresh, its recipients, Cancel, and the list."""

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import credits
from smsqueue.models import Attempt, Campaign, Recipient, State, Status
from smsqueue.queue import workers
from smsqueue.queue.models import JobRow
from tests.integration.web.parts import attribute, part, words_of
from tests.integration.web.test_waiting import CAUSES, change, waits_for_a_gateway_that_is_away, work
from tests.web import main_of, page_of

pytestmark = pytest.mark.databases("sqlite", "postgresql")
words_only = pytest.mark.databases("sqlite")


def page(campaign, more=""):
    """Return the address of a campaign's page."""
    return f"/sms/campaigns/{campaign.uuid}{more}"


def set_values(store, campaign, **values):
    """Say how far a campaign is."""
    store.write(lambda session: session.execute(sa.update(Campaign).where(Campaign.id == campaign.id).values(values)))


def set_state(store, campaign, row, state, **values):
    """Say what became of a recipient."""
    mine = (Recipient.campaign_id == campaign.id, Recipient.row == row)
    store.write(lambda session: session.execute(sa.update(Recipient).where(*mine).values(state=state, **values)))


def finish(store, campaign):
    """End the campaign: two sent, one unknown."""
    values = {"status": Status.COMPLETED, "queued": 0, "sent": 2, "unknown": 1, "finished_at": now()}
    set_values(store, campaign, **values)


def button_of(answer, ending):
    """Return the words of the button that sends the form to this address; None when there is none."""
    form = part(answer, f"form[action$='{ending}']")
    buttons = page_of(answer).select(f"button[form='{form['id']}']")
    return buttons[0].get_text() if buttons else None


def numbers_in(answer):
    """Return the numbers in the table of recipients."""
    return [cell.get_text(strip=True) for cell in page_of(answer).select("#recipients tbody th")]


def test_page_of_a_waiting_campaign_says_how_far_it_is_and_what_it_cost(member, launched):
    answer = member.get(page(launched))
    words = main_of(answer)
    assert "Pending" in words
    assert "0 of 3 done, 0 %" in words
    assert "Charged 3 credits Credited back 0 Held 3" in words
    counts = [" ".join(count.get_text(" ").split()) for count in page_of(answer).select(".counts li")]
    assert counts == ["3 waiting", "0 sending", "0 sent", "0 failed", "0 unknown"]
    assert attribute(answer, "progress", "max") == "3"
    assert part(answer, "noscript meta[http-equiv=refresh]")["content"] == "5"
    assert "201-555-0123, United States" in words


def test_page_says_when_no_worker_is_there(member, launched, store):
    assert "No worker is running" in main_of(member.get(page(launched)))
    store.write(lambda session: workers.register(session, ["sms"], lease_seconds=60))
    assert "No worker is running" not in main_of(member.get(page(launched)))


def test_status_has_the_keys_of_the_command_and_what_the_page_needs(member, launched, store):
    work(store)
    started = now() - timedelta(seconds=60)
    set_values(store, launched, status=Status.PROCESSING, started_at=started, queued=1, sending=1, sent=1)
    status = member.get(page(launched, "/status")).json
    assert status["id"] == str(launched.uuid)
    assert status["status"] == "processing"
    assert set(status["counts"]) == {state.value for state in State}
    assert status["credits"] == {"charged": 3, "returned": 0, "held": 3}
    assert status["rate"] == pytest.approx(1, abs=0.1)
    assert status["eta"] == pytest.approx(120, abs=10)
    assert (status["stop"], status["next_ms"], status["percent"]) == (False, 3000, 33)
    assert "1 of 3 done, 33 %" in " ".join(status["html"]["live"].split())
    assert status["say"].startswith("Processing: 33 %")


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
def test_campaign_that_runs_again_has_the_pace_of_the_last_attempts(member, launched, store):
    worker_id = work(store)
    change(store, JobRow, reserved_at=1, worker_id=worker_id)
    yesterday = now() - timedelta(days=1)
    set_values(store, launched, status=Status.PROCESSING, started_at=yesterday, reopened=1, queued=1, sent=2)

    def attempt(session):
        first, second, third = session.scalars(sa.select(Recipient.id).order_by(Recipient.row))
        for recipient_id, started_at, outcome in (
            (first, yesterday, "sent"),
            (second, now() - timedelta(seconds=30), "sent"),
            (third, now() - timedelta(seconds=20), "deferred"),
        ):
            facts = {"number": 1, "claim_token": "t", "gateway": "simulated", "reference": f"r{recipient_id}"}
            session.add(Attempt(recipient_id=recipient_id, started_at=started_at, outcome=outcome, **facts))

    store.write(attempt)
    status = member.get(page(launched, "/status")).json
    assert status["rate"] == pytest.approx(2, rel=0.1)
    assert status["eta"] == pytest.approx(30, abs=3)
    assert "2 a minute · less than a minute left" in main_of(member.get(page(launched)))


def test_status_is_not_sent_again_while_nothing_changed(member, launched, store):
    first = member.get(page(launched, "/status"))
    assert first.json["v"] in first.headers["ETag"]
    again = member.get(page(launched, "/status"), headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    set_values(store, launched, queued=2, sending=1)
    changed = member.get(page(launched, "/status"), headers={"If-None-Match": first.headers["ETag"]})
    assert changed.status_code == 200


@pytest.fixture
def asked_by(app, member):
    """Open an address; return what it asks of the database, and the answer."""
    with app.app_context():
        engine = app.extensions["sqlalchemy"].engine

    def asked_by(address):
        asked: list[str] = []
        sa.event.listen(engine, "before_cursor_execute", note := lambda *about: asked.append(about[2]))
        answer = member.get(address)
        sa.event.remove(engine, "before_cursor_execute", note)
        return [statement for statement in asked if statement.startswith(("SELECT", "WITH"))], answer

    return asked_by


def is_a_draft(store):
    """Its rows are being checked."""
    change(store, Campaign, status=Status.DRAFT, checked_at=None)


def is_over(store):
    """Nothing of it is left."""
    change(store, Campaign, status=Status.COMPLETED, queued=0, sent=3, finished_at=now())


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
@pytest.mark.parametrize("state", [*CAUSES, is_a_draft, is_over])
def test_status_asks_the_database_little_whatever_it_waits_for(asked_by, launched, store, state):
    state(store)
    asked, answer = asked_by(page(launched, "/status"))
    assert bool(answer.json.get("why")) == (state in CAUSES)
    assert len(asked) <= 4, asked
    assert "Set-Cookie" not in answer.headers


def test_status_answers_401_to_who_is_signed_out(visitor, launched):
    answer = visitor.get(page(launched, "/status"))
    assert (answer.status_code, answer.mimetype) == (401, "application/json")


def test_end_stops_the_poll_and_the_page_no_longer_asks(member, launched, store):
    finish(store, launched)
    status = member.get(page(launched, "/status")).json
    assert (status["stop"], status["next_ms"], status["percent"]) == (True, 0, 100)
    answer = member.get(page(launched))
    assert not page_of(answer).select("[data-poll]")
    assert not page_of(answer).select("meta[http-equiv=refresh]")
    assert attribute(answer, "[data-poll-ended]", "data-poll-ended") == "Completed: 100 %. 2 sent, 1 unknown."
    assert not page_of(answer).select("details.ask")


def test_hundred_percent_only_when_it_is_over(member, launched, store):
    set_values(store, launched, status=Status.PROCESSING, queued=0, sent=3)
    assert member.get(page(launched, "/status")).json["percent"] == 99


@words_only
def test_unknown_is_explained(member, launched, store):
    finish(store, launched)
    words = main_of(member.get(page(launched)))
    assert "1 message unknown" in words
    assert "nobody gets a message twice" in words


@words_only
def test_page_shows_why_a_campaign_failed(member, launched, store):
    set_values(store, launched, status=Status.FAILED, error="The gateway refuses us.", finished_at=now())
    words = main_of(member.get(page(launched)))
    assert "Failed" in words
    assert "The gateway refuses us." in words


def test_recipients_are_filtered_by_state(member, launched, store):
    set_state(store, launched, 2, State.FAILED, error="This number is not in use.")
    answer = member.get(page(launched, "?state=failed"))
    assert numbers_in(answer) == ["+1 201-555-0124, United States"]
    assert "This number is not in use." in words_of(answer, "#recipients")
    assert attribute(answer, ".count[aria-current]", "href").endswith("state=failed#recipients")
    assert len(numbers_in(member.get(page(launched, "?state=nonsense")))) == 3
    assert "No recipient is in this state" in main_of(member.get(page(launched, "?state=expired")))


def test_recipients_come_fifty_to_a_page(member, store):
    pasted = "\n".join(f"201 555 {number:04d}" for number in range(120))
    data = {"name": "Many", "text": "Hello", "pasted": pasted}
    review = member.post("/sms/campaigns/new", data).location
    token = attribute(member.get(review), "input[name=token]")
    answer = member.get(member.post(review.replace("/review", "/confirm"), {"token": token}).location)
    sizes = [len(numbers_in(answer))]
    while links := page_of(answer).select('nav.paging a:-soup-contains("Next 50")'):
        answer = member.get(str(links[0]["href"]).partition("#")[0])
        sizes.append(len(numbers_in(answer)))
    assert sizes == [50, 50, 20]


def test_each_recipient_shows_its_attempts(member, launched, store):
    def attempt(session):
        recipient_id = session.scalars(sa.select(Recipient.id).where(Recipient.row == 1)).one()
        values = {"claim_token": "t", "gateway": "simulated", "started_at": now(), "ended_at": now()}
        refusal = {"outcome": "deferred", "reason": "Too many requests", "code": "429"}
        session.add(Attempt(recipient_id=recipient_id, number=1, reference="a-1", **values, **refusal))
        session.add(Attempt(recipient_id=recipient_id, number=2, reference="a-2", **values, outcome="sent"))

    store.write(attempt)
    words = words_of(member.get(page(launched)), "#recipients details")
    assert words.startswith("2 attempts")
    assert "not now, will be tried again. Too many requests (code 429)" in words
    assert "accepted" in words


def test_new_results_are_announced_and_the_table_stays(member, launched, store):
    set_state(store, launched, 1, State.SENT)
    set_values(store, launched, status=Status.PROCESSING, queued=2, sent=1)
    poll = member.get(page(launched, "/status?seen=0")).json
    assert "1 new result" in poll["html"]["newer"]
    assert "new result" not in member.get(page(launched, "/status?seen=1")).json["html"]["newer"]


def test_cancel_credits_back_what_had_not_left(member, user, launched, store):
    assert button_of(member.get(page(launched)), "/cancel") == "Stop sending"
    answer = member.post(page(launched, "/cancel"))
    assert (answer.status_code, answer.location) == (303, page(launched))
    words = main_of(member.get(page(launched)))
    assert "Cancelled" in words
    assert "3 cancelled" in words
    assert user.email in words
    with store.reading() as session:
        assert credits.balance(session, user.team_id) == 1000


def test_cancelling_what_has_ended_says_so(member, launched, store):
    finish(store, launched)
    member.post(page(launched, "/cancel"))
    assert "has ended already" in main_of(member.get(page(launched)))


def test_cancelled_campaign_is_asked_about_until_its_last_call_is_back(member, launched, store):
    set_values(store, launched, status=Status.CANCELLED, queued=0, sending=1, cancelled=2)
    status = member.get(page(launched, "/status")).json
    assert (status["stop"], status["next_ms"]) == (False, 3000)
    assert part(member.get(page(launched)), "[data-poll]")


def test_a_campaign_is_paused_and_resumed_from_its_page(member, user, launched, store):
    assert button_of(member.get(page(launched)), "/pause") == "Pause sending"
    answer = member.post(page(launched, "/pause"))
    assert (answer.status_code, answer.location) == (303, page(launched))
    paused = member.get(page(launched))
    assert "Paused since" in main_of(paused)
    assert "Nothing is sent until somebody resumes it. What it had left" in main_of(paused)
    assert [button_of(paused, f"/{name}") for name in ("pause", "resume", "cancel")] == [
        None,
        "Resume sending",
        "Stop sending",
    ]
    status = member.get(page(launched, "/status")).json
    assert (status["stop"], status["next_ms"], status["state"]) == (False, 10_000, "paused")
    assert status["why"]["text"].startswith("Paused since")
    member.post(page(launched, "/resume"))
    assert "Pending" in main_of(member.get(page(launched)))
    assert member.get(page(launched, "/status")).json["next_ms"] == 3000


def test_pausing_and_resuming_what_is_not_says_so(member, launched, store):
    assert "is not paused" in main_of(member.post(page(launched, "/resume"), follow_redirects=True))
    assert "No part of this campaign waits" in main_of(member.post(page(launched, "/send-rest"), follow_redirects=True))
    finish(store, launched)
    assert "nothing to pause" in main_of(member.post(page(launched, "/pause"), follow_redirects=True))


def test_a_scheduled_campaign_says_when_with_the_zone_spelled_out(member, launched, store):
    at = datetime(2031, 7, 1, 12, tzinfo=UTC)
    set_values(store, launched, status=Status.SCHEDULED, scheduled_for=at, time_zone="Europe/Paris")
    said = "Tuesday, 1 Jul 2031, 14:00 in Europe/Paris (UTC+2)"
    answer = member.get(page(launched))
    assert f"It starts by itself on {said}." in main_of(answer)
    assert button_of(answer, "/pause") == "Pause sending"
    assert member.get(page(launched, "/status")).json["next_ms"] == 10_000
    assert f"starts {said}" in main_of(member.get("/sms/campaigns"))


def test_a_rest_that_waits_for_the_first_ten_can_be_sent_from_the_page(member, launched, store):
    work(store)
    long_ago = now() - timedelta(seconds=240)
    values = {"first_ten": True, "total": 4000, "status": Status.PROCESSING, "started_at": long_ago}
    set_values(store, launched, **values)
    answer = member.get(page(launched))
    assert "The other 3,990 wait: the gateway's answers to the first 10 since" in main_of(answer)
    assert "The other 3,990 are sent without waiting" in main_of(answer)
    assert button_of(answer, "/send-rest") == "Send the rest now"
    member.post(page(launched, "/send-rest"))
    assert button_of(member.get(page(launched)), "/send-rest") is None


def test_the_polled_buttons_carry_no_token(member, launched):
    buttons = member.get(page(launched, "/status")).json["html"]["actions"]
    assert "Pause sending" in buttons
    assert "csrf" not in buttons


def test_another_teams_campaign_is_not_found(launched, make_visitor, factory):
    stranger = make_visitor()
    stranger.sign_in(factory.user(team=factory.team(balance=5)).email)
    assert stranger.get(page(launched)).status_code == 404
    assert stranger.get(page(launched, "/status")).status_code == 404
    for name in ("cancel", "pause", "resume", "send-rest"):
        assert stranger.post(page(launched, f"/{name}")).status_code == 404
    assert "Spring sale" not in main_of(stranger.get("/sms/campaigns"))


def test_unknown_campaign_is_not_found(member):
    assert member.get("/sms/campaigns/00000000-0000-4000-8000-000000000000").status_code == 404


def test_list_shows_status_progress_cost_and_by_whom(member, user, launched):
    member.post("/sms/send", {"number": "201 555 0123", "text": "Hi"})
    rows = [" ".join(row.get_text(" ").split()) for row in page_of(member.get("/sms/campaigns")).select("tbody tr")]
    assert rows[0].startswith("Single SMS to")
    assert "continue Draft" in rows[0]
    assert rows[1].startswith("Spring sale Pending 0 of 3 0 sent 3")
    assert rows[1].endswith(user.email)


def test_list_says_waiting_of_what_its_page_says_so_by_as_many_queries_as_for_one(member, launched, store, asked_by):
    waits_for_a_gateway_that_is_away(store)
    set_values(store, launched, status=Status.PROCESSING, queued=2, sent=1, started_at=now() - timedelta(seconds=90))
    for _ in range(3):
        member.post(page(launched, "/clone"))
    one, _ = asked_by("/sms/campaigns")
    change(store, Campaign, status=Status.PROCESSING, queued=2, confirmed_at=now(), started_at=now())
    many, answer = asked_by("/sms/campaigns")

    assert len(many) == len(one) <= 9
    assert main_of(answer).count("Waiting") == 4
    words = main_of(member.get(page(launched)))
    poll = member.get(page(launched, "/status")).json
    assert "Waiting Nothing is being sent at this moment." in words
    assert "done, 33 % ·" not in words
    assert poll["say"].startswith("Waiting: 33 %")
    assert (poll["state"], poll["status"], poll["rate"], poll["eta"]) == ("waiting", "processing", None, None)


def test_list_is_cut_into_pages(member, user, factory):
    for number in range(51):
        factory.campaign(user, name=f"Campaign {number}", finished_at=now())
    first = member.get("/sms/campaigns")
    assert len(page_of(first).select("tbody tr")) == 50
    second = member.get(attribute(first, "a[rel=next]", "href"))
    assert [cell.get_text(strip=True) for cell in page_of(second).select("tbody th")] == ["Campaign 0"]


@words_only
def test_empty_list_says_so_and_one_beyond_the_end_says_something_else(member):
    assert "Nothing sent yet" in main_of(member.get("/sms/campaigns"))
    assert "no older campaigns" in main_of(member.get("/sms/campaigns?before=1"))


@words_only
def test_markup_in_names_and_texts_stays_text(member, store):
    data = {"name": "<script>alert(1)</script>", "text": "<b>Hi</b>", "pasted": "201 555 0123"}
    review = member.post("/sms/campaigns/new", data).location
    answer = member.get(review)
    assert "<script>alert(1)" in main_of(answer)
    assert not page_of(answer).select("main script, main b")
