"""Who may open what, for every route that there is."""

import re
from uuid import uuid4

import pytest

from smsqueue.web import access
from tests.web import main_of, page_of, value_of

UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}


def addresses(app, method=None, rule=None):
    """List the addresses of all routes that take a method and have a rule."""
    with app.app_context():
        return [
            re.sub(r"<.*?>", lambda part: str(uuid4()) if "uuid" in part[0] else "x", route.rule)
            for route in app.url_map.iter_rules()
            if (method is None or method in route.methods) and (rule is None or access.rule_of(route.endpoint) in rule)
        ]


@pytest.mark.databases("sqlite")
def test_every_route_has_a_rule(app):
    with app.app_context():
        bare = [route.endpoint for route in app.url_map.iter_rules() if access.rule_of(route.endpoint) is None]
    assert bare == []


@pytest.mark.databases("sqlite")
def test_public_routes_are_these_and_no_others(app):
    with app.app_context():
        public = {route.endpoint for route in app.url_map.iter_rules() if access.rule_of(route.endpoint) == "public"}
    signing_in = {"security.login", "security.logout", "security.forgot_password", "security.reset_password"}
    assert public == signing_in | {"static", "theme.choose", "health.healthz", "callbacks.hear"}


@pytest.mark.databases("sqlite")
def test_view_without_a_rule_is_closed_to_everybody(app, visitor, factory):
    app.add_url_rule("/forgotten", "forgotten", lambda: "secret")
    visitor.sign_in(factory.user(operator=True).email)
    assert visitor.get("/forgotten").status_code == 403


@pytest.mark.databases("sqlite")
def test_strangers_are_sent_to_sign_in_from_every_page(app, visitor):
    for address in addresses(app, "GET", ("member", "operator")):
        answer = visitor.get(address)
        assert answer.status_code in (302, 401), address
        if answer.status_code == 302:
            assert answer.location.startswith("/login"), address


@pytest.mark.databases("sqlite")
def test_strangers_asking_for_json_get_401(app, visitor):
    for address in addresses(app, "GET", ("member", "operator")):
        answer = visitor.get(address, headers={"Accept": "application/json"})
        assert answer.status_code == 401, address
        assert answer.json["error"]["code"] == 401


@pytest.mark.databases("sqlite")
def test_members_get_403_from_every_operators_page(app, member):
    found = addresses(app, "GET", ("operator",))
    assert "/sms/queue/status" in found
    for address in found:
        assert member.get(address).status_code == 403, address


@pytest.mark.databases("sqlite")
def test_things_that_are_not_there_are_404_for_members(app, member):
    for address in addresses(app, "GET", ("member",)):
        if re.search(r"[0-9a-f]{8}-", address):
            assert member.get(address).status_code == 404, address


def test_unsafe_requests_without_a_token_are_refused_everywhere(app, member):
    for address in addresses(app, "POST"):
        assert member.client.post(address, data={"name": "x"}).status_code in (400, 403, 404), address


def test_unsafe_requests_from_another_site_are_refused(member):
    answer = member.post("/notifications/read", headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 400


def test_request_with_a_bad_token_writes_nothing(member, user, factory):
    notice = factory.notice(user)
    answer = member.client.post("/notifications/read", data={"csrf_token": "old"})
    assert answer.status_code == 400
    assert "open for too long" in main_of(answer)
    assert factory.reload(notice).read_at is None


def test_bad_token_does_not_sign_out(member):
    assert member.client.post("/logout", data={}).status_code == 400
    assert member.is_signed_in()


def test_form_with_an_old_token_comes_back_filled_and_can_be_sent(visitor, user):
    form = {"csrf_token": "old", "email": user.email, "password": "x"}
    answer = visitor.client.post("/login", data=form)
    assert answer.status_code == 400
    assert value_of(answer, "input[name=email]", "value") == user.email
    assert "press the button again" in main_of(answer)
    assert value_of(answer, "main input[name=csrf_token]", "value") != "old"


def test_what_was_typed_survives_signing_out_meanwhile(visitor):
    typed = {"name": "Spring", "text": "Hello <b>\nyou", "csrf_token": "old"}
    answer = visitor.client.post("/sms/campaigns/new", data=typed)
    assert answer.status_code == 401
    kept = {field["name"]: field["value"] for field in page_of(answer).select("main input[type=hidden]")}
    assert kept == {"name": "Spring", "text": "Hello <b>\nyou"}


def test_nothing_typed_and_signed_out_meanwhile_is_a_plain_401(visitor):
    answer = visitor.post("/notifications/read")
    assert answer.status_code == 401
    assert main_of(answer).startswith("You are signed out")


def test_polls_set_no_cookie(operator):
    answer = operator.get("/sms/queue/status/poll")
    assert answer.status_code == 200
    assert "Set-Cookie" not in answer.headers
