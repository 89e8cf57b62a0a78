"""Kannel: every answer of smsbox, its fields by POST and GET, its reports."""

from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, quote, quote_plus, urlencode, urlsplit

import pytest

from smsqueue.gateways.base import Callback, Deferred, Inbound, Rejected, Report, Reports, Sent, Unknown, Verdict
from smsqueue.gateways.callbacks import Address
from tests.contract.gateways import SECRET, TEXT, answering, outgoing
from tests.contract.kinds import KANNEL_KIND

ADDRESS = Address("https://sms.example.org", "kannel", SECRET)
TOKEN = ADDRESS.token("r-1")
LONG = replace(outgoing(), text="Grüße 😀\nAnn", encoding="ucs-2", validity_seconds=61)


@pytest.fixture
def kannel(tmp_path):
    adapter = KANNEL_KIND.build(tmp_path, "http://127.0.0.1:9")
    yield adapter
    adapter.close()


def posted(requests: list[bytes]) -> tuple[str, dict[str, str], str]:
    head, body = requests[0].split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    return first, dict(line.split(": ", 1) for line in lines), body.decode()


def test_post_keeps_number_text_and_password_out_of_the_address(tmp_path):
    first, headers, body = posted(KANNEL_KIND.send(KANNEL_KIND.taken, tmp_path, KANNEL_SMSC="main")[1])
    given = {name: value for name, value in headers.items() if name.startswith("X-Kannel") or name == "Content-Type"}
    assert (first, body) == ("POST /cgi-bin/sendsms HTTP/1.1", TEXT)
    assert given == {
        "Content-Type": "text/plain; charset=UTF-8",
        "X-Kannel-Username": "ann",
        "X-Kannel-Password": "passw0rd-of-kannel",
        "X-Kannel-To": "+12015550100",
        "X-Kannel-From": "12345",
        "X-Kannel-Coding": "0",
        "X-Kannel-SMSC": "main",
        "X-Kannel-Validity": "240",
        "X-Kannel-DLR-Mask": "31",
        "X-Kannel-DLR-Url": f"https://sms.example.org/callbacks/kannel/r-1/{TOKEN}?type=%d&at=%T&why=%A",
    }


def test_unicode_is_asked_for_and_the_text_goes_out_as_it_is(tmp_path):
    _, headers, body = posted(KANNEL_KIND.send(KANNEL_KIND.taken, tmp_path, LONG, KANNEL_PLUS="no")[1])
    assert (headers["X-Kannel-Coding"], headers["X-Kannel-Validity"], headers["X-Kannel-To"]) == (
        "2",
        "2",
        "12015550100",
    )
    assert body == LONG.text


def test_get_says_the_same_in_the_address(tmp_path):
    _, requests = KANNEL_KIND.send(KANNEL_KIND.taken, tmp_path, LONG, KANNEL_METHOD="get")
    method, target, _ = requests[0].decode().split("\r\n", 1)[0].split()
    given = {name: values[0] for name, values in parse_qs(urlsplit(target).query, strict_parsing=True).items()}
    assert (method, given["text"], given["charset"], given["coding"]) == ("GET", LONG.text, "UTF-8", "2")
    assert (given["user"], given["pass"], given["to"]) == ("ann", "passw0rd-of-kannel", "+12015550100")
    assert given["dlr-url"].endswith(f"/r-1/{TOKEN}?type=%d&at=%T&why=%A")


@pytest.mark.parametrize("method", ["post", "get"])
def test_a_password_may_have_any_letters(tmp_path, method):
    environ = {"KANNEL_PASSWORD": "пароль é", "KANNEL_METHOD": method}
    outcome, requests = KANNEL_KIND.send(KANNEL_KIND.taken, tmp_path, **environ)
    assert outcome == Sent("")
    written = {"post": "X-Kannel-Password: пароль é\r\n", "get": quote_plus("пароль é")}[method]
    assert written.encode() in requests[0]


def test_without_an_address_for_reports_none_is_asked_for(tmp_path):
    _, requests = KANNEL_KIND.send(KANNEL_KIND.taken, tmp_path, SMS_CALLBACK_BASE_URL="", SMS_CALLBACK_SECRET="")
    _, headers, _ = posted(requests)
    assert not [name for name in headers if "DLR" in name]


REFUSED, ACCOUNT = "recipient", "account"


@pytest.mark.parametrize(
    "words", ["0: Accepted for delivery", "3: Queued for later delivery", "0: Accepted for delivery\n"]
)
def test_taken(tmp_path, words):
    assert KANNEL_KIND.send(answering("202 Accepted", words.encode()), tmp_path)[0] == Sent("")


@pytest.mark.parametrize(
    ("status", "words", "scope"),
    [
        (403, "Authorization failed for sendsms", ACCOUNT),
        (404, "Not found", ACCOUNT),
        (403, "Not routable. Do not try again.", REFUSED),
        (400, "Number denied by white- and/or black-lists.", REFUSED),
        (400, "Missing receiver number, rejected", REFUSED),
        (400, "Empty receiver number not allowed, rejected", REFUSED),
        (400, "UDH field misformed, rejected", REFUSED),
        (400, "Sender missing and no global set, rejected", REFUSED),
        (400, "Charset or body misformed, rejected", REFUSED),
        (400, "Something new", REFUSED),
    ],
)
def test_refusals(tmp_path, status, words, scope):
    outcome, _ = KANNEL_KIND.send(answering(f"{status} No", words.encode()), tmp_path)
    assert isinstance(outcome, Rejected)
    assert outcome.scope == scope


def test_full_queue_is_not_sent_and_only_by_the_exact_words(tmp_path):
    full = answering("503 Service Unavailable", b"Temporal failure, try again later.")
    outcome, _ = KANNEL_KIND.send(full, tmp_path)
    assert isinstance(outcome, Deferred)
    assert (outcome.cause, outcome.after_seconds) == ("unreachable", 10)


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (503, "Temporal failure, try again later. Or not."),
        (500, "Sending failed."),
        (500, "Temporal failure, try again later."),
        (202, "Sent."),
        (202, "1: Something"),
    ],
)
def test_anything_else_is_unknown(tmp_path, status, words):
    assert isinstance(KANNEL_KIND.send(answering(f"{status} X", words.encode()), tmp_path)[0], Unknown)


def called(query: str, reference: str = "r-1", token: str = TOKEN, remote: str = "10.0.0.7") -> Callback:
    url = f"https://sms.example.org/callbacks/kannel/{reference}/{token}?{query}"
    return Callback(method="GET", url=url, headers={}, reference=reference, token=token, remote=remote)


@pytest.mark.parametrize(
    ("code", "state"),
    [
        ("1", "delivered"),
        ("2", "undelivered"),
        ("4", "sent"),
        ("8", "sent"),
        ("16", "failed"),
        ("32", "sent"),
        ("34", "expired"),
    ],
)
def test_types_of_reports(kannel, code, state):
    at = datetime(2026, 11, 25, 12, 0, tzinfo=UTC)
    callback = called(urlencode({"type": code, "at": str(int(at.timestamp())), "why": "ACK to +12015550100"}))
    expected = Report(state=state, reference="r-1", code=code, reason="ACK to +•••100", at=at)
    assert kannel.reports(callback) == [expected]


@pytest.mark.parametrize("query", ["", "type=99&at=x", "type=%d&at=%T"])
def test_report_that_is_none(kannel, query):
    assert kannel.reports(called(query)) == []


def test_token_of_one_text_is_no_token_of_another(kannel):
    assert kannel.verify(called("type=1")) is Verdict.GENUINE
    assert kannel.verify(called("type=1", reference="r-2")) is Verdict.FORGED
    assert kannel.verify(called("type=1", token="")) is Verdict.UNSIGNED
    assert kannel.verify(called("type=1", token="ü")) is Verdict.FORGED
    assert kannel.traits.answer_status == 200


@pytest.mark.parametrize("charset", ["punycode", "idna", "utf-7"])
def test_bytes_that_are_not_of_the_alphabet_that_is_told_are_read_all_the_same(kannel, charset):
    callback = called(f"from=12015550123&text=%ff%ff&charset={charset}", "inbound", ADDRESS.token("inbound"))
    assert kannel.inbound(callback).text == "\ufffd\ufffd"


MAPPED = [("::ffff:10.0.0.7", "genuine"), ("::ffff:10.0.1.7", "forged"), ("::1", "genuine"), ("::2", "forged")]
"""Where a socket takes both kinds of addresses, the old ones are spelled like this."""


@pytest.mark.parametrize(
    ("remote", "verdict"), [("10.0.0.7", "genuine"), ("10.0.1.7", "forged"), ("", "forged"), *MAPPED]
)
def test_only_listed_addresses_may_report(tmp_path, remote, verdict):
    adapter = KANNEL_KIND.build(tmp_path, "http://127.0.0.1:9", KANNEL_CALLBACK_ADDRESSES="10.0.0.0/24, ::1")
    adapter.close()
    assert isinstance(adapter, Reports)
    assert adapter.verify(called("type=1", remote=remote)) == verdict


@pytest.mark.parametrize(
    ("text", "charset", "coding"),
    [
        ("Stop, ça suffit".encode(), "UTF-8", "0"),
        ("Стоп".encode("utf-16-be"), "", "2"),
        ("Стоп 😀".encode("utf-16-be"), "UTF-16BE", "2"),
        ("Стоп".encode(), "UTF-8", "2"),
        *[(b"Stop", name, "0") for name in ("no-such-alphabet", "undefined", "a%00", "hex", "x" * 9000)],
    ],
)
def test_text_that_comes_in_keeps_its_letters(kannel, text, charset, coding):
    query = f"from=12015550123&to=12345&text={quote(text)}&coding={coding}&charset={charset}&id=abc&at=x"
    callback = called(query, "inbound", ADDRESS.token("inbound"))
    expected = text.decode("utf-16-be" if coding == "2" and charset != "UTF-8" else "utf-8")
    assert kannel.verify(callback) is Verdict.GENUINE
    assert kannel.inbound(callback) == Inbound(
        sender="+12015550123", to="12345", text=expected, gateway_reference="abc"
    )
    assert kannel.reports(callback) == []
