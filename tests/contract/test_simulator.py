"""What the outside world promises to those who test against it."""

import hashlib
import hmac
import json
import resource
import smtplib
import socket
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from http.client import HTTPConnection, RemoteDisconnected
from pathlib import Path

import pytest

from smsqueue.simulator.main import main
from tests.outside import Outside, RawServer, read_request, wait_until

TEXT = "Meet <b>at the bridge</b> at noon"


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    with Outside(tmp_path_factory.mktemp("outside")) as running:
        yield running


def message(to: str = "+12015550100", reference: str = "r-1", **values: object) -> dict[str, object]:
    given: dict[str, object] = {"reference": reference, "to": to, "text": TEXT, "sender": "smsqueue"}
    return given | {"encoding": "gsm-7", "segments": 1, "validity_seconds": 14_400} | values


def post(outside: Outside, to: str = "+12015550100", reference: str = "r-1") -> tuple[int, dict[str, object]]:
    status, body = outside.raw_call("POST", "/messages", message(to, reference))
    return status, json.loads(body)


def test_message_taken_is_logged_without_its_text(shared):
    _, answer = post(shared, "+12025550100", "logged")
    line = next(line for line in shared.log_lines() if line["reference"] == "logged")
    assert {"time", "reference", "attempt", "to", "segments", "fate", "again", "text_sha256"} <= line.keys()
    assert (line["id"], line["again"], line["attempt"]) == (answer["reference"], False, 1)
    assert line["text_sha256"] == hashlib.sha256(TEXT.encode()).hexdigest()
    assert TEXT not in shared.log.read_text()


def test_phone_shows_the_text_and_later_that_it_was_delivered(tmp_path):
    with Outside(tmp_path, report_delay_ms=300) as outside:
        post(outside)
        first = outside.texts("+12015550100")[0]
        wait_until(lambda: outside.texts("+12015550100")[0]["state"] == "delivered")
    assert (first["text"], first["state"], first["fate"]) == (TEXT, "sent", "normal")


@pytest.mark.parametrize(
    ("ends", "state"), [("91", "sent"), ("95", "undelivered"), ("96", "expired"), ("97", "sent"), ("98", "delivered")]
)
def test_fate_decides_what_the_phone_shows_in_the_end(tmp_path, ends, state):
    with Outside(tmp_path, report_delay_ms=0) as outside:
        with HangingCall(outside, f"+120155501{ends}"):
            wait_until(lambda: outside.texts())
        assert outside.texts()[0]["state"] == state


def test_fates_can_be_switched_off(tmp_path):
    with Outside(tmp_path, fates="off") as outside:
        assert post(outside, "+12015550180")[0] == 201


@pytest.mark.parametrize(
    ("setting", "status"),
    [({"down": True}, 503), ({"p_429": 1}, 429), ({"p_500": 1}, 500), ({"rate": 0.001}, 429)],
    ids=lambda value: str(value),
)
def test_troubles_are_switched_on_and_off_while_it_runs(tmp_path, setting, status):
    with Outside(tmp_path) as outside:
        outside.settings(**setting)
        answers = [post(outside, reference=f"r-{number}")[0] for number in range(2)]
        outside.settings(**dict.fromkeys(setting, 0))
        answers.append(post(outside, reference="r-3")[0])
        taken = [line["reference"] for line in outside.log_lines()]
        refused = [line["reference"] for line in outside.refused_lines()]
    assert (answers[1], answers[2]) == (status, 201)
    assert refused[-1] == "r-1"
    assert taken[-1] == "r-3"


@pytest.mark.parametrize(("setting", "taken"), [("p_lost_reply", 1), ("p_cut", 0)])
def test_answer_is_lost_after_or_before_the_message_is_taken(tmp_path, setting, taken):
    with Outside(tmp_path, **{setting: 1}) as outside:
        with pytest.raises(RemoteDisconnected):
            post(outside)
        assert len(outside.log_lines()) == taken


def test_same_seed_throws_the_same_dice(tmp_path):
    def answers(folder: Path) -> list[int]:
        folder.mkdir()
        with Outside(folder, seed=7, p_500=0.5) as outside:
            return [post(outside, reference=f"r-{number}")[0] for number in range(12)]

    first = answers(tmp_path / "first")
    assert first == answers(tmp_path / "second")
    assert set(first) == {201, 500}


def test_idempotent_gateway_answers_the_first_result_again(tmp_path):
    with Outside(tmp_path, idempotent="yes") as outside:
        first, again = post(outside), post(outside)
        lines = outside.log_lines()
        shown = len(outside.texts())
    assert first == again
    assert [(line["again"], line["attempt"]) for line in lines] == [(False, 1), (True, 2)]
    assert shown == 1


def test_without_idempotency_the_same_reference_is_taken_twice(tmp_path):
    with Outside(tmp_path) as outside:
        assert post(outside) != post(outside)
        assert [line["again"] for line in outside.log_lines()] == [False, False]


def test_look_up_tells_what_was_taken(tmp_path):
    with Outside(tmp_path, lookup="yes") as outside:
        _, answer = post(outside)
        found, missing = outside.call("GET", "/messages/r-1"), outside.call("GET", "/messages/r-2")
        outside.settings(lookup_lag_ms=60_000)
        lying = outside.call("GET", "/messages/r-1")
        outside.settings(lookup="off")
        status, _ = outside.raw_call("GET", "/messages/r-1")
    assert found == {"taken": True} | answer
    assert (missing, lying, status) == ({"taken": False}, {"taken": False}, 501)


def test_kill_is_no_amnesia(tmp_path):
    with Outside(tmp_path, idempotent="yes") as outside:
        first = post(outside)
        deferred = [post(outside, "+12015550189", f"twice-{number}")[0] for number in range(2)]
        outside.kill()
        with outside.log.open("a") as log:
            log.write('{"time": "torn by the ki')
        outside.start()
        again = post(outside)
        taken, _ = post(outside, "+12015550189", "twice-2")
        lines = outside.log_lines()
    assert again == first
    assert (deferred, taken) == ([503, 503], 201)
    assert [line["again"] for line in lines] == [False, True, False]


class HangingCall:
    """A call whose answer nobody waits for."""

    def __init__(self, outside: Outside, to: str) -> None:
        self.connection = HTTPConnection("127.0.0.1", outside.port, timeout=5)
        self.connection.request("POST", "/messages", body=json.dumps(message(to)))

    def __enter__(self) -> "HangingCall":
        return self

    def __exit__(self, *error: object) -> None:
        self.connection.close()


def test_stop_answers_open_calls_and_cuts_hanging_ones(tmp_path):
    with (
        Outside(tmp_path, latency_ms=60_000) as outside,
        HangingCall(outside, "+12015550191") as hanging,
        HangingCall(outside, "+12015550100") as slow,
    ):
        wait_until(lambda: len(outside.texts()) == 2)
        code = outside.stop()
        response = slow.connection.getresponse()
        status = response.status
        response.read()
        with pytest.raises((RemoteDisconnected, ConnectionResetError)):
            hanging.connection.getresponse()
    assert (code, status) == (0, 201)


def test_taken_port_is_named_and_another_can_be_chosen(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=rf"Port {port} of 127.0.0.1 is taken: choose another with --port"):
            main(["--port", str(port), "--log", str(tmp_path / "log")])


def test_file_that_is_no_log_is_refused(tmp_path):
    (tmp_path / "notes").write_text("Buy milk\n")
    with pytest.raises(SystemExit, match=r"Line 1 of .*notes is not a line of this log"):
        main(["--port", "0", "--smtp-port", "0", "--log", str(tmp_path / "notes")])


def test_wrong_setting_changes_nothing_while_it_runs(shared):
    before = shared.call("GET", "/settings")
    status, body = shared.raw_call("PUT", "/settings", {"latency_ms": 5, "p_500": 2})
    assert (status, json.loads(body)["error"]) == (400, "SIMULATED_P_500 (2) must be a probability from 0 to 1.")
    assert shared.call("GET", "/settings") == before


@pytest.mark.parametrize(
    "values",
    [
        [],
        "text",
        {},
        message(to="12015550100"),
        message(to="+1201555010O"),
        message(reference="a b"),
        message(text=" \n"),
        message(text="a\0b"),
        message(text=5),
        message(segments=0),
        message(segments=True),
        message(encoding="ascii"),
    ],
)
def test_message_that_is_none_is_refused(shared, values):
    status, body = shared.raw_call("POST", "/messages", values)
    assert (status, json.loads(body)["code"]) == (400, "bad_request")


def test_mail_is_kept_and_shown(shared):
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "us@example.org", "ann@example.org", "Campaign “Été” has ended"
    mail.set_content("All 2 were sent.\n")
    mail.add_alternative("<p>All <b>2</b> were sent.</p><script>alert(1)</script>", subtype="html")
    with smtplib.SMTP("127.0.0.1", shared.smtp_port, timeout=10) as smtp:
        smtp.send_message(mail)
    kept = shared.mails("ann@example.org")[0]
    assert (kept["subject"], kept["sender"], kept["to"]) == (mail["Subject"], "us@example.org", ["ann@example.org"])
    assert (kept["text"].strip(), "<b>2</b>" in kept["html"]) == ("All 2 were sent.", True)
    status, page = shared.raw_call("GET", "/")
    assert (status, b"All 2 were sent." in page, b"<script" in page) == (200, True, False)


def test_html_of_a_mail_is_shown_in_a_sandbox(shared):
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "us@example.org", "bob@example.org", "HTML"
    mail.set_content("<p>hello</p>", subtype="html")
    with smtplib.SMTP("127.0.0.1", shared.smtp_port, timeout=10) as smtp:
        smtp.send_message(mail)
    connection = HTTPConnection("127.0.0.1", shared.port, timeout=5)
    connection.request("GET", f"/mails/{shared.mails('bob@example.org')[0]['number']}.html")
    response = connection.getresponse()
    body = response.read()
    connection.close()
    assert body.strip() == b"<p>hello</p>"
    assert response.getheader("Content-Security-Policy", "").startswith("sandbox;")


def test_page_escapes_texts_and_can_stop_reloading(shared):
    post(shared, "+12035550100", "escaped")
    _, page = shared.raw_call("GET", "/")
    _, still = shared.raw_call("GET", "/?refresh=off")
    assert b"Meet &lt;b&gt;at the bridge" in page
    assert (b'http-equiv="refresh"' in page, b'http-equiv="refresh"' in still) == (True, False)


def test_reports_are_signed_and_repeated_until_they_are_heard(tmp_path):
    answers = iter([b"HTTP/1.1 500 Oops\r\n", *[b"HTTP/1.1 204 No Content\r\n"] * 9])
    lock = threading.Lock()
    heard: list[bytes] = []

    def listen(connection: socket.socket) -> None:
        request = read_request(connection)
        with lock:
            heard.append(request)
            connection.sendall(next(answers) + b"Connection: close\r\nContent-Length: 0\r\n\r\n")
        connection.close()

    with RawServer(listen, reads=False) as server:
        settings = {"callback_url": server.url, "callback_secret": "s3cret", "report_delay_ms": 0}
        with Outside(tmp_path, **settings) as outside:
            post(outside, "+12015550199")
            wait_until(lambda: len(heard) == 4)
    told = [json.loads(request.split(b"\r\n\r\n", 1)[1]) for request in heard]
    signature = hmac.new(b"s3cret", heard[0].split(b"\r\n\r\n", 1)[1], hashlib.sha256).hexdigest()
    assert [report.get("state") or report["text"] for report in told] == ["sent", "sent", "delivered", "STOP"]
    assert f"X-Simulator-Signature: sha256={signature}".encode() in heard[0]


def test_message_is_not_taken_when_the_log_cannot_be_written(tmp_path):
    with Outside(tmp_path) as outside:
        post(outside, reference="before")
        unlimited = resource.prlimit(outside.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(outside.pid, resource.RLIMIT_FSIZE, (outside.log.stat().st_size + 10, unlimited[1]))
        status, answer = post(outside, reference="full")
        resource.prlimit(outside.pid, resource.RLIMIT_FSIZE, unlimited)
        post(outside, reference="after")
        assert (status, answer) == (500, {"error": "the log cannot be written: File too large"})
        assert [line["reference"] for line in outside.log_lines()] == ["before", "after"]
        assert [text["reference"] for text in outside.texts()] == ["after", "before"]
