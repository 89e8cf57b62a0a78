"""What gateways call us for, by real requests: who is believed, what is answered, what is written down."""

import hashlib
import hmac
import json
from typing import Any
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

from smsqueue.gateways.callbacks import Address
from smsqueue.gateways.twilio.callbacks import signature
from smsqueue.models import DeliveryReport, InboundText, OptOut, State
from smsqueue.queue import control
from tests.desk import Desk
from tests.domain_fixtures import Office

BASE, SECRET = "https://sms.example.org", "a secret of more than thirty-two letters"
SETTINGS = {
    "SMS_CALLBACK_BASE_URL": BASE,
    "SMS_CALLBACK_SECRET": SECRET,
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "token-of-twilio",
    "TWILIO_FROM": "+12015550100",
    "VONAGE_API_KEY": "key",
    "VONAGE_API_SECRET": "secret",
    "VONAGE_FROM": "12015550100",
    "VONAGE_API": "messages",
    "VONAGE_SIGNATURE_SECRET": "signing-secret-of-vonage",
    "KANNEL_URL": "http://127.0.0.1:13013",
    "KANNEL_USERNAME": "user",
    "KANNEL_PASSWORD": "password",
    "KANNEL_FROM": "12345",
}


@pytest.fixture
def office(store) -> Office:
    """A team with credits."""
    return Office.open(store, "Office", 1000)


@pytest.fixture
def client(make_app):
    """Somebody who calls from outside, without cookies."""
    return make_app(**SETTINGS).test_client(use_cookies=False)


def kannel(desk: Desk, reference: str = "", token: str | None = None, kind: str = "1") -> str:
    """Write the address that Kannel calls for a text."""
    reference = reference or desk.called[0].outgoing.reference
    token = Address(BASE, "kannel", SECRET).token(reference) if token is None else token
    return f"/callbacks/kannel/{reference}/{token}?type={kind}&at=1795600000&why="


def simulated(values: dict[str, Any], secret: str = SECRET) -> dict[str, Any]:
    """Sign what the simulator says."""
    body = json.dumps({"time": "2026-11-25T10:00:00.000+00:00"} | values).encode()
    digest = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"data": body, "headers": {"X-Simulator-Signature": f"sha256={digest}"}, "content_type": "application/json"}


def sent(office: Office, gateway: str) -> Desk:
    """Have a gateway take one text."""
    desk = Desk(office, gateway=gateway)
    desk.sent()
    return desk


def reports(office: Office) -> list[DeliveryReport]:
    return office.rows(DeliveryReport)


def test_kannels_report_by_its_token_is_believed_and_answered_as_kannel_wants(office, client):
    desk = sent(office, "kannel")
    answer = client.get(kannel(desk))
    assert (answer.status_code, answer.data) == (200, b"")
    assert desk.states == [State.DELIVERED]
    assert "Set-Cookie" not in answer.headers


def test_a_wrong_token_is_refused_and_changes_nothing(office, client):
    desk = sent(office, "kannel")
    assert client.get(kannel(desk, token="x" * 32)).status_code == 403
    assert client.get(kannel(desk, token="")[:-1]).status_code in (403, 404)
    assert desk.states == [State.SENT]
    assert not reports(office)


def test_a_token_of_one_message_is_no_good_for_another(office, client):
    one, other = sent(office, "kannel"), sent(office, "kannel")
    token = Address(BASE, "kannel", SECRET).token(one.called[0].outgoing.reference)
    assert client.get(kannel(other, token=token)).status_code == 403
    token_elsewhere = Address(BASE, "http", SECRET).token(other.called[0].outgoing.reference)
    assert client.get(kannel(other, token=token_elsewhere)).status_code == 403
    assert other.states == [State.SENT]


def test_a_replayed_report_changes_nothing_however_often_it_comes(office, client):
    desk = sent(office, "kannel")
    for kind in ("8", "1", "1", "8", "2", *["1"] * 10):
        assert client.get(kannel(desk, kind=kind)).status_code == 200
    assert desk.states == [State.DELIVERED]
    assert len(reports(office)) == 3
    assert not office.problems()


def test_a_report_of_a_text_that_nobody_knows_is_success_for_the_gateway_and_counted(office, client):
    desk = sent(office, "kannel")
    assert client.get(kannel(desk, reference="1-1-00000000")).status_code == 200
    (kept,) = reports(office)
    assert kept.attempt_id is None


def test_twilios_signature_is_checked_over_the_address_as_it_was_called(office, client):
    desk = sent(office, "twilio")
    path = f"/callbacks/twilio/{desk.called[0].outgoing.reference}?x=%41+%2f"
    fields = {"MessageSid": "SM" + "1" * 32, "MessageStatus": "delivered", "New": ""}
    signed = signature(BASE + path, list(fields.items()), "token-of-twilio")
    options = {"data": urlencode(fields), "content_type": "application/x-www-form-urlencoded"}
    assert client.post(path, headers={"X-Twilio-Signature": signed}, **options).status_code == 204
    assert desk.states == [State.DELIVERED]
    other = path.replace("x=", "y=")
    assert client.post(other, headers={"X-Twilio-Signature": signed}, **options).status_code == 403
    changed = options | {"data": urlencode(fields | {"MessageStatus": "failed"})}
    assert client.post(path, headers={"X-Twilio-Signature": signed}, **changed).status_code == 403


def test_twilios_signature_of_one_message_is_no_good_for_another(office, client):
    one, other = sent(office, "twilio"), sent(office, "twilio")
    mine, theirs = (f"/callbacks/twilio/{desk.called[0].outgoing.reference}" for desk in (one, other))
    fields = {"MessageSid": "SM" + "1" * 32, "MessageStatus": "delivered"}
    headers = {"X-Twilio-Signature": signature(BASE + mine, list(fields.items()), "token-of-twilio")}
    for raw in (theirs, f"{theirs}?u={mine}", f"{theirs.replace('call', '%63all')}?u={mine}", f"{theirs}%3f{mine}"):
        answer = client.post(raw, data=fields, headers=headers, environ_overrides={"RAW_URI": raw})
        assert answer.status_code in (403, 404)
    assert other.states == [State.SENT]
    raw = f"/behind/a/proxy{mine}"
    assert client.post(mine, data=fields, headers=headers, environ_overrides={"RAW_URI": raw}).status_code == 204
    assert one.states == [State.DELIVERED]


def test_vonages_unsigned_call_is_asked_for_again_and_a_wrong_one_is_not(office, client):
    body = {"message_uuid": "u-1", "status": "delivered", "client_ref": "1-1-00000000"}
    assert client.post("/callbacks/vonage/report", json=body).status_code == 503
    headers = {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}
    assert client.post("/callbacks/vonage/report", json=body, headers=headers).status_code == 403
    assert not reports(office)


def test_the_simulators_reports_come_to_one_address(office, client):
    desk = sent(office, "simulated")
    told = {"kind": "report", "reference": desk.called[0].outgoing.reference, "id": "s-1", "state": "undelivered"}
    assert client.post("/callbacks/simulated/report", **simulated(told)).status_code == 204
    assert desk.states == [State.UNDELIVERED]
    assert client.post("/callbacks/simulated/report", **simulated(told, "another secret")).status_code == 403
    assert client.post("/callbacks/simulated/report", json=told).status_code == 403


def test_what_is_signed_without_its_address_says_nothing_of_the_message_in_the_address(office, client):
    desk = sent(office, "simulated")
    told = simulated({"kind": "report", "reference": "", "id": "s-9", "state": "delivered"})
    assert client.post(f"/callbacks/simulated/{desk.called[0].outgoing.reference}", **told).status_code == 204
    assert desk.states == [State.SENT]
    (kept,) = reports(office)
    assert (kept.reference, kept.gateway_reference) == ("", "s-9")


def test_a_text_that_says_stop_opts_its_number_out(office, client):
    desk = sent(office, "simulated")
    number = desk.called[0].outgoing.to
    told = {"kind": "inbound", "from": number, "to": "smsqueue", "text": "Stop!"}
    for _ in range(2):
        assert client.post("/callbacks/simulated/report", **simulated(told)).status_code == 204
    with office.store.reading() as session:
        assert [(each.number, each.source) for each in session.scalars(sa.select(OptOut))] == [(number, "stop")]
    assert [each.meaning for each in office.rows(InboundText)] == ["stop"]


def test_what_cannot_be_read_is_answered_as_if_all_were_well(office, client):
    assert client.post("/callbacks/simulated/report", **simulated({"kind": "weather"})).status_code == 204
    assert not reports(office)


def test_letters_that_no_database_keeps_do_no_harm(office, client):
    told = {"kind": "report", "reference": "a\x00b\ud800", "id": "x" * 500, "state": "sent", "code": "\x00"}
    assert client.post("/callbacks/simulated/report", **simulated(told)).status_code == 204
    told = {"kind": "inbound", "from": "+1\x00", "to": "\ud800", "text": "\x00\udfff 😀"}
    assert client.post("/callbacks/simulated/report", **simulated(told)).status_code == 204


def test_a_declared_gateway_is_answered_as_it_wants_for_reports_and_for_texts(make_app, tmp_path):
    file = tmp_path / "gateway.toml"
    ours = "[report]\nanswer_status = 202\n[inbound]\nfrom = 'from'\ntext = 'text'\nanswer_body = 'OK'\n"
    file.write_text(
        "[request]\nurl = 'https://sms.example.org'\n"
        "[accepted]\nreference = 'id'\nwhen = { status = 200, json = 'id' }\n" + ours
    )
    client = make_app(**SETTINGS, HTTP_GATEWAY_FILE=str(file)).test_client(use_cookies=False)
    address = Address(BASE, "http", SECRET)
    told = [client.post(address.url_with_token(name).removeprefix(BASE)) for name in ("r-1", "inbound")]
    assert [(each.status_code, each.text) for each in told] == [(202, ""), (200, "OK")]
    refused = client.post("/callbacks/http/inbound/wrong")
    assert (refused.status_code, refused.text) == (403, "")


@pytest.mark.databases("sqlite")
def test_too_much_is_refused_before_it_is_read(client):
    answer = client.post("/callbacks/simulated/report", data=b"x" * (64 * 1024 + 1))
    assert answer.status_code == 413


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("gateway", ["log", "http", "nobody"])
def test_a_gateway_that_does_not_call_has_no_address(client, gateway):
    assert client.get(f"/callbacks/{gateway}/report").status_code == 404


def test_reports_are_taken_during_maintenance(office, client):
    desk = sent(office, "kannel")
    office.store.write(lambda session: control.begin_maintenance(session, author="me", reason="", seconds=None))
    assert client.get(kannel(desk)).status_code == 200
    assert desk.states == [State.DELIVERED]
