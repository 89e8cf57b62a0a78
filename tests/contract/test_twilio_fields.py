"""Every name that we send to Twilio or read of its answers is a published one: it takes others without a word."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from smsqueue.gateways.base import Rejected, Report, Sent
from smsqueue.gateways.http import Answer, Request
from smsqueue.gateways.twilio import codes
from tests.contract.gateways import TEXT, outgoing
from tests.contract.kinds import ACCOUNT, SID, TWILIO_KIND

PUBLISHED = json.loads((Path(__file__).parents[1] / "vectors" / "twilio_message.json").read_text())
POOL = "MG" + "2" * 32
CREATED = "Wed, 25 Nov 2026 12:00:00 +0000"
MESSAGE = dict.fromkeys(PUBLISHED["message"]) | {
    "sid": SID,
    "body": TEXT,
    "status": "delivered",
    "num_segments": "1",
    "direction": "outbound-api",
    "from": "+12015550199",
    "to": "+12015550100",
    "messaging_service_sid": POOL,
    "date_created": CREATED,
    "price": "-0.0079",
    "price_unit": "USD",
}
INBOUND = {"receiving", "received"}


class Noting(dict[str, Any]):
    """Values that note which of them were asked for."""

    def __init__(self, values: dict[str, Any], asked: set[str]) -> None:
        super().__init__(values)
        self.asked = asked

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        self.asked.add(name)
        return super().__getitem__(name)


class Server:
    """What stands in for the calls: notes requests, answers with values that note what is read of them."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.requests: list[Request] = []
        self.asked: set[str] = set()
        self.asked_of_messages: set[str] = set()
        self.values = values

    def call(self, request: Request) -> Answer:
        self.requests.append(request)
        listed = [Noting(each, self.asked_of_messages) for each in self.values.get("messages", ())]
        values = Noting(self.values | ({"messages": listed} if listed else {}), self.asked)

        class Noted(Answer):
            def json(self) -> dict[str, Any]:
                return values

        return Noted(201 if request.method == "POST" else 200, {}, b"{}")

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(params=["From", "MessagingServiceSid"])
def twilio(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    pool = {"TWILIO_FROM": "", "TWILIO_MESSAGING_SERVICE_SID": POOL} if request.param != "From" else {}
    adapter = TWILIO_KIND.build(tmp_path, "http://127.0.0.1:9", **pool)
    adapter.caller.close()
    return adapter


def test_names_that_are_sent_are_published(twilio):
    twilio.caller = Server(MESSAGE)
    assert isinstance(twilio.send(outgoing()), Sent)
    (request,) = twilio.caller.requests
    sent = parse_qs((request.body or b"").decode(), strict_parsing=True)
    assert set(sent) <= set(PUBLISHED["CreateMessage"])
    assert {"To", "Body"} < set(sent)
    assert len({"From", "MessagingServiceSid"} & set(sent)) == 1
    assert urlsplit(request.url).path == f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"
    assert twilio.caller.asked
    assert twilio.caller.asked <= set(PUBLISHED["message"])


def test_names_of_a_look_up_are_published(twilio):
    twilio.caller = Server({"messages": [MESSAGE], "next_page_uri": None})
    found = twilio.look_up(outgoing(), datetime(2026, 11, 25, 12, 0, tzinfo=UTC))
    assert isinstance(found, Sent)
    (request,) = twilio.caller.requests
    asked = dict(parse_qsl(urlsplit(request.url).query, strict_parsing=True))
    assert set(asked) <= set(PUBLISHED["ListMessage"])
    assert int(asked["PageSize"]) <= PUBLISHED["longest_page"]
    assert twilio.caller.asked <= set(PUBLISHED["ListMessageResponse"])
    assert twilio.caller.asked_of_messages <= set(PUBLISHED["message"])
    assert {"sid", "body", "direction", "date_created"} <= twilio.caller.asked_of_messages


def test_names_that_are_read_of_a_messages_state_are_published(twilio):
    twilio.caller = Server(MESSAGE)
    found = twilio.fetch(SID)
    assert isinstance(found, Report)
    assert (found.state, found.price) == ("delivered", "0.0079 USD")
    assert twilio.caller.asked <= set(PUBLISHED["message"])


def test_every_published_status_of_a_text_that_goes_out_has_a_meaning():
    assert set(codes.STATES) == set(PUBLISHED["status"]) - INBOUND


def test_a_published_reference_is_taken_for_one(twilio):
    pattern = re.compile(PUBLISHED["sid"])
    twilio.caller = Server(MESSAGE | {"sid": "MM" + "0" * 32})
    sent = twilio.send(outgoing())
    assert isinstance(sent, Sent)
    assert pattern.fullmatch(sent.reference)


def test_a_misspelt_name_would_be_found(twilio, monkeypatch):
    real = type(twilio).request

    def misspelt(self: Any, message: Any) -> Request:
        request = real(self, message)
        assert not isinstance(request, Rejected)
        body = (request.body or b"").replace(b"ValidityPeriod", b"Validityperiod")
        return Request(request.method, request.url, request.headers, body)

    monkeypatch.setattr(type(twilio), "request", misspelt)
    twilio.caller = Server(MESSAGE)
    with pytest.raises(AssertionError, match="Validityperiod"):
        test_names_that_are_sent_are_published(twilio)
