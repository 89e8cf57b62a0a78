"""Vonage's two APIs: every row of their tables, their fields, their signatures."""

import hmac
import json
import re
import time
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smsqueue.core import tokens
from smsqueue.core.environment import BadSettings
from smsqueue.gateways.base import (
    Callback,
    Deferred,
    Inbound,
    LooksUp,
    NotFound,
    Rejected,
    Reports,
    Sent,
    Unknown,
    Verdict,
)
from smsqueue.gateways.vonage.signing import signature
from tests.contract.gateways import TEXT, answering, outgoing
from tests.contract.kinds import MESSAGES, SMS, VONAGE, taking
from tests.outside import RawServer

SECRET = VONAGE["VONAGE_SIGNATURE_SECRET"]
BASIC = b64encode(f"{VONAGE['VONAGE_API_KEY']}:{VONAGE['VONAGE_API_SECRET']}".encode()).decode()
AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
UUID = "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"
REFUSED, ACCOUNT, OPTED_OUT, MAY_RETRY = (
    ("recipient", False, False),
    ("account", True, False),
    ("recipient", False, True),
    ("recipient", True, False),
)


@pytest.fixture
def sms(tmp_path):
    adapter = SMS.build(tmp_path, "http://127.0.0.1:9")
    yield adapter
    adapter.close()


@pytest.fixture
def messages(tmp_path):
    adapter = MESSAGES.build(tmp_path, "http://127.0.0.1:9")
    yield adapter
    adapter.close()


@pytest.fixture(scope="module")
def key():
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def pem(key: Any) -> str:
    written: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return written.decode()


def unpacked(written: str) -> bytes:
    return urlsafe_b64decode(written + "=" * (-len(written) % 4))


def test_application_signs_in_with_a_new_token_for_each_text(tmp_path, key):
    file = tmp_path / "key.pem"
    file.write_text(pem(key))
    environ = {"VONAGE_APPLICATION_ID": UUID, "VONAGE_PRIVATE_KEY_FILE": str(file), "VONAGE_API_SECRET": ""}
    sent = [MESSAGES.send(MESSAGES.taken, tmp_path, None, **environ)[1][0].decode() for _ in range(2)]
    given = [token for request in sent for token in re.findall(r"Authorization: Bearer (\S+)\r\n", request)]
    assert len(given) == 2
    claims = []
    for token in given:
        head, said, signed = token.split(".")
        key.public_key().verify(unpacked(signed), f"{head}.{said}".encode(), PKCS1v15(), SHA256())
        assert json.loads(unpacked(head)) == {"alg": "RS256", "typ": "JWT"}
        claims.append(json.loads(unpacked(said)))
    assert {each["application_id"] for each in claims} == {UUID}
    assert all(each["exp"] - each["iat"] == 900 and abs(each["iat"] - time.time()) < 60 for each in claims)
    assert claims[0]["jti"] != claims[1]["jti"]


def test_key_in_one_line_is_a_key_too_and_stays_hidden(tmp_path, key):
    environ = {"VONAGE_APPLICATION_ID": UUID, "VONAGE_PRIVATE_KEY": pem(key).replace("\n", "\\n")}
    found = MESSAGES.settings(tmp_path, "http://127.0.0.1:9", **environ)
    assert found.vonage_private_key == pem(key)
    assert "PRIVATE KEY" not in repr(found)


SMALL = {"VONAGE_APPLICATION_ID": UUID}
BAD_KEYS = [
    ({**SMALL, "VONAGE_PRIVATE_KEY": "secret words"}, "VONAGE_PRIVATE_KEY (hidden) cannot be used: it is no private"),
    ({"VONAGE_APPLICATION_ID": "abc"}, "VONAGE_APPLICATION_ID (abc) must be a UUID"),
    (SMALL, "VONAGE_APPLICATION_ID ("),
    ({**SMALL, "VONAGE_API_SECRET": ""}, "VONAGE_API_SECRET (not set) is needed by SMS_GATEWAY=vonage"),
]


@pytest.mark.parametrize(("environ", "problem"), BAD_KEYS)
def test_wrong_key_stops_the_start(tmp_path, environ, problem):
    with pytest.raises(BadSettings) as caught:
        MESSAGES.settings(tmp_path, "http://127.0.0.1:9", **environ)
    assert problem in str(caught.value)
    assert "secret words" not in str(caught.value)


def test_only_an_rsa_key_of_2048_bits_signs(key):
    assert tokens.read_key(pem(key)).key_size == 2048
    with pytest.raises(tokens.BadKey, match="has 1024 bits, at least 2048 are needed"):
        tokens.read_key(pem(rsa.generate_private_key(public_exponent=65537, key_size=1024)))
    with pytest.raises(tokens.BadKey, match="is no RSA key"):
        tokens.read_key(pem(ec.generate_private_key(ec.SECP256R1())))


def part(status: object, number: int = 1) -> dict[str, object]:
    return {"status": status, "message-id": f"V{number}", "message-price": "0.03", "error-text": "No"}


def answered(*statuses: object):
    parts = [part(status, number) for number, status in enumerate(statuses, start=1)]
    return taking("200 OK", {"message-count": str(len(parts)), "messages": parts})


@pytest.mark.parametrize(
    ("message", "more"),
    [
        (outgoing(), {"type": "text", "ttl": "14400000", "text": TEXT}),
        (
            replace(outgoing(), text="Жду 😀", encoding="ucs-2", validity_seconds=5),
            {"type": "unicode", "ttl": "20000", "text": "Жду 😀"},
        ),
    ],
)
def test_fields_of_the_sms_api(tmp_path, message, more):
    _, requests = SMS.send(SMS.taken, tmp_path, message)
    head, body = requests[0].decode().split("\r\n\r\n", 1)
    given = {name: values[0] for name, values in parse_qs(body, strict_parsing=True).items()}
    fixed = {"to": "12015550100", "from": "CafeAnn", "client-ref": "r-1", "status-report-req": "true"}
    assert given == fixed | more
    assert head.startswith("POST /sms/json HTTP/1.1\r\n")
    assert f"Authorization: Basic {BASIC}\r\n" in head


def test_fields_of_the_messages_api(tmp_path):
    _, requests = MESSAGES.send(MESSAGES.taken, tmp_path)
    head, body = requests[0].decode().split("\r\n\r\n", 1)
    assert json.loads(body) == {
        "channel": "sms",
        "message_type": "text",
        "to": "12015550100",
        "from": "CafeAnn",
        "text": TEXT,
        "ttl": 14_400,
        "client_ref": "r-1",
        "sms": {"encoding_type": "text"},
    }
    assert head.startswith("POST /v1/messages HTTP/1.1\r\n")
    assert f"Authorization: Basic {BASIC}\r\n" in head


@pytest.mark.parametrize("kind", [SMS, MESSAGES])
def test_text_that_is_too_long_is_not_even_tried(tmp_path, kind):
    outcome, requests = kind.send(kind.taken, tmp_path, replace(outgoing(), text="a" * 3201))
    assert (isinstance(outcome, Rejected), requests) == (True, [])


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        *[(status, REFUSED) for status in ("2", "12", "22", "3", "6", "7", "17", "33", "13", "16", "34", "99")],
        *[(status, ACCOUNT) for status in ("4", "14", "32", "8", "9", "11", "15", "23", "29")],
    ],
)
def test_refusals_of_the_sms_api(tmp_path, status, expected):
    outcome, _ = SMS.send(answered(status), tmp_path)
    assert isinstance(outcome, Rejected)
    assert (outcome.scope, outcome.may_retry, outcome.opted_out) == expected


@pytest.mark.parametrize("status", ["1", "10"])
def test_throttled_by_the_sms_api(tmp_path, status):
    outcome, _ = SMS.send(answered(status), tmp_path)
    assert isinstance(outcome, Deferred)
    assert (outcome.cause, outcome.after_seconds) == ("throttled", 0)


@pytest.mark.parametrize(
    "behave",
    [
        answered("5"),
        answered("?"),
        answered(None),
        taking("200 OK", {"messages": [{"status": "0"}]}),
        taking("200 OK", {"messages": "0"}),
        answering("200 OK", b"<html>"),
        answered("1", "5"),
        answered("6", "5"),
        answered("1", "?"),
        taking("200 OK", {"messages": [{"status": "1"}, None]}),
    ],
)
def test_what_the_sms_api_does_not_tell_is_unknown(tmp_path, behave):
    assert isinstance(SMS.send(behave, tmp_path)[0], Unknown)


def test_parts_are_counted_and_a_text_taken_in_part_is_never_sent_again(tmp_path):
    whole, _ = SMS.send(answered("0", 0), tmp_path)
    partial, _ = SMS.send(answered("0", "1"), tmp_path)
    late, _ = SMS.send(answered("9", "0"), tmp_path)
    assert whole == Sent("V1", 2, None, ("V1", "V2"))
    assert partial == Sent("V1", 2, None, ("V1",), is_partial=True)
    assert late == Sent("V2", 2, None, ("V2",), is_partial=True)


@pytest.mark.parametrize("odd", ["\ud800", "0.03\0", "9" * 30, "", [1]])
def test_a_price_that_cannot_be_one_is_not_told(tmp_path, odd):
    values = {"messages": [{"status": "0", "message-id": "V1", "message-price": odd}]}
    assert SMS.send(taking("200 OK", values), tmp_path)[0] == Sent("V1", 1, None, ("V1",))


@pytest.mark.parametrize(
    ("status", "values", "expected"),
    [
        (401, {}, ACCOUNT),
        (403, {}, ACCOUNT),
        (402, {"title": "Low balance"}, ACCOUNT),
        (404, {}, ACCOUNT),
        (422, {"title": "1420", "detail": "sender"}, ACCOUNT),
        (422, {"type": "https://developer.vonage.com/api-errors/messages#1450"}, REFUSED),
        *[(422, {"title": str(code)}, REFUSED) for code in (1020, 1170, 1400, 1431, 1440, 1999)],
        (422, {"title": "Invalid params"}, REFUSED),
    ],
)
def test_refusals_of_the_messages_api(tmp_path, status, values, expected):
    outcome, _ = MESSAGES.send(taking(f"{status} No", values), tmp_path)
    assert isinstance(outcome, Rejected)
    assert (outcome.scope, outcome.may_retry, outcome.opted_out) == expected


def test_messages_api_says_how_long_to_wait(tmp_path):
    outcome, _ = MESSAGES.send(answering("429 No", b"{}", "Retry-After: 9"), tmp_path)
    assert isinstance(outcome, Deferred)
    assert outcome.after_seconds == 9


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([{"message_id": "V1", "client_ref": "r-1"}], Sent("V1", 1, references=("V1",))),
        ([{"message_id": "V1", "client_ref": "r-2"}], NotFound()),
        ([], NotFound()),
        ([{"message_id": "V1"}], Unknown("The gateway's records carry no reference.")),
        (None, Unknown("The gateway's records could not be read.")),
    ],
)
@pytest.mark.parametrize("kind", [SMS, MESSAGES])
def test_paid_look_up_takes_the_record_with_our_reference(tmp_path, request, kind, records, expected):
    with RawServer(taking("200 OK", {"records": records})) as server:
        adapter = kind.build(tmp_path, server.url, VONAGE_REPORTS_LOOKUP="yes")
        request.addfinalizer(adapter.close)
        assert isinstance(adapter, LooksUp)
        found = adapter.look_up(outgoing(), AT)
    asked = parse_qs(urlsplit(server.requests[0].decode().split()[1]).query)
    assert found == expected
    assert (asked["to"], asked["product"]) == (["12015550100"], ["SMS" if kind is SMS else "MESSAGES"])
    assert (asked["date_start"], asked["date_end"]) == (["2026-11-25T11:59:55Z"], ["2026-11-25T12:02:00Z"])


def test_nobody_is_asked_for_money_unasked(sms, messages):
    for adapter in (sms, messages):
        assert isinstance(adapter.look_up(outgoing(), AT), Unknown)
        assert adapter.traits.look_up == "none"


def told(values: dict[str, str], how: str = "GET") -> Callback:
    """A callback of the SMS API, signed as the account says."""
    signed = values | {"sig": signature(list(values.items()), SECRET, "sha256")}
    url = "https://sms.example.org/callbacks/vonage"
    if how == "GET":
        return Callback(method="GET", url=f"{url}?{urlencode(signed)}", headers={})
    if how == "form":
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return Callback(method="POST", url=url, headers=headers, body=urlencode(signed).encode())
    headers = {"content-type": "application/json"}
    return Callback(method="POST", url=url, headers=headers, body=json.dumps(signed).encode())


def report(status: str, code: str = "0") -> dict[str, str]:
    return {
        "messageId": "V1",
        "client-ref": "r-1",
        "msisdn": "12015550100",
        "to": "CafeAnn",
        "status": status,
        "err-code": code,
        "price": "0.03",
        "message-timestamp": "2026-11-25 12:00:01",
        "empty": "",
        "odd": "a&b=c",
    }


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("md5hash", "7d43241108912b32cc315b48ce681acf"),
        ("sha256", "8d1b0428276b6a070578225914c3502cc0687a454dfbbbb370c76a14234cb546"),
    ],
)
def test_signature_is_the_one_of_vonages_example(method, expected):
    given = [("timestamp", "2100"), ("b", "bananas"), ("a", "alphabet"), ("sig", "whatever")]
    assert signature(given, "abcde", method) == expected


@pytest.mark.parametrize("how", ["GET", "form", "json"])
def test_only_what_vonage_signed_is_genuine(sms, how):
    callback = told(report("delivered"), how)
    assert isinstance(sms, Reports)
    assert sms.verify(callback) is Verdict.GENUINE
    url, body = callback.url.replace("delivered", "failed"), callback.body.replace(b"delivered", b"failed")
    assert sms.verify(replace(callback, url=url, body=body)) is Verdict.FORGED
    assert (
        sms.verify(Callback(method="GET", url="https://sms.example.org/?status=delivered", headers={}))
        is Verdict.UNSIGNED
    )


def test_no_field_can_be_hidden_in_the_name_of_another(sms):
    second = [("concat", "true"), ("concat-part", "2"), ("concat-ref", "7"), ("concat-total", "2")]
    rest = [("msisdn", "12015550100"), ("text", "STOP by at noon")]
    assert sms.verify(told(dict(second + rest))) is Verdict.GENUINE
    alone = {"concat=true&concat-part=2&concat-ref=7&concat-total=2&msisdn": "12015550100", "text": "STOP by at noon"}
    assert signature(alone.items(), SECRET, "sha256") == signature(second + rest, SECRET, "sha256")
    assert sms.verify(told(alone)) is Verdict.FORGED


def test_sig_may_be_in_capitals(sms):
    callback = told(report("delivered"))
    head, _, sig = callback.url.rpartition("sig=")
    assert sms.verify(replace(callback, url=f"{head}sig={sig.upper()}")) is Verdict.GENUINE


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *[(word, "sent") for word in ("accepted", "buffered", "unknown")],
        *[("delivered", "delivered"), ("expired", "expired"), ("failed", "undelivered"), ("rejected", "undelivered")],
    ],
)
@pytest.mark.parametrize("how", ["GET", "form", "json"])
def test_states_of_the_sms_api(sms, status, state, how):
    (found,) = sms.reports(told(report(status), how))
    assert (found.state, found.reference, found.gateway_reference, found.code) == (state, "r-1", "V1", "")
    assert (found.price, found.at) == ("0.03", datetime(2026, 11, 25, 12, 0, 1, tzinfo=UTC))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("9", OPTED_OUT),
        *[(code, MAY_RETRY) for code in ("1", "2", "7", "8", "99")],
        *[(code, REFUSED) for code in ("3", "4", "12", "6", "15", "42")],
        *[(str(code), ACCOUNT) for code in range(50, 55)],
    ],
)
def test_error_codes_of_the_sms_api(sms, code, expected):
    (found,) = sms.reports(told(report("failed", code)))
    assert (found.code, found.scope, found.may_retry, found.opted_out) == (code, *expected)


def test_pieces_of_a_text_that_comes_in(sms):
    given = {"msisdn": "12015550123", "to": "12015550199", "messageId": "V9", "text": "STOP", "type": "text"}
    pieces = {"concat": "true", "concat-ref": "7", "concat-total": "3", "concat-part": "2"}
    whole = Inbound(sender="+12015550123", to="+12015550199", text="STOP", gateway_reference="V9")
    assert sms.inbound(told(given)) == whole
    assert sms.inbound(told(given | pieces)) == replace(whole, piece=("7", 2, 3))
    assert (sms.inbound(told(report("delivered"))), sms.reports(told(given))) == (None, [])


@pytest.mark.parametrize(
    ("part", "total"), [("70000", "70001"), ("0", "3"), ("4", "3"), ("1", "256"), ("9" * 5000, "9" * 5000), ("²", "3")]
)
def test_a_piece_that_cannot_be_one_is_a_whole_text(sms, part, total):
    given = {"msisdn": "12015550123", "text": "STOP", "concat": "true", "concat-ref": "7"}
    found = sms.inbound(told(given | {"concat-part": part, "concat-total": total}, "form"))
    assert (found.text, found.piece) == ("STOP", None)


def token(body: bytes, *, secret: str = SECRET, algorithm: str = "HS256", **claims: object) -> str:
    said = {"api_key": VONAGE["VONAGE_API_KEY"], "payload_hash": sha256(body).hexdigest()} | claims
    head, middle = (
        urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in ({"alg": algorithm}, said)
    )
    written = f"{head}.{middle}"
    signed = hmac.new(secret.encode(), written.encode(), sha256).digest()
    return f"Bearer {written}.{urlsafe_b64encode(signed).rstrip(b'=').decode()}"


def heard(values: dict[str, object], authorization: str | None = None) -> Callback:
    body = json.dumps(values).encode()
    headers = {"authorization": token(body) if authorization is None else authorization}
    return Callback(method="POST", url="https://sms.example.org/callbacks/vonage", headers=headers, body=body)


def test_only_the_token_over_this_very_body_is_genuine(messages):
    genuine = heard({"a": 1})
    assert messages.verify(genuine) is Verdict.GENUINE
    for forged in (
        replace(genuine, body=b'{"a": 2}'),
        heard({"a": 1}, token(b'{"a": 1}', secret="another")),
        heard({"a": 1}, token(b'{"a": 1}', algorithm="RS256")),
        heard({"a": 1}, token(b'{"a": 1}', algorithm="none")),
        heard({"a": 1}, token(b'{"a": 1}', api_key="another")),
        heard({"a": 1}, "Bearer a.b.c"),
        heard({"a": 1}, "Bearer ü"),
        heard({"a": 1}, "Bearer "),
    ):
        assert messages.verify(forged) is Verdict.FORGED
    assert messages.verify(replace(genuine, headers={})) is Verdict.UNSIGNED
    assert messages.traits.unsigned_status == 503


def status(word: str, code: str = "") -> Callback:
    values: dict[str, object] = {"message_uuid": UUID, "client_ref": "r-1", "status": word}
    values |= {"timestamp": "2026-11-25T12:00:01Z", "usage": {"price": "0.03", "currency": "EUR"}}
    return heard(values | ({"error": {"title": code, "detail": "No"}} if code else {}))


@pytest.mark.parametrize(
    ("word", "code", "state", "flags"),
    [
        ("submitted", "", "sent", REFUSED),
        ("delivered", "", "delivered", REFUSED),
        ("rejected", "", "undelivered", REFUSED),
        ("undeliverable", "1320", "undelivered", REFUSED),
        *[("rejected", code, "failed", MAY_RETRY) for code in ("1000", "1100", "1331")],
        *[("rejected", code, "failed", ACCOUNT) for code in ("1060", "1070", "1120", "1460", "1480", "1484")],
        ("rejected", "1240", "undelivered", OPTED_OUT),
        ("undeliverable", "1360", "expired", REFUSED),
        ("undeliverable", "1490", "sent", REFUSED),
    ],
)
def test_states_of_the_messages_api(messages, word, code, state, flags):
    (found,) = messages.reports(status(word, code))
    assert (found.state, found.code, found.scope, found.may_retry, found.opted_out) == (state, code, *flags)
    assert (found.reference, found.gateway_reference, found.price) == ("r-1", UUID, "0.03 EUR")


def test_whole_text_that_comes_in_by_the_messages_api(messages):
    callback = heard({"message_uuid": UUID, "from": "12015550123", "to": "12015550199", "text": "STOP"})
    expected = Inbound(sender="+12015550123", to="+12015550199", text="STOP", gateway_reference=UUID)
    assert (messages.inbound(callback), messages.reports(callback)) == (expected, [])
    assert messages.inbound(status("delivered")) is None
