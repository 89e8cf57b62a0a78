"""Every gateway with what it takes to try it on a server of our own."""

import json
from dataclasses import dataclass, field
from pathlib import Path

from smsqueue.config import Settings
from smsqueue.gateways import build
from smsqueue.gateways.adapter import HttpAdapter
from smsqueue.gateways.base import Outcome, Outgoing
from tests.contract.gateways import SECRET, Behaviour, answering, outgoing, settings
from tests.outside import RawServer

SID = "SM" + "0123456789abcdef" * 2
ACCOUNT = "AC" + "fedcba9876543210" * 2
KEY = {"SMS_CALLBACK_BASE_URL": "https://sms.example.org", "SMS_CALLBACK_SECRET": SECRET}
TWILIO = {
    "TWILIO_ACCOUNT_SID": ACCOUNT,
    "TWILIO_AUTH_TOKEN": "auth-t0ken-of-twilio",
    "TWILIO_FROM": "+12015550199",
    **KEY,
}
VONAGE = {
    "VONAGE_API_KEY": "abcd1234",
    "VONAGE_API_SECRET": "api-s3cret-of-vonage",
    "VONAGE_SIGNATURE_SECRET": "signature-s3cret",
    "VONAGE_FROM": "Cafe Ann",
    **KEY,
}
KANNEL = {"KANNEL_USERNAME": "ann", "KANNEL_PASSWORD": "passw0rd-of-kannel", "KANNEL_FROM": "12345", **KEY}
DECLARED = """
throttled = { status = [429] }
retry_after = "wait"
not_sent = { status = [503], json = "taken", equals = false }
opted_out = { status = [200, 400], json = "error.code", equals = "opted_out" }
refused_account = [{ status = [401, 403] }, { status = [200], contains = "no credit" }]
refused = { status = [400] }

[request]
url = "URL/v1/messages?from={from}"
auth = "bearer"
secret = "{secret.KEY}"
idempotency_header = "Idempotency-Key"

[request.json]
to = "{to}"
digits = "{to_digits}"
text = "{text}"
meta = { ref = "{reference}", n = 1 }
dlr = "{callback_url}"
coding = "{encoding}"

[accepted]
when = { status = [200, 201], json = "status", equals = "queued" }
reference = "messages.0.id"

[refusal]
code = "error.code"
reason = "error.message"

[look_up]
url = "URL/v1/messages?ref={reference}"
method = "GET"
found = { status = [200], json = "count", equals = 1 }
not_found = { status = [200], json = "count", equals = 0 }
reference = "messages.0.id"

[fetch]
url = "URL/v1/messages/{reference}"
method = "GET"
found = { status = [200] }
status = "state"

[report]
signature = "hmac"
header = "X-Signature"
prefix = "sha256="
secret = "{secret.HOOK}"
reference = "ref"
gateway_reference = "id"
status = "state"
code = "code"
time = "at"
states = { DELIVRD = "delivered", UNDELIV = "undelivered" }
answer_status = 200

[inbound]
method = "GET"
from = "from"
to = "to"
text = "text"

[capabilities]
max_per_second = 7
encodings = { gsm-7 = "0", ucs-2 = "8" }
"""


@dataclass(frozen=True)
class Kind:
    """A gateway, its settings, and the answer by which it takes a text."""

    name: str
    url_setting: str
    taken: Behaviour
    reference: str
    environ: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    def settings(self, folder: Path, url: str, **environ: str) -> Settings:
        """Settings for a server at `url`."""
        given = self.environ | {self.url_setting: url} | environ
        if self.name == "http":
            file = folder / "gateway.toml"
            file.write_text(DECLARED.replace("URL", url))
            given = {"HTTP_GATEWAY_FILE": str(file), "HTTP_GATEWAY_PLAIN_HOSTS": "127.0.0.1", **given}
            given.pop("URL")
        return settings(folder, self.name, **given)

    def build(self, folder: Path, url: str, **environ: str) -> HttpAdapter:
        """The gateway, for a server at `url`."""
        adapter = build(self.settings(folder, url, **environ))
        assert isinstance(adapter, HttpAdapter)
        return adapter

    def send(
        self, behave: Behaviour, folder: Path, message: Outgoing | None = None, **environ: str
    ) -> tuple[Outcome, list[bytes]]:
        """What it makes of a server that behaves so, and the requests that the server got."""
        with RawServer(behave) as server:
            adapter = self.build(folder, server.url, **environ)
            outcome = adapter.send(message or outgoing())
            adapter.close()
            return outcome, server.requests


def taking(status: str, values: object) -> Behaviour:
    """A server that answers this JSON."""
    return answering(status, json.dumps(values).encode(), "Content-Type: application/json")


SIMULATED = Kind("simulated", "SIMULATED_URL", taking("201 Created", {"reference": "s-1"}), "s-1", KEY, (SECRET,))
TWILIO_KIND = Kind(
    "twilio",
    "TWILIO_BASE_URL",
    taking("201 Created", {"sid": SID, "status": "queued", "num_segments": "1", "price": None}),
    SID,
    TWILIO,
    (TWILIO["TWILIO_AUTH_TOKEN"], SECRET),
)
SMS = Kind(
    "vonage",
    "VONAGE_BASE_URL",
    taking(
        "200 OK", {"message-count": "1", "messages": [{"status": "0", "message-id": "V1", "message-price": "0.03"}]}
    ),
    "V1",
    VONAGE,
    (VONAGE["VONAGE_API_SECRET"], VONAGE["VONAGE_SIGNATURE_SECRET"]),
)
MESSAGES = Kind(
    "vonage",
    "VONAGE_BASE_URL",
    taking("202 Accepted", {"message_uuid": "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab"}),
    "aaaaaaaa-bbbb-4ccc-8ddd-0123456789ab",
    VONAGE | {"VONAGE_API": "messages"},
    (VONAGE["VONAGE_API_SECRET"], VONAGE["VONAGE_SIGNATURE_SECRET"]),
)
KANNEL_KIND = Kind(
    "kannel",
    "KANNEL_URL",
    answering("202 Accepted", b"0: Accepted for delivery"),
    "",
    KANNEL,
    (KANNEL["KANNEL_PASSWORD"], SECRET),
)
HTTP = Kind(
    "http",
    "URL",
    taking("200 OK", {"status": "queued", "messages": [{"id": "h-1"}]}),
    "h-1",
    {"HTTP_GATEWAY_SECRET_KEY": "bearer-of-http", "HTTP_GATEWAY_SECRET_HOOK": "hook-of-http", **KEY},
    ("bearer-of-http", "hook-of-http"),
)
KINDS = {
    "simulated": SIMULATED,
    "twilio": TWILIO_KIND,
    "vonage-sms": SMS,
    "vonage-messages": MESSAGES,
    "kannel": KANNEL_KIND,
    "http": HTTP,
}
