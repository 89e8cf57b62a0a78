"""`flask sms drill --gateway`: one text out, its report back, and a sentence for each thing that is wrong."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl

import pytest
import requests

from smsqueue.gateways.twilio.callbacks import signature
from tests.contract.kinds import SID, TWILIO
from tests.outside import Outside
from tests.processes import Process

SECRET = "of-no-use-anywhere-else-" * 2
DECLARED = """
throttled = { status = [429] }
not_sent = { status = [503], json = "taken", equals = false }
refused_account = { status = [401, 402, 403] }
refused = { status = [400] }

[request]
url = "URL/messages"

[request.json]
reference = "{reference}"
to = "{to}"
text = "{text}"
sender = "{from}"
encoding = "gsm-7"
segments = 1
validity_seconds = 60

[accepted]
when = { status = [201], json = "reference", pattern = "." }
reference = "reference"

[report]
signature = "hmac"
header = "X-Simulator-Signature"
prefix = "sha256="
secret = "{secret.HOOK}"
reference = "reference"
gateway_reference = "id"
status = "state"
states = { sent = "sent", delivered = "delivered", undelivered = "undelivered" }
"""


@dataclass
class Stage:
    """A web process that hears reports, and a simulator that sends them."""

    outside: Outside
    environment: dict[str, str]
    url: str

    def drill(self, *options: str, ends: str = "00", **environment: str) -> tuple[int, str, dict[str, object]]:
        """Run a drill: its exit code, what it said, and its result."""
        command = ("sms", "drill", "--gateway", *options, "--to", f"+120155501{ends}")
        with Process("-m", "smsqueue", *command, **{**self.environment, **environment}) as process:
            code, said = process.ended(60), process.output
        last = said.splitlines()[-1]
        return code, said, json.loads(last.removeprefix("RESULT ")) if last.startswith("RESULT ") else {}

    def reports(self, *, secret: str = SECRET, gateway: str = "simulated", **more: object) -> None:
        """Have the simulator report to an address, signed with a secret."""
        url = f"{self.url}/callbacks/{gateway}/report"
        self.outside.settings(callback_url=url, callback_secret=secret, **more)


class Twilio(BaseHTTPRequestHandler):
    """A small Twilio: takes a text, answers, and calls back with its signature."""

    token = ""
    is_hasty = False
    fields: ClassVar[dict[str, str]] = {}
    told: ClassVar[list[int]] = []

    def do_POST(self) -> None:
        """Take a text, and report at once: one that is hasty even before it answers."""
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.fields.clear()
        self.fields.update(parse_qsl(form))
        if self.is_hasty:
            self.report()
        self.answer(201, self.message("queued"))
        if not self.is_hasty:
            self.report()

    def report(self) -> None:
        """Call back."""
        url = self.fields["StatusCallback"].partition("#")[0]
        for state in ("sent", "delivered"):
            report = [("MessageSid", SID), ("MessageStatus", state), ("To", self.fields["To"])]
            signed = {"X-Twilio-Signature": signature(url, report, self.token)}
            self.told.append(requests.post(url, data=report, headers=signed, timeout=10).status_code)

    def do_GET(self) -> None:
        """Show the message, alone or in the list."""
        message = self.message("delivered")
        self.answer(200, message if SID in self.path else {"messages": [message]})

    def message(self, status: str) -> dict[str, object]:
        """Write the message as it is now."""
        shown = {"sid": SID, "status": status, "body": self.fields["Body"], "from": self.fields["From"]}
        return {**shown, "direction": "outbound-api", "date_created": formatdate(usegmt=True), "num_segments": "1"}

    def answer(self, status: int, values: object) -> None:
        """Answer in JSON."""
        body = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def twilio(token: str = TWILIO["TWILIO_AUTH_TOKEN"], *, is_hasty: bool = False) -> Iterator[str]:
    """Run it; its address."""
    kind = type("Signing", (Twilio,), {"token": token, "is_hasty": is_hasty, "told": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def stage(databases, tmp_path_factory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("drill")
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with ExitStack() as opened:
        outside = opened.enter_context(Outside(folder, report_delay_ms=100, lookup="on"))
        environment = {
            "DATABASE_URL": databases.ready("sqlite"),
            "SMS_INSTANCE": str(folder / "instance"),
            "SIMULATED_URL": outside.url,
            "SIMULATED_LOOKUP": "on",
            "SMS_CALLBACK_BASE_URL": url,
            "SMS_CALLBACK_SECRET": SECRET,
            **declared(folder, outside),
            **{name: value for name, value in TWILIO.items() if name.startswith("TWILIO_")},
        }
        bind = ("--bind", f"127.0.0.1:{port}", "--threads", "4", "--no-control-socket")
        web = opened.enter_context(Process("-m", "gunicorn", "wsgi:app", *bind, **environment))
        web.wait_for("Booting worker", 60)
        yield Stage(outside, environment, url)


def declared(folder: Path, outside: Outside) -> dict[str, str]:
    """The simulator once more, as a gateway that an operator declares."""
    file = folder / "gateway.toml"
    file.write_text(DECLARED.replace("URL", outside.url))
    return {
        "HTTP_GATEWAY_FILE": str(file),
        "HTTP_GATEWAY_PLAIN_HOSTS": "127.0.0.1",
        "HTTP_GATEWAY_SECRET_HOOK": SECRET,
    }


def test_gateway_that_is_set_up_right_is_proved(stage):
    stage.reports()
    code, said, result = stage.drill("--wait", "20")
    assert code == 0, said
    assert [line[:5] for line in said.splitlines()[:5]] == ["right"] * 5
    assert "answers, and refuses what is not signed." in said
    assert "It reports delivered, signed as it should be." in said
    assert "Looked up by our reference: sent." in said
    facts = {name: result[name] for name in ("gateway", "ok", "problems", "outcome", "reported")}
    assert facts == {"gateway": "simulated", "ok": True, "problems": 0, "outcome": "sent", "reported": "delivered"}
    (line,) = [line for line in stage.outside.log_lines() if line["to"] == "+12015550100"]
    assert line["reference"].startswith("drill-")


def test_declared_gateway_that_is_not_in_use_is_proved_by_its_name(stage):
    stage.reports(gateway="http")
    code, said, result = stage.drill("http", "--yes", "--wait", "20", ends="01")
    assert code == 0, said
    assert "No setting sends through it; only a team's own list can." in said
    assert (result["gateway"], result["reported"]) == ("http", "delivered")


def test_nobody_is_texted_who_did_not_agree(stage):
    stage.reports(gateway="http")
    code, said, _ = stage.drill("http", ends="02")
    assert code == 1
    assert "Send one real text through http to +" in said
    assert "15550102" not in said
    assert not [line for line in stage.outside.log_lines() if line["to"].endswith("02")]


def test_wrong_signature_secret_is_told(stage):
    stage.reports(secret="another secret")
    code, said, result = stage.drill("--wait", "3", ends="03")
    assert code == 1
    assert "and its signature is wrong: is the simulator's SIMULATED_CALLBACK_SECRET our SMS_CALLBACK_SECRET?" in said
    assert (result["ok"], result["outcome"]) == (False, "sent")


def test_silence_is_told_with_the_address_to_set(stage):
    stage.outside.settings(callback_url=None)
    code, said, _ = stage.drill("--wait", "0.5", ends="04")
    assert code == 1
    assert (
        f"No report came within 0.5 s: start it with SIMULATED_CALLBACK_URL={stage.url}/callbacks/simulated/report"
        in said
    )


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ("80", "simulated refuses this number or text"),
        ("84", "simulated refuses our account or sender"),
        ("88", "simulated did not take the text"),
        ("95", "reports that the text was not delivered: undelivered"),
    ],
)
def test_each_way_to_fail_has_its_sentence(stage, ends, words):
    stage.reports()
    code, said, result = stage.drill("--wait", "2", ends=ends)
    assert code == 1
    assert words in said
    assert result["ok"] is False


def test_answer_that_is_lost_is_cleared_up_by_the_report(stage):
    stage.reports()
    code, said, result = stage.drill("--wait", "20", ends="90")
    assert code == 1
    assert "simulated may have taken the text or not" in said
    assert "It reports delivered, signed as it should be." in said
    assert (result["outcome"], result["reported"]) == ("unknown", "delivered")


def test_address_that_nobody_is_at_is_told(stage):
    code, said, _ = stage.drill("--wait", "0", ends="05", SMS_CALLBACK_BASE_URL="http://127.0.0.1:9")
    assert code == 1
    assert "http://127.0.0.1:9/callbacks/simulated cannot be reached from here" in said


def test_another_program_at_the_address_is_told(stage):
    code, said, _ = stage.drill("--wait", "0", ends="06", SMS_CALLBACK_BASE_URL=f"{stage.url}/elsewhere")
    assert code == 1
    assert "is not there (HTTP 404): does the proxy hand /callbacks on to smsqueue?" in said


def test_missing_settings_are_told_before_anything_is_sent(stage):
    code, said, _ = stage.drill("kannel", "--yes", ends="07")
    assert code == 1
    assert "KANNEL_URL (not set) is needed by --gateway=kannel" in said


def test_twilio_is_proved_with_its_own_signature(stage):
    with twilio() as url:
        code, said, result = stage.drill("twilio", "--yes", "--wait", "20", ends="20", TWILIO_BASE_URL=url)
    assert code == 0, said
    assert "It reports delivered, signed as it should be." in said
    assert "Looked up by number, time and text (weak): sent." in said
    assert "Asked by the gateway's reference: delivered." in said
    assert (result["outcome"], result["reported"]) == ("sent", "delivered")


@pytest.mark.parametrize("is_hasty", [False, True])
def test_auth_token_of_another_account_is_told(stage, is_hasty):
    with twilio(token="another account's", is_hasty=is_hasty) as url:
        code, said, _ = stage.drill("twilio", "--yes", "--wait", "2", ends="21", TWILIO_BASE_URL=url)
    assert code == 1
    assert "its signature is wrong: is TWILIO_AUTH_TOKEN the account's" in said


def test_address_that_is_not_the_one_of_the_web_process_is_told(stage):
    elsewhere = stage.url.replace("127.0.0.1", "localhost")
    with twilio() as url:
        environ = {"TWILIO_BASE_URL": url, "SMS_CALLBACK_BASE_URL": elsewhere}
        code, said, _ = stage.drill("twilio", "--yes", "--wait", "2", ends="22", **environ)
    assert code == 1
    assert "and SMS_CALLBACK_BASE_URL exactly what Twilio calls?" in said


def test_number_is_needed(stage):
    with Process("-m", "smsqueue", "sms", "drill", "--gateway", **stage.environment) as process:
        assert process.ended(60) == 2
        assert process.says("--gateway needs --to NUMBER: a number of your own.")
