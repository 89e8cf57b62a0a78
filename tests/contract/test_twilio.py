"""Twilio: every row of its tables, its fields, its signature, its list of messages."""

import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest

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
from smsqueue.gateways.twilio.callbacks import signature
from tests.contract.gateways import TEXT, outgoing
from tests.contract.kinds import ACCOUNT, SID, TWILIO, TWILIO_KIND, taking
from tests.outside import RawServer

OLD = "the-token-before"
AT = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
TOKEN = TWILIO["TWILIO_AUTH_TOKEN"]


@pytest.fixture
def twilio(tmp_path):
    adapter = TWILIO_KIND.build(tmp_path, "http://127.0.0.1:9", TWILIO_AUTH_TOKEN_OLD=OLD)
    yield adapter
    adapter.close()


def fields(folder: Path, message=None, **environ: str) -> tuple[str, dict[str, str]]:
    _, requests = TWILIO_KIND.send(TWILIO_KIND.taken, folder, message, **environ)
    head, body = requests[0].decode().split("\r\n\r\n", 1)
    return head, {name: values[0] for name, values in parse_qs(body, strict_parsing=True).items()}


def test_fields_are_what_the_text_and_the_settings_say(tmp_path):
    head, sent = fields(tmp_path)
    assert sent == {
        "To": "+12015550100",
        "From": "+12015550199",
        "Body": TEXT,
        "SmartEncoded": "false",
        "ValidityPeriod": "14400",
        "StatusCallback": "https://sms.example.org/callbacks/twilio/r-1#rc=5&rp=all",
    }
    assert head.startswith(f"POST /2010-04-01/Accounts/{ACCOUNT}/Messages.json HTTP/1.1\r\n")
    assert f"Authorization: Basic {b64encode(f'{ACCOUNT}:{TOKEN}'.encode()).decode()}\r\n" in head


def test_api_key_signs_in_and_a_pool_sends(tmp_path):
    key = "SK" + "1" * 32
    pool = {"TWILIO_FROM": "", "TWILIO_MESSAGING_SERVICE_SID": "MG" + "2" * 32}
    message = replace(outgoing(), text="Grüße, 😀\nAnn", validity_seconds=90_000)
    head, sent = fields(tmp_path, message, TWILIO_API_KEY_SID=key, TWILIO_API_KEY_SECRET="shhh", **pool)
    assert f"Basic {b64encode(f'{key}:shhh'.encode()).decode()}" in head
    assert (sent["Body"], sent["ValidityPeriod"], sent.get("From")) == (message.text, "36000", None)
    assert sent["MessagingServiceSid"] == "MG" + "2" * 32


def test_text_that_is_too_long_for_it_is_not_even_tried(tmp_path):
    outcome, requests = TWILIO_KIND.send(TWILIO_KIND.taken, tmp_path, replace(outgoing(), text="😀" * 801))
    assert isinstance(outcome, Rejected)
    assert (outcome.code, requests) == ("too_long", [])


REFUSED, ACCOUNT_REFUSED, OPTED_OUT, MAY_RETRY = "refused", "account", "opted out", "may retry"
ROWS = [
    *[(400, code, REFUSED) for code in (21211, 21268, 21612, 21614, 21635, 21602, 21604, 21617, 21658)],
    (400, 21610, OPTED_OUT),
    (400, 21408, MAY_RETRY),
    *[(400, code, ACCOUNT_REFUSED) for code in (21212, 21603, 21606, 21659, 21660, 21608)],
    (401, 20003, ACCOUNT_REFUSED),
    (400, 10001, ACCOUNT_REFUSED),
    (403, 10001, ACCOUNT_REFUSED),
    (404, 20404, ACCOUNT_REFUSED),
    (404, None, ACCOUNT_REFUSED),
    (429, 63038, ACCOUNT_REFUSED),
    (400, 63038, ACCOUNT_REFUSED),
    (400, 29999, REFUSED),
    (400, "21211", REFUSED),
]


@pytest.mark.parametrize(("status", "code", "expected"), ROWS)
def test_refusals(tmp_path, status, code, expected):
    outcome, _ = TWILIO_KIND.send(taking(f"{status} No", {"code": code, "message": "No"}), tmp_path)
    assert isinstance(outcome, Rejected)
    flags = (outcome.scope, outcome.may_retry, outcome.opted_out)
    assert (
        flags
        == {
            REFUSED: ("recipient", False, False),
            MAY_RETRY: ("recipient", True, False),
            OPTED_OUT: ("recipient", False, True),
            ACCOUNT_REFUSED: ("account", True, False),
        }[expected]
    )


@pytest.mark.parametrize(
    ("status", "code", "seconds"), [(400, 21611, 60), (429, 20429, 0), (429, None, 0)], ids=lambda value: str(value)
)
def test_throttled(tmp_path, status, code, seconds):
    outcome, _ = TWILIO_KIND.send(taking(f"{status} No", {"code": code}), tmp_path)
    assert isinstance(outcome, Deferred)
    assert (outcome.cause, outcome.after_seconds) == ("throttled", seconds)


@pytest.mark.parametrize(("status", "code"), [(500, 20500), (503, 20503), (502, 21211), (500, None)])
def test_no_code_makes_an_error_of_the_server_safe(tmp_path, status, code):
    assert isinstance(TWILIO_KIND.send(taking(f"{status} No", {"code": code}), tmp_path)[0], Unknown)


@pytest.mark.parametrize("values", [{}, {"sid": 5}, {"sid": "SM12"}, {"sid": SID.upper()}, [SID]])
def test_acceptance_without_a_reference_is_unknown(tmp_path, values):
    assert isinstance(TWILIO_KIND.send(taking("201 Created", values), tmp_path)[0], Unknown)


def test_counts_and_prices_are_read_where_they_are_told(tmp_path):
    later = {"sid": SID, "num_segments": "0", "price": None}
    now = {"sid": SID, "num_segments": "3", "price": "-0.0225", "price_unit": "USD"}
    assert TWILIO_KIND.send(taking("201 Created", later), tmp_path)[0] == Sent(SID)
    assert TWILIO_KIND.send(taking("201 Created", now), tmp_path)[0] == Sent(SID, 3, "0.0225 USD")


@pytest.mark.parametrize(
    "odd",
    [
        {"num_segments": "9" * 30, "price": "free\0"},
        {"num_segments": "256", "price": "-\ud800"},
        {"num_segments": "³", "price": "9" * 30},
        {"num_segments": -1, "price": [1]},
    ],
)
def test_a_count_or_a_price_that_cannot_be_one_is_not_told(tmp_path, odd):
    assert TWILIO_KIND.send(taking("201 Created", {"sid": SID, **odd}), tmp_path)[0] == Sent(SID)


def test_unlisted_code_is_logged_once_and_twenty_in_a_row_speak_of_the_account(tmp_path, caplog):
    refusal = json.dumps({"code": 29999, "message": "Not to +1 201 555 0100"}).encode()
    with RawServer(answering_for_ever(refusal)) as server:
        adapter = TWILIO_KIND.build(tmp_path, server.url)
        outcomes = [adapter.send(outgoing(reference=f"r-{number}")) for number in range(20)]
        adapter.close()
    scopes = [outcome.scope for outcome in outcomes if isinstance(outcome, Rejected)]
    assert scopes == ["recipient"] * 19 + ["account"]
    assert caplog.text.count("29999") == 1
    assert "555 0100" not in caplog.text


def answering_for_ever(body: bytes):
    def answer(connection):
        head = f"HTTP/1.1 400 No\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        connection.sendall(head.encode() + body)
        connection.close()

    return answer


def listed(seconds: float = 0, sid: str = SID, **more: object) -> dict[str, object]:
    at = format_datetime(AT + timedelta(seconds=seconds))
    given = {"sid": sid, "body": TEXT, "from": "+12015550199", "direction": "outbound-api", "date_created": at}
    return given | more


OTHER = "SM" + "9" * 32


@pytest.mark.parametrize(
    ("messages", "more", "expected"),
    [
        ([listed(2)], {}, Sent),
        ([listed(-6)], {}, NotFound),
        ([listed(121)], {}, NotFound),
        ([listed(2), listed(3, OTHER)], {}, Unknown),
        ([listed(2, body="Another text")], {}, NotFound),
        ([listed(2, direction="inbound")], {}, NotFound),
        ([listed(2, **{"from": "+12015550111"})], {}, NotFound),
        ([listed(2, sid=OTHER)], {}, NotFound),
        ([], {}, NotFound),
        ([listed(300, body="x")], {"next_page_uri": "/more"}, Unknown),
        ([listed(-300, body="x")], {"next_page_uri": "/more"}, NotFound),
        ([listed(2), listed(300, OTHER)], {"next_page_uri": "/more"}, Unknown),
        ([listed(2), listed(-300, OTHER)], {"next_page_uri": "/more"}, Sent),
        (None, {}, Unknown),
    ],
)
def test_look_up_takes_exactly_one_that_can_be_it(tmp_path, messages, more, expected):
    with RawServer(taking("200 OK", {"messages": messages, **more})) as server:
        adapter = TWILIO_KIND.build(tmp_path, server.url)
        assert isinstance(adapter, LooksUp)
        found = adapter.look_up(outgoing(), AT, bound={OTHER} if len(messages or []) == 1 else ())
        adapter.close()
    assert isinstance(found, expected)
    assert server.requests[0].startswith(
        f"GET /2010-04-01/Accounts/{ACCOUNT}/Messages.json?To=%2B12015550100&Page".encode()
    )


def test_a_page_of_the_longest_texts_can_be_read(tmp_path):
    def answer(connection):
        (head, _, _) = server.requests[-1].decode().partition(" HTTP/")
        many = int(parse_qs(head)["PageSize"][0])
        longest = [listed(300, OTHER, body="ж" * 1600, uris="x" * 1000)] * (many - 1)
        taking("200 OK", {"messages": [*longest, listed(2)]})(connection)

    with RawServer(answer) as server:
        adapter = TWILIO_KIND.build(tmp_path, server.url)
        assert isinstance(adapter, LooksUp)
        found = adapter.look_up(outgoing(), AT)
        adapter.close()
    assert isinstance(found, Sent)


def test_an_empty_look_up_is_believed_only_where_the_operator_says_so(tmp_path, twilio):
    trusting = TWILIO_KIND.build(tmp_path, "http://127.0.0.1:9", TWILIO_TRUST_EMPTY_LOOKUP="yes")
    trusting.close()
    assert (twilio.traits.trusts_not_found, trusting.traits.trusts_not_found) == (False, True)
    assert twilio.traits.not_found_after_seconds == 600


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"status": "delivered", "price": "-0.01", "price_unit": "USD"}, ("delivered", "", "0.01 USD")),
        ({"status": "undelivered", "error_code": 30003}, ("undelivered", "30003", None)),
    ],
)
def test_fetch_tells_what_became_of_a_message(tmp_path, values, expected):
    with RawServer(taking("200 OK", values)) as server:
        adapter = TWILIO_KIND.build(tmp_path, server.url)
        assert isinstance(adapter, Fetches)
        found = adapter.fetch(SID)
        adapter.close()
    assert isinstance(found, Report)
    assert (found.state, found.code, found.price) == expected
    assert f"/Messages/{SID}.json ".encode() in server.requests[0]


def report(status: str, code: str = "", url: str = "https://sms.example.org/callbacks/twilio/r-1", token: str = TOKEN):
    given = {"MessageSid": SID, "MessageStatus": status, "To": "+12015550100", "Empty": ""}
    given |= {"ErrorCode": code} if code else {}
    headers = {
        "content-type": "application/x-www-form-urlencoded",
        "x-twilio-signature": signature(url, list(given.items()), token),
    }
    return Callback(method="POST", url=url, headers=headers, body=urlencode(given).encode(), reference="r-1")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *[(word, "sent") for word in ("accepted", "scheduled", "queued", "sending", "sent")],
        *[("delivered", "delivered"), ("read", "delivered"), ("undelivered", "undelivered")],
        *[("partially_delivered", "undelivered"), ("failed", "failed"), ("canceled", "cancelled")],
    ],
)
def test_states(twilio, status, state):
    assert twilio.reports(report(status)) == [Report(state=state, reference="r-1", gateway_reference=SID)]


@pytest.mark.parametrize(
    ("code", "state", "flags"),
    [
        *[(code, "undelivered", ("recipient", True, False)) for code in ("30001", "30003", "30008", "30022", "30023")],
        *[(code, "undelivered", ("account", True, False)) for code in ("30002", "30034")],
        *[(code, "undelivered", ("recipient", False, False)) for code in ("30004", "30005", "30006", "30007", "30450")],
        ("30036", "expired", ("recipient", False, False)),
        ("21610", "undelivered", ("recipient", False, True)),
        ("39999", "undelivered", ("recipient", False, False)),
    ],
)
def test_error_codes_of_reports(twilio, code, state, flags):
    (found,) = twilio.reports(report("undelivered", code))
    assert (found.state, found.code, (found.scope, found.may_retry, found.opted_out)) == (state, code, flags)


def test_status_that_is_none_is_no_report(twilio):
    assert twilio.reports(report("pondering")) == []


@pytest.mark.parametrize(
    ("caller", "expected"),
    [("+14158675309", "RSOYDt4T1cUTdK1PDd93/VVr8B8="), ("+12349013030", "0/KCTR6DLpKmkAf8muzZqo1nDgQ=")],
)
def test_signature_is_the_one_of_twilios_documentation(caller, expected):
    given = {"CallSid": "CA1234567890ABCDE", "Caller": caller, "Digits": "1234", "From": caller, "To": "+18005551212"}
    url = "https://mycompany.com/myapp.php?foo=1&bar=2"
    assert signature(url, list(given.items()), "12345") == expected


def test_each_different_value_of_a_repeated_name_counts_once():
    url = "https://sms.example.org/"
    assert signature(url, [("a", "2"), ("a", "1"), ("a", "2")], "k") == signature(url, [("a", "1"), ("a", "2")], "k")


@pytest.mark.parametrize(
    ("callback", "expected"),
    [
        (report("sent"), Verdict.GENUINE),
        (report("sent", token=OLD), Verdict.GENUINE),
        (report("sent", token="another"), Verdict.FORGED),
        (replace(report("sent"), url="https://sms.example.org:443/callbacks/twilio/r-1"), Verdict.GENUINE),
        (
            replace(
                report("sent", url="https://sms.example.org:443/callbacks/twilio/r-1"),
                url="https://sms.example.org/callbacks/twilio/r-1",
            ),
            Verdict.GENUINE,
        ),
        (replace(report("sent"), url="https://sms.example.org/callbacks/twilio/r-2"), Verdict.FORGED),
        (replace(report("sent"), url="http://sms.example.org/callbacks/twilio/r-1"), Verdict.FORGED),
        (replace(report("sent"), body=report("delivered").body), Verdict.FORGED),
        (replace(report("sent"), headers={}), Verdict.UNSIGNED),
        (replace(report("sent"), headers={"x-twilio-signature": "ü"}), Verdict.FORGED),
    ],
)
def test_only_what_twilio_signed_is_genuine(twilio, callback, expected):
    assert twilio.verify(callback) is expected


def test_json_is_signed_by_the_hash_of_its_body(twilio):
    body = b'{"a": 1}'
    url = f"https://sms.example.org/callbacks/twilio?bodySHA256={sha256(body).hexdigest()}"
    headers = {"content-type": "application/json", "x-twilio-signature": signature(url, [], TOKEN)}
    callback = Callback(method="POST", url=url, headers=headers, body=body)
    assert twilio.verify(callback) is Verdict.GENUINE
    assert twilio.verify(replace(callback, body=b'{"a": 2}')) is Verdict.FORGED


def test_text_that_comes_in(twilio):
    given = {
        "MessageSid": SID,
        "From": "+12015550123",
        "To": "+12015550199",
        "Body": "Stop, please",
        "SmsStatus": "received",
    }
    callback = Callback(method="POST", url="https://sms.example.org/", headers={}, body=urlencode(given).encode())
    expected = Inbound(sender="+12015550123", to="+12015550199", text="Stop, please", gateway_reference=SID)
    assert (twilio.inbound(callback), twilio.reports(callback)) == (expected, [])
    assert twilio.inbound(report("sent")) is None
