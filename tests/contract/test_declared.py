"""A gateway declared in a file: what is sent, the order of its conditions, its callbacks."""

import hmac
import json
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import urlencode

import pytest

from smsqueue.core import clock
from smsqueue.gateways.base import (
    Callback,
    Deferred,
    Fetches,
    Inbound,
    LooksUp,
    NotFound,
    Rejected,
    Report,
    Sent,
    Unknown,
    Verdict,
)
from smsqueue.gateways.callbacks import Address
from tests.contract.gateways import SECRET, TEXT, answering, outgoing
from tests.contract.kinds import HTTP, taking
from tests.outside import RawServer

ADDRESS = Address("https://sms.example.org", "http", SECRET)


@pytest.fixture
def declared(tmp_path):
    adapter = HTTP.build(tmp_path, "http://127.0.0.1:9")
    yield adapter
    adapter.close()


def test_request_is_the_declared_one(tmp_path):
    message = replace(outgoing(), text='Say "{to}" & {secret.KEY} 😀', encoding="ucs-2")
    _, requests = HTTP.send(HTTP.taken, tmp_path, message)
    head, body = requests[0].decode().split("\r\n\r\n", 1)
    assert json.loads(body) == {
        "to": "+12015550100",
        "digits": "12015550100",
        "text": message.text,
        "meta": {"ref": "r-1", "n": 1},
        "dlr": ADDRESS.url_with_token("r-1"),
        "coding": "8",
    }
    assert head.startswith("POST /v1/messages?from=smsqueue HTTP/1.1\r\n")
    assert "Authorization: Bearer bearer-of-http\r\n" in head
    assert "Idempotency-Key: r-1\r\n" in head


def test_values_are_encoded_for_the_place_that_they_go_to(tmp_path):
    request = HTTP.build(tmp_path, "http://127.0.0.1:9")
    found = request.request(replace(outgoing(), sender="a/b?c=d#é"))
    request.close()
    assert getattr(found, "url", "").endswith("/v1/messages?from=a%2Fb%3Fc%3Dd%23%C3%A9")


@pytest.mark.parametrize(
    ("status", "values", "expected"),
    [
        (200, {"status": "queued", "messages": [{"id": "h-1"}]}, Sent("h-1")),
        (429, {"wait": 7}, Deferred(7, "throttled", "The gateway asks for fewer messages.")),
        (429, {"wait": float("nan")}, Deferred(0, "throttled", "The gateway asks for fewer messages.")),
        (429, {"wait": "-inf"}, Deferred(0, "throttled", "The gateway asks for fewer messages.")),
        (429, {"wait": 99_999}, Deferred(3600, "throttled", "The gateway asks for fewer messages.")),
        (429, {}, Deferred(0, "throttled", "The gateway asks for fewer messages.")),
        (503, {"taken": False}, Deferred(0, "unreachable", "The gateway did not take the message.")),
        (400, {"error": {"code": "opted_out", "message": "STOP"}}, Rejected("opted_out", "STOP", opted_out=True)),
        (200, {"error": {"code": "opted_out"}, "status": "queued", "messages": [{"id": "h-1"}]}, "opted out"),
        (400, {"error": {"code": 7, "message": "Bad +12015550100"}}, Rejected("7", "Bad +•••100")),
        (401, {}, "account"),
        (200, {"note": "no credit left"}, "account"),
        (308, {}, "account"),
    ],
)
def test_first_condition_that_fits_wins(tmp_path, status, values, expected):
    outcome, _ = HTTP.send(taking(f"{status} X", values), tmp_path)
    if isinstance(expected, str):
        assert isinstance(outcome, Rejected)
        assert (outcome.scope == "account", outcome.opted_out) == (expected == "account", expected == "opted out")
    else:
        assert outcome == expected


@pytest.mark.parametrize(
    "behave",
    [
        taking("200 OK", {"status": "pending", "messages": [{"id": "h-1"}]}),
        taking("202 Accepted", {"status": "queued", "messages": [{"id": "h-1"}]}),
        taking("200 OK", {"status": "queued", "messages": []}),
        taking("200 OK", {"status": "queued", "messages": [{"id": "a b\n"}]}),
        taking("503 X", {"taken": True}),
        taking("503 X", {"taken": 0}),
        taking("404 X", {}),
        answering("418 X"),
    ],
)
def test_what_fits_nothing_is_unknown(tmp_path, behave):
    assert isinstance(HTTP.send(behave, tmp_path)[0], Unknown)


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "304 Not Modified"])
def test_who_is_sent_elsewhere_has_a_wrong_address(tmp_path, status):
    outcome, _ = HTTP.send(answering(status, b"", "Location: http://127.0.0.1:1/"), tmp_path)
    assert isinstance(outcome, Unknown)
    assert outcome.is_misdirected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"count": 1, "messages": [{"id": "h-1"}]}, Sent),
        ({"count": 0}, NotFound),
        ({"count": 2}, Unknown),
        ({}, Unknown),
    ],
)
def test_look_up_asks_as_declared(tmp_path, request, values, expected):
    with RawServer(taking("200 OK", values)) as server:
        adapter = HTTP.build(tmp_path, server.url)
        request.addfinalizer(adapter.close)
        assert isinstance(adapter, LooksUp)
        found = adapter.look_up(outgoing(), clock.now())
    assert isinstance(found, expected)
    assert server.requests[0].startswith(b"GET /v1/messages?ref=r-1 HTTP/1.1")


def test_fetch_asks_as_declared(tmp_path, request):
    with RawServer(taking("200 OK", {"state": "DELIVRD"})) as server:
        adapter = HTTP.build(tmp_path, server.url)
        request.addfinalizer(adapter.close)
        assert isinstance(adapter, Fetches)
        found = adapter.fetch("h/1")
    assert found == Report(state="delivered", gateway_reference="h/1")
    assert server.requests[0].startswith(b"GET /v1/messages/h%2F1 HTTP/1.1")


def told(values: dict[str, object], key: str = "hook-of-http") -> Callback:
    body = json.dumps(values).encode()
    signed = "sha256=" + hmac.new(key.encode(), body, sha256).hexdigest()
    headers = {"content-type": "application/json", "x-signature": signed}
    return Callback(method="POST", url="https://sms.example.org/callbacks/http/r-1/x", headers=headers, body=body)


def test_report_is_believed_by_its_signature_and_read_by_its_paths(declared):
    callback = told({"ref": "r-1", "id": "h-1", "state": "UNDELIV", "code": 13, "at": "2026-11-25T12:00:00+00:00"})
    at = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    expected = Report(state="undelivered", reference="r-1", gateway_reference="h-1", code="13", at=at)
    assert (declared.verify(callback), declared.reports(callback)) == (Verdict.GENUINE, [expected])
    assert declared.verify(told({"ref": "r-1"}, "another")) is Verdict.FORGED
    assert declared.verify(replace(callback, headers={})) is Verdict.UNSIGNED
    assert declared.verify(replace(callback, method="GET")) is Verdict.FORGED
    assert declared.reports(told({"ref": "r-1", "state": "HUH"})) == []


def test_nobody_proves_anything_by_an_empty_secret(declared):
    listener = replace(declared.declaration.report, secret="{to}")
    declared.declaration = replace(declared.declaration, report=listener)
    assert declared.verify(told({"ref": "r-1"}, "")) is Verdict.UNSIGNED


@pytest.mark.parametrize(("token", "reference"), [(ADDRESS.token("r-1"), "r-1"), ("", ""), ("x" * 32, "")])
def test_the_address_names_the_text_only_with_its_token(declared, token, reference):
    callback = replace(told({"id": "h-1", "state": "UNDELIV"}), reference="r-1", token=token)
    assert declared.verify(callback) is Verdict.GENUINE
    assert [each.reference for each in declared.reports(callback)] == [reference]


def test_text_that_comes_in_is_believed_by_its_token(declared):
    query = urlencode({"from": "12015550123", "to": "12345", "text": "Stop & go"})
    url = f"https://sms.example.org/callbacks/http/inbound/x?{query}"
    callback = Callback(method="GET", url=url, headers={}, reference="inbound", token=ADDRESS.token("inbound"))
    assert declared.verify(callback) is Verdict.GENUINE
    assert declared.verify(replace(callback, token="x")) is Verdict.FORGED
    assert declared.inbound(callback) == Inbound(sender="+12015550123", to="12345", text="Stop & go")


def test_traits_are_those_of_the_declaration(declared):
    traits = declared.traits
    assert (traits.is_idempotent, traits.trusts_not_found, traits.max_per_second) == (True, True, 7)
    assert (traits.has_reports, traits.has_inbound, traits.answer_status) == (True, True, 200)
    assert traits.reports_name_ours


@pytest.mark.parametrize(
    ("in_report", "in_request", "names_ours"),
    [('reference = "ref"', "", True), ("", 'dlr = "{callback_url}"', True), ("", "", False)],
)
def test_it_is_known_whether_reports_name_our_reference(tmp_path, in_report, in_request, names_ours):
    file = tmp_path / "own.toml"
    report = f'{in_report}\ngateway_reference = "id"\nstatus = "state"\nstates = {{ ok = "delivered" }}'
    signed = 'signature = "hmac"\nheader = "X-Signature"\nsecret = "{secret.HOOK}"'
    request = f'url = "URL/send"\n[request.json]\nto = "{{to}}"\n{in_request}'.replace("URL", "http://127.0.0.1:9")
    taken = 'when = { status = [200], json = "id" }\nreference = "id"'
    file.write_text(f"[request]\n{request}\n[accepted]\n{taken}\n[report]\n{signed}\n{report}\n")
    adapter = HTTP.build(tmp_path, "http://127.0.0.1:9", HTTP_GATEWAY_FILE=str(file))
    adapter.close()
    assert adapter.traits.reports_name_ours is names_ours


FORM = """
[request]
url = "URL/send"
method = "PUT"
auth = "basic"
user = "ann"
secret = "{secret.KEY}"
headers = { X-Text = "{text}" }
form = { to = "{to}", text = "{text}" }
[accepted]
when = { status = [200], pattern = "^OK" }
reference_pattern = 'id=(\\w+)'
"""


@pytest.mark.parametrize(
    ("text", "expected"), [(TEXT, Sent("abc")), ("Жду 😀", Sent("abc")), ("two\nlines", "bad_header")]
)
def test_form_header_and_pattern(tmp_path, text, expected):
    with RawServer(answering("200 OK", b"OK id=abc")) as server:
        file = tmp_path / "form.toml"
        file.write_text(FORM.replace("URL", server.url))
        adapter = HTTP.build(tmp_path, server.url, HTTP_GATEWAY_FILE=str(file))
        outcome = adapter.send(replace(outgoing(), text=text))
        adapter.close()
    if isinstance(outcome, Rejected):
        assert (outcome.code, server.requests) == (expected, [])
        return
    assert outcome == expected
    head, body = server.requests[0].split(b"\r\n\r\n", 1)
    assert head.startswith(b"PUT /send HTTP/1.1")
    assert f"X-Text: {text}\r\n".encode() in head
    assert body == urlencode({"to": "+12015550100", "text": text}).encode()
