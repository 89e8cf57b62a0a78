"""Settings of gateways: what is missing or wrong stops the start, and no secret is shown."""

import pytest

from smsqueue.config import Settings
from smsqueue.core.environment import BadSettings
from tests.contract.gateways import SECRET
from tests.contract.kinds import DECLARED, KANNEL, KINDS, TWILIO, VONAGE


@pytest.fixture
def complaints(tmp_path):
    def complaints(gateway: str, **environ: str) -> list[str]:
        with pytest.raises(BadSettings) as caught:
            Settings.from_env({"SMS_INSTANCE": str(tmp_path), "SMS_GATEWAY": gateway, **environ})
        return str(caught.value).splitlines()

    return complaints


@pytest.mark.parametrize(
    ("gateway", "environ", "missing"),
    [
        ("twilio", TWILIO, ("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_FROM")),
        ("vonage", VONAGE, ("VONAGE_API_KEY", "VONAGE_API_SECRET", "VONAGE_FROM")),
        ("kannel", KANNEL, ("KANNEL_USERNAME", "KANNEL_PASSWORD", "KANNEL_FROM")),
        ("http", {}, ("HTTP_GATEWAY_FILE",)),
    ],
)
def test_what_the_chosen_gateway_lacks_is_named(complaints, gateway, environ, missing):
    for name in missing:
        given = environ | {name: "", "KANNEL_URL": "http://127.0.0.1:1"}
        (problem,) = complaints(gateway, **given)
        assert problem.startswith(f"{name} (not set) ")
        assert f"needed by SMS_GATEWAY={gateway}" in problem


def test_another_gateways_settings_may_be_missing(tmp_path):
    settings = Settings.from_env({"SMS_INSTANCE": str(tmp_path), "TWILIO_FROM": "+12015550199"})
    assert settings.gateway == "simulated"


WRONG = [
    (
        "twilio",
        {**TWILIO, "TWILIO_ACCOUNT_SID": "AC12"},
        "TWILIO_ACCOUNT_SID (AC12) must be AC and 32 hexadecimal digits",
    ),
    ("twilio", {**TWILIO, "TWILIO_FROM": "Café du Nord 12"}, "TWILIO_FROM (Café du Nord 12) must be a number, a short"),
    ("twilio", {**TWILIO, "TWILIO_API_KEY_SID": "SK" + "1" * 32}, "and TWILIO_API_KEY_SECRET go together: set both or"),
    ("vonage", {**VONAGE, "VONAGE_FROM": "Cafe&Bar"}, "VONAGE_FROM (Cafe&Bar) must be a number, or a name of letters"),
    ("vonage", {**VONAGE, "VONAGE_API": "voice"}, "VONAGE_API (voice) must be sms or messages"),
    ("vonage", {**VONAGE, "VONAGE_SIGNATURE_SECRET": ""}, "VONAGE_SIGNATURE_SECRET (not set) is needed to believe"),
    (
        "simulated",
        {**TWILIO, "SMS_CALLBACK_SECRET": "short"},
        "SMS_CALLBACK_SECRET (5 characters) must have at least 32",
    ),
    ("simulated", {"KANNEL_CALLBACK_ADDRESSES": "10.0.0.0/33"}, "must be addresses or networks with commas between"),
    ("kannel", {**KANNEL, "KANNEL_PASSWORD": "one\ntwo"}, "KANNEL_PASSWORD (hidden) must be one line"),
    ("kannel", {**KANNEL, "KANNEL_USERNAME": "a\0nn"}, "must be one line, of letters that can be seen"),
    ("kannel", {**KANNEL, "KANNEL_SMSC": "main\udce9"}, "must be one line, of letters that can be seen"),
    ("simulated", {"KANNEL_URL": "kannel:13013"}, "must be an address that starts with http:// or https://"),
]


@pytest.mark.parametrize(("gateway", "environ", "problem"), WRONG)
def test_what_is_wrong_is_named_with_what_is_allowed(complaints, gateway, environ, problem):
    assert any(problem in line for line in complaints(gateway, **environ))


def test_reports_come_over_https_in_production(complaints):
    environ = {"SMS_ENV": "production", "SECRET_KEY": SECRET, "BASE_URL": "https://sms.example.org", **TWILIO}
    (problem,) = complaints("twilio", **environ | {"SMS_CALLBACK_BASE_URL": "http://sms.example.org"})
    assert problem == "SMS_CALLBACK_BASE_URL (http://sms.example.org) must start with https:// in production"


def test_secrets_come_from_files_too_and_are_never_shown(tmp_path, complaints):
    (tmp_path / "token").write_text("from-a-file\n")
    environ = TWILIO | {"TWILIO_AUTH_TOKEN": "", "TWILIO_AUTH_TOKEN_FILE": str(tmp_path / "token")}
    environ |= {"HTTP_GATEWAY_SECRET_KEY_FILE": str(tmp_path / "token"), "HTTP_GATEWAY_SECRET_OTHER": "typed"}
    settings = Settings.from_env({"SMS_INSTANCE": str(tmp_path), "SMS_GATEWAY": "twilio", **environ})
    assert settings.twilio_auth_token == "from-a-file"
    assert settings.http_gateway_secrets == {"KEY": "from-a-file", "OTHER": "typed"}
    assert set(settings.gateway_secrets) == {"from-a-file", "typed", SECRET}
    assert not [secret for secret in settings.gateway_secrets if secret in repr(settings)]
    both = complaints("twilio", **environ | {"HTTP_GATEWAY_SECRET_KEY": "typed"})
    assert both == [
        "HTTP_GATEWAY_SECRET_KEY (hidden) is set, and HTTP_GATEWAY_SECRET_KEY_FILE too: set only one of them"
    ]


def test_a_secret_that_was_left_blank_is_not_set(complaints, tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text(DECLARED.replace("URL", "https://sms.example.org"))
    environ = {"HTTP_GATEWAY_FILE": str(file), "HTTP_GATEWAY_SECRET_KEY": "typed", "HTTP_GATEWAY_SECRET_HOOK": " "}
    (problem,) = complaints("http", **environ)
    assert problem.endswith("report.secret needs HTTP_GATEWAY_SECRET_HOOK, which is not set")


@pytest.mark.parametrize("kind", KINDS.values(), ids=list(KINDS))
def test_every_gateway_is_built_from_its_settings(kind, tmp_path):
    adapter = kind.build(tmp_path, "http://127.0.0.1:9")
    adapter.close()
    assert (adapter.name, adapter.connect_seconds, adapter.read_seconds) == (kind.name, 1, 1)
