"""While the service is being worked on: who sees what, and that nothing typed is lost."""

from uuid import uuid4

import pytest

from smsqueue.queue import control
from tests.factories import PASSWORD
from tests.integration.web.parts import attribute, part, words_of
from tests.web import main_of

FORM = {"number": "+44 7400 123456", "text": "Hello <you>"}


@pytest.fixture
def maintenance(store):
    """Begin maintenance: `maintenance(seconds=600, reason="new version")`."""

    def begin(**facts):
        store.write(lambda session: control.begin_maintenance(session, author="root", **facts))

    return begin


def test_pages_say_so_with_the_reason_and_when_to_come_back(member, maintenance):
    maintenance(seconds=600, reason="new version")
    answer = member.get("/sms/campaigns")
    assert answer.status_code == 503
    assert 590 <= int(answer.headers["Retry-After"]) <= 600
    text = words_of(answer, "main")
    assert "The service is being worked on" in text
    assert "UTC: new version." in text
    assert "root" not in text


@pytest.mark.databases("sqlite")
def test_without_an_end_browsers_come_back_in_a_minute(visitor, maintenance):
    maintenance()
    answer = visitor.get("/")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "60")


@pytest.mark.databases("sqlite")
def test_polls_and_scripts_get_json(member, maintenance):
    maintenance(reason="new version")
    error = member.get("/credits", headers={"Accept": "application/json"}).json["error"]
    assert (error["code"], error["title"]) == (503, "The service is being worked on")
    poll = member.get(f"/sms/campaigns/{uuid4()}/status")
    assert (poll.status_code, poll.json["error"]["code"]) == (503, 503)


def test_what_somebody_typed_comes_back_to_its_form(member, store, maintenance):
    maintenance()
    page = member.post("/sms/send", FORM)
    assert page.status_code == 503
    kept = {each["name"]: each["value"] for each in part(page, "main form").select("input")}
    assert kept == FORM
    store.write(control.end_maintenance)
    form = member.client.post(attribute(page, "main form", "action"), data=kept)
    assert part(form, "[name=text]").get_text(strip=True) == FORM["text"]
    assert attribute(form, "[name=number]") == FORM["number"]


@pytest.mark.databases("sqlite")
def test_one_button_that_was_pressed_leaves_no_form(member, maintenance):
    maintenance()
    page = member.post("/notifications/read")
    assert page.status_code == 503
    assert page.get_data(as_text=True).count("<form") == 0


def test_what_keeps_the_service_alive_goes_on(visitor, maintenance):
    maintenance()
    assert visitor.get("/healthz").status_code == 200
    with visitor.get("/static/app.css") as answer:
        assert answer.status_code == 200


def test_operators_sign_in_and_see_the_queues(make_visitor, factory, maintenance):
    somebody = factory.user(operator=True, team=factory.team("Operations"))
    maintenance(reason="new version")
    visitor = make_visitor()
    asked = visitor.get("/sms/queue/status")
    assert (asked.status_code, asked.location) == (302, "/login?next=/sms/queue/status")
    assert visitor.sign_in(somebody.email, PASSWORD).status_code == 302
    page = visitor.get("/sms/queue/status")
    assert page.status_code == 200
    assert "Maintenance, by root since" in main_of(page)
    assert "flask sms up" in main_of(page)
    assert visitor.get("/sms/queue/status/poll").status_code == 200
    assert visitor.get("/").status_code == 503
    assert visitor.post("/logout").status_code == 302


@pytest.mark.databases("sqlite")
def test_afterwards_everything_is_as_before(member, store, maintenance):
    maintenance()
    store.write(control.end_maintenance)
    assert member.get("/sms/campaigns").status_code == 200
