"""`flask sms gateway`: what the gateway can do, and what is wrong with it, without sending anything."""

import json
import socket
import ssl
from pathlib import Path

import pytest

from tests.contract.kinds import DECLARED, KINDS, Kind
from tests.integration.cli.conftest import runner_of
from tests.outside import RawServer

UNTRUSTED = Path(__file__).parents[2] / "unit" / "gateways" / "untrusted.pem"
NUMBER = "+44 7400 123456"
pytestmark = pytest.mark.databases("sqlite")


@pytest.fixture
def at(make_cli_app, tmp_path):
    """Run commands of an installation whose gateway is at an address: `at(kind, url)("show")`."""

    def at(kind: Kind, url: str, **environ: str):
        settings = kind.settings(tmp_path, url)
        given = kind.environ | {kind.url_setting: url, "SMS_GATEWAY": kind.name, **environ}
        if kind.name == "http":
            given |= {"HTTP_GATEWAY_FILE": str(settings.http_gateway_file), "HTTP_GATEWAY_PLAIN_HOSTS": "127.0.0.1"}
        run = runner_of(make_cli_app(**given))
        return lambda *words, code=0: run("gateway", *words, code=code)

    return at


@pytest.fixture(params=list(KINDS))
def kind(request) -> Kind:
    return KINDS[request.param]


def test_show_tells_the_traits(at, kind):
    run = at(kind, "http://127.0.0.1:9")
    shown = json.loads(run("show", "--json").stdout)
    assert (shown["gateway"], shown["is_fake"]) == (kind.name, kind.name == "simulated")
    assert f"safe 5xx                 {shown['safe_5xx']}" in run("show").stdout


def test_try_shows_the_request_and_sends_nothing(at, kind):
    with RawServer(lambda connection: None, reads=False) as server:
        said = at(kind, server.url)("try", "--to", NUMBER, "--text", "Grüße").stdout
        heard = server.requests
    assert said.splitlines()[0] == f"{kind.name}: the settings fit together."
    assert "127.0.0.1 (127.0.0.1), port" in said
    assert "without TLS: whoever is between can read texts and passwords." in said
    assert "Nothing was sent." in said
    assert heard == []
    for secret in (*kind.secrets, "7400123456", "7400 123456"):
        assert secret not in said
    assert "•456" in said


@pytest.mark.parametrize("place", ["json", "form"])
def test_secret_is_hidden_however_it_is_spelled(at, tmp_path, place):
    run = at(KINDS["http"], "http://127.0.0.1:9", HTTP_GATEWAY_SECRET_KEY='s3cret"\\k€y &+tail')
    with_password = f'[request.{place}]\npassword = "{{secret.KEY}}"'
    declared = DECLARED.replace("URL", "http://127.0.0.1:9").replace("meta = {", "# meta = {")
    (tmp_path / "gateway.toml").write_text(declared.replace("[request.json]", with_password))
    said = run("try", "--to", NUMBER, code=1).stdout
    assert "password" in said
    assert "s3cret" not in said
    assert "tail" not in said


def test_gateway_that_is_not_in_use_is_shown_and_tried_by_name(at, make_cli_app):
    run = at(KINDS["twilio"], "http://127.0.0.1:9", SMS_GATEWAY="log")
    assert "gateway                  twilio" in run("show", "twilio").stdout
    assert "gateway                  log" in run("show").stdout
    lacking = run("try", "kannel", "--to", NUMBER, code=1).stderr
    assert "KANNEL_URL (not set) is needed by --gateway=kannel" in lacking
    assert "pigeon is no gateway; there are simulated, log" in run("show", "pigeon", code=1).stderr


def test_try_with_the_log_gateway_calls_nobody(make_cli_app):
    assert "It calls nobody." in runner_of(make_cli_app())("gateway", "try", "--to", NUMBER).stdout


def test_closed_port_is_told(at, kind):
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    said = at(kind, f"http://127.0.0.1:{port}")("try", "--to", NUMBER, code=1).stderr
    assert f"127.0.0.1, port {port}, cannot be reached: Connection refused." in said


def test_certificate_that_is_not_trusted_is_told(at):
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(UNTRUSTED)
    with RawServer(lambda connection: tls.wrap_socket(connection, server_side=True).close(), reads=False) as server:
        said = at(KINDS["twilio"], f"https://127.0.0.1:{server.port}")("try", "--to", NUMBER, code=1).stderr
    assert "The certificate of 127.0.0.1 is not trusted: self-signed certificate." in said


def test_server_without_tls_is_told(at):
    with RawServer(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad\r\n\r\n"), reads=False) as server:
        said = at(KINDS["twilio"], f"https://127.0.0.1:{server.port}")("try", "--to", NUMBER, code=1).stderr
    assert "does not speak TLS: WRONG_VERSION_NUMBER." in said


def test_silent_server_is_told(at):
    def say_nothing(connection: socket.socket) -> None:
        connection.recv(1)

    with RawServer(say_nothing, reads=False) as server:
        url = f"https://127.0.0.1:{server.port}"
        said = at(KINDS["twilio"], url, SMS_CONNECT_TIMEOUT="0.3")("try", "--to", NUMBER, code=1).stderr
    assert "does not answer within SMS_CONNECT_TIMEOUT (0.3 s): is a firewall between?" in said


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("--to", "12"), "“12” "),
        (("--to", NUMBER, "--text", " "), "--text (1 segments) must have from 1 to SMS_MAX_SEGMENTS (10)"),
        (("--to", NUMBER, "--text", "a" * 1700), "--text (12 segments) must have from 1 to SMS_MAX_SEGMENTS (10)"),
    ],
)
def test_what_could_not_be_sent_is_told(at, words, problem):
    assert problem in at(KINDS["kannel"], "http://127.0.0.1:9")("try", *words, code=1).stderr


def test_gateways_own_limit_is_told(at):
    run = at(KINDS["twilio"], "http://127.0.0.1:9", SMS_MAX_SEGMENTS="30")
    said = run("try", "--to", NUMBER, "--text", "a" * 1601, code=1).stderr
    assert "This text would not be sent: Twilio takes at most 1,600 characters." in said


def test_a_gateway_is_paused_shown_and_resumed(make_cli_app):
    run = runner_of(make_cli_app())

    assert "Paused: nothing goes through log" in run("gateway", "pause", "log", "--reason", "they move").stdout
    shown = json.loads(run("gateway", "show", "log", "--json").stdout)
    assert (shown["state"], shown["why"].partition(": ")[2]) == ("paused", "they move")
    assert shown["since"].endswith("UTC")
    assert "log is used again" in run("gateway", "resume", "log").stdout
    assert json.loads(run("gateway", "show", "log", "--json").stdout)["state"] == "working"
    assert "nothing to resume" in run("gateway", "resume", "log").stdout


def test_only_a_gateway_that_is_set_up_can_be_paused(make_cli_app):
    refused = runner_of(make_cli_app())("gateway", "pause", "pigeon", code=1)
    assert "pigeon is not set up here; there are: log" in refused.stderr
