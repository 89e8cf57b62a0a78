"""Settings: read once, typed, checked together, and every mistake said in one go."""

import stat
from pathlib import Path

import pytest

from smsqueue.config import Settings
from smsqueue.core.environment import BadSettings

SECRET = "q3vT8mYc0LrN5xWz7KdP1sHf9JbG4aUe"
PRODUCTION = {"SMS_ENV": "production", "SECRET_KEY": SECRET, "BASE_URL": "https://sms.example.org"}


@pytest.fixture
def read(tmp_path):
    def read(**environ: str) -> Settings:
        return Settings.from_env({"SMS_INSTANCE": str(tmp_path), **environ})

    return read


@pytest.fixture
def complaints(read):
    def complaints(**environ: str) -> list[str]:
        with pytest.raises(BadSettings) as caught:
            read(**environ)
        return str(caught.value).splitlines()

    return complaints


def test_defaults_are_the_decided_ones(read, tmp_path):
    settings = read()
    assert (settings.single_timeout_seconds, settings.bulk_timeout_seconds) == (60, 300)
    assert (settings.tries, settings.backoff_seconds) == (3, (5,))
    assert (settings.lease_seconds, settings.heartbeat_seconds) == (60, 10)
    assert (settings.concurrency, settings.concurrency_max, settings.window) == (16, 64, 0)
    assert (settings.slice_rows, settings.slice_seconds) == (500, 10)
    assert (settings.validity_seconds, settings.queue_max_wait_seconds) == (14_400, 30)
    assert settings.database_url == f"sqlite:///{tmp_path}/smsqueue.db"
    assert settings.log_file == tmp_path / "logs/sms.log"


def test_the_grace_follows_what_it_is_made_from(read):
    assert read(SMS_CONNECT_TIMEOUT="1", SMS_READ_TIMEOUT="3").grace_seconds == 9


def test_an_empty_variable_counts_as_unset(read):
    assert read(SMS_TRIES=" ").tries == 3


def test_several_back_offs_are_read_in_order(read):
    assert read(SMS_BACKOFF="5, 30,60").backoff_seconds == (5, 30, 60)


@pytest.mark.parametrize(
    ("name", "found", "allowed"),
    [
        ("SMS_TRIES", "three", "must be a whole number from 1 to 100"),
        ("SMS_TRIES", "0", "must be a whole number from 1 to 100"),
        ("SMS_LEASE", "nan", "must be a number from 1 to 86400"),
        ("SMS_BACKOFF", "5,x", "must be whole numbers from 0 to 86400, with commas between"),
        ("SMS_ENV", "prod", "must be production or development"),
        ("SMS_GATEWAY", "carrier pigeon", "must be simulated or log or twilio or vonage or kannel or http"),
        ("SMS_ALLOW_FAKE_GATEWAY", "maybe", "must be yes or no"),
        ("BASE_URL", "sms.example.org", "must be an address that starts with http:// or https:// and names a host"),
        ("QUEUE_CONNECTION", "redis", "must be database (redis: not yet)"),
        ("QUEUE_FAILED_DRIVER", "null", "must be database"),
        ("SMS_LOG_FORMAT", "xml", "must be text or json"),
    ],
)
def test_a_wrong_value_is_named_with_what_was_found_and_what_is_allowed(complaints, name, found, allowed):
    assert complaints(**{name: found}) == [f"{name} ({found}) {allowed}"]


def test_all_mistakes_are_said_at_once(complaints):
    said = complaints(SMS_TRIES="x", MAIL_PORT="0", SMS_CONCURRENCY="65")
    assert [line.split()[0] for line in said] == ["SMS_TRIES", "MAIL_PORT", "SMS_CONCURRENCY"]


def test_a_rule_is_silent_about_a_setting_that_could_not_be_read(complaints):
    assert complaints(SMS_HEARTBEAT="soon", SMS_LEASE="20", SMS_READ_TIMEOUT="5") == [
        "SMS_HEARTBEAT (soon) must be a number from 0.1 to 3600"
    ]


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        (
            {"SMS_LEASE": "29", "SMS_HEARTBEAT": "10", "SMS_READ_TIMEOUT": "1"},
            "SMS_LEASE (29) must be at least 3 times SMS_HEARTBEAT (10)",
        ),
        (
            {"SMS_LEASE": "45"},
            "SMS_LEASE (45) must be more than SMS_CONNECT_TIMEOUT + SMS_READ_TIMEOUT + 2 × SMS_HEARTBEAT (45)",
        ),
        (
            {"SMS_SINGLE_TIMEOUT": "35"},
            "SMS_SINGLE_TIMEOUT (35) must be more than SMS_CONNECT_TIMEOUT + SMS_READ_TIMEOUT + 10 (35)",
        ),
        (
            {"SMS_BULK_TIMEOUT": "300", "SMS_SLICE_SECONDS": "275"},
            "SMS_SLICE_SECONDS (275) plus a call (25) must be less than SMS_BULK_TIMEOUT",
        ),
        ({"SMS_CONCURRENCY": "65"}, "SMS_CONCURRENCY (65) must be at most SMS_CONCURRENCY_MAX (64)"),
        (
            {"MAIL_USE_TLS": "yes", "MAIL_USE_SSL": "yes"},
            "MAIL_USE_TLS (yes) and MAIL_USE_SSL (yes) exclude each other: set only one of them",
        ),
        ({"MAIL_USERNAME": "post"}, "MAIL_USERNAME (post) and MAIL_PASSWORD go together: set both or none"),
    ],
)
def test_settings_that_do_not_fit_together_stop_the_start(complaints, environ, said):
    assert complaints(**environ) == [said]


def test_a_misspelt_setting_is_refused_with_the_right_name(complaints):
    assert complaints(SMS_LAESE="60") == ["SMS_LAESE (60) is not a setting; did you mean SMS_LEASE?"]


def test_a_secret_may_come_from_a_file(read, tmp_path):
    file = tmp_path / "key"
    file.write_text(f"{SECRET}\n")
    assert read(SECRET_KEY_FILE=str(file)).secret_key == SECRET


def test_a_secret_given_twice_is_refused_and_not_shown(complaints, tmp_path):
    file = tmp_path / "key"
    file.write_text(SECRET)
    said = complaints(SECRET_KEY=SECRET, SECRET_KEY_FILE=str(file))
    assert said == ["SECRET_KEY (hidden) is set, and SECRET_KEY_FILE too: set only one of them"]


def test_a_secret_file_that_is_missing_is_named(complaints, tmp_path):
    (said,) = complaints(MAIL_PASSWORD_FILE=str(tmp_path / "none"), MAIL_USERNAME="post")
    assert said.startswith(f"MAIL_PASSWORD_FILE ({tmp_path}/none) must be a file that can be read")


def test_a_wrong_database_address_is_not_shown_since_it_may_hold_a_password(complaints):
    assert complaints(DATABASE_URL="oracle://me:secret@host/db") == [
        "DATABASE_URL (hidden) must start with postgresql://, mysql://, mariadb:// or sqlite:///"
    ]


def test_secrets_do_not_show_when_settings_are_printed(read):
    shown = repr(read(SECRET_KEY=SECRET, DATABASE_URL="postgresql://me:hush@host/db"))
    assert SECRET not in shown
    assert "hush" not in shown


def test_production_starts_with_a_strong_secret_and_a_fake_gateway_that_was_allowed(read):
    settings = read(**PRODUCTION, SMS_ALLOW_FAKE_GATEWAY="yes")
    assert settings.is_production
    assert settings.trusted_hosts == ("sms.example.org",)


def test_production_answers_to_the_name_that_gateways_call_too(read):
    callbacks = {"SMS_CALLBACK_BASE_URL": "https://hooks.example.org", "SMS_CALLBACK_SECRET": SECRET}
    settings = read(**PRODUCTION, SMS_ALLOW_FAKE_GATEWAY="yes", **callbacks)
    assert settings.trusted_hosts == ("sms.example.org", "hooks.example.org")


@pytest.mark.parametrize("weak", ["", "dev", "a" * 64, "change-me-please-0123456789-0123456789"])
def test_production_refuses_a_missing_short_or_default_secret(complaints, weak):
    environ = {**PRODUCTION, "SECRET_KEY": weak, "SMS_ALLOW_FAKE_GATEWAY": "yes"}
    (said,) = complaints(**environ)
    assert said.startswith("SECRET_KEY (")
    assert "must be at least 32 random characters" in said


def test_production_refuses_a_gateway_that_sends_nothing(complaints):
    assert complaints(**PRODUCTION) == [
        "SMS_GATEWAY (simulated) sends nothing; production needs SMS_ALLOW_FAKE_GATEWAY=yes for it"
    ]


def test_production_needs_the_address_that_mails_link_to(complaints):
    environ = {**PRODUCTION, "SMS_ALLOW_FAKE_GATEWAY": "yes", "BASE_URL": ""}
    assert complaints(**environ) == ["BASE_URL (not set) must be the address that people type, since mails link to it"]


def test_development_makes_a_secret_once_and_keeps_it_to_itself(read, tmp_path: Path):
    first, second = read().secret_key, read().secret_key
    file = tmp_path / "secret_key"
    assert first == second == file.read_text()
    assert len(first) >= 32
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_relative_instance_is_made_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert Settings.from_env({"SMS_INSTANCE": "here"}).instance == tmp_path / "here"
