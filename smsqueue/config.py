"""All settings: read once from the environment, typed, checked together, then frozen.

Each has a line in `docs/configuration.md`; `tests/architecture/test_docs.py` compares.
"""

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from smsqueue import config_gateways, config_routes
from smsqueue.config_gateways import GatewaySettings
from smsqueue.config_routes import RouteSettings
from smsqueue.core import environment, keys
from smsqueue.core.environment import (
    BadSettings,
    Problem,
    Reader,
    names,
    number,
    one_of,
    path,
    setting,
    text,
    url,
    whole,
    whole_list,
    yes_no,
)

__all__ = ["BadSettings", "Settings"]

DATABASES = ("sqlite", "postgres", "postgresql", "mysql", "mariadb")
DAY = 86_400


def _database_address(typed: str) -> str:
    scheme, separator, _ = typed.partition("://")
    if not separator or scheme.partition("+")[0] not in DATABASES:
        raise ValueError(typed)
    return typed


def _in_instance(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda values: str(values["instance"] / name)


database_address = Reader(_database_address, "must start with postgresql://, mysql://, mariadb:// or sqlite:///")


@dataclass(frozen=True, kw_only=True)
class Settings(GatewaySettings, RouteSettings):
    """What this installation wants; attributes carry their unit."""

    # where we are
    environment: str = setting(
        "SMS_ENV", one_of("production", "development"), "development", "production checks more before it starts"
    )
    instance: Path = setting("SMS_INSTANCE", path, "instance", "folder for the embedded database, logs and keys")
    database_url: str = setting(
        "DATABASE_URL",
        database_address,
        lambda values: f"sqlite:///{values['instance'] / 'smsqueue.db'}",
        "the database",
        shown_default="sqlite:///<SMS_INSTANCE>/smsqueue.db",
        secret=True,
    )
    secret_key: str = setting(
        "SECRET_KEY", text, "", "signs sessions and links", shown_default="development: made and kept", secret=True
    )

    # the web
    base_url: str = setting("BASE_URL", url("http", "https"), "http://127.0.0.1:8000", "the address that people type")
    trusted_hosts: tuple[str, ...] = setting(
        "TRUSTED_HOSTS", names, "", "host names that requests may carry", shown_default="production: our own"
    )
    proxy_hops: int = setting("SMS_PROXY_HOPS", whole(0, 10), "0", "reverse proxies in front that set X-Forwarded-*")

    # the queue
    queue_connection: str = setting(
        "QUEUE_CONNECTION", one_of("database", remark=" (redis: not yet)"), "database", "where jobs wait"
    )
    queue_failed_driver: str = setting(
        "QUEUE_FAILED_DRIVER", one_of("database"), "database", "where jobs that failed are kept"
    )
    tries: int = setting("SMS_TRIES", whole(1, 100), "3", "runs of a sending job without progress before it fails")
    backoff_seconds: tuple[int, ...] = setting(
        "SMS_BACKOFF", whole_list(0, DAY), "5", "wait before the next try; several with commas between"
    )
    single_timeout_seconds: int = setting("SMS_SINGLE_TIMEOUT", whole(1, DAY), "60", "longest run of a single SMS")
    bulk_timeout_seconds: int = setting("SMS_BULK_TIMEOUT", whole(1, DAY), "300", "longest run of a slice")
    lease_seconds: float = setting("SMS_LEASE", number(1, DAY), "60", "a worker silent for so long is taken for dead")
    heartbeat_seconds: float = setting("SMS_HEARTBEAT", number(0.1, 3600), "10", "time between signs of life")
    queue_max_wait_seconds: float = setting(
        "SMS_QUEUE_MAX_WAIT", number(0, DAY), "30", "a ready queue left out for so long is served once; 0 = never"
    )

    # sending
    allow_fake_gateway: bool = setting("SMS_ALLOW_FAKE_GATEWAY", yes_no, "no", "production may send nothing, really")
    simulated_url: str = setting(
        "SIMULATED_URL", url("http", "https"), "http://127.0.0.1:8025", "where `flask sms simulator` listens"
    )
    simulated_max_per_second: float = setting(
        "SIMULATED_MAX_PER_SECOND", number(0, 100_000), "0", "segments that are handed to it; 0 = any number"
    )
    simulated_lookup: bool = setting("SIMULATED_LOOKUP", yes_no, "off", "the simulator answers look-ups")
    simulated_idempotent: bool = setting("SIMULATED_IDEMPOTENT", yes_no, "off", "it takes each reference once")
    simulated_log: Path = setting(
        "SIMULATED_LOG",
        path,
        _in_instance("simulated.log"),
        "what the simulator has taken",
        shown_default="<SMS_INSTANCE>/simulated.log",
    )
    log_gateway_file: Path = setting(
        "LOG_GATEWAY_FILE",
        path,
        _in_instance("logs/gateway.log"),
        "what the log gateway has taken",
        shown_default="<SMS_INSTANCE>/logs/gateway.log",
    )
    log_gateway_text: bool = setting("LOG_GATEWAY_TEXT", yes_no, "no", "the log gateway writes texts too")
    connect_timeout_seconds: float = setting("SMS_CONNECT_TIMEOUT", number(0.1, 600), "5", "to reach the gateway")
    read_timeout_seconds: float = setting("SMS_READ_TIMEOUT", number(0.1, 600), "20", "for the gateway's answer")
    concurrency: int = setting("SMS_CONCURRENCY", whole(1, 1000), "16", "calls that one worker has open at once")
    concurrency_max: int = setting("SMS_CONCURRENCY_MAX", whole(1, 1000), "64", "the most that may be asked for")
    window: int = setting(
        "SMS_WINDOW",
        whole(0, 10_000),
        "0",
        "most texts of one worker whose outcome is not on disk yet",
        shown_default="twice the calls that are open at once",
    )
    sender_max_per_second: float = setting(
        "SMS_SENDER_MAX_PER_SECOND", number(0, 100_000), "0", "segments from one sender; 0 = any number"
    )
    slice_rows: int = setting("SMS_SLICE_ROWS", whole(1, 10_000), "500", "recipients of one job")
    slice_seconds: float = setting("SMS_SLICE_SECONDS", number(0.1, 3600), "10", "a slice's turn before others'")
    validity_seconds: int = setting("SMS_VALIDITY", whole(60, 7 * DAY), "14400", "what waits longer is not sent")
    unknown_wait_seconds: float = setting(
        "SMS_UNKNOWN_WAIT", number(1, 7 * DAY), "3600", "before a campaign's rule ends what stayed unknown"
    )
    grace_seconds: float = setting(
        "SMS_GRACE",
        number(0.1, 3600),
        lambda values: f"{values['connect_timeout_seconds'] + values['read_timeout_seconds'] + 5:g}",
        "time that workers get to finish when they are told to stop",
        shown_default="SMS_CONNECT_TIMEOUT + SMS_READ_TIMEOUT + 5",
    )
    sender: str = setting("SMS_SENDER", text, "smsqueue", "name or number that texts come from")
    max_segments: int = setting("SMS_MAX_SEGMENTS", whole(1, 255), "10", "longest text")
    credits_per_segment: int = setting("SMS_CREDITS_PER_SEGMENT", whole(1, 1_000_000), "1", "price of one segment")

    # mail
    mail_server: str = setting("MAIL_SERVER", text, "127.0.0.1", "SMTP server")
    mail_port: int = setting("MAIL_PORT", whole(1, 65_535), "25", "its port")
    mail_username: str = setting("MAIL_USERNAME", text, "", "name to sign in with", shown_default="none")
    mail_password: str = setting("MAIL_PASSWORD", text, "", "and its password", shown_default="none", secret=True)
    mail_use_tls: bool = setting("MAIL_USE_TLS", yes_no, "no", "STARTTLS after connecting")
    mail_use_ssl: bool = setting("MAIL_USE_SSL", yes_no, "no", "TLS from the start")
    mail_default_sender: str = setting("MAIL_DEFAULT_SENDER", text, "smsqueue@localhost", "sender of our mails")

    # logs
    log_format: str = setting("SMS_LOG_FORMAT", one_of("text", "json"), "text", "for people or for programs")
    log_file: Path = setting(
        "SMS_LOG_FILE",
        path,
        _in_instance("logs/sms.log"),
        "one line per event",
        shown_default="<SMS_INSTANCE>/logs/sms.log",
    )

    @property
    def is_production(self) -> bool:
        """Whether the strict rules hold."""
        return self.environment == "production"

    @property
    def gateways_ready(self) -> tuple[str, ...]:
        """Gateways in use, and those that could be: their settings are complete."""
        complete = (name for name in config_gateways.NEEDED if config_gateways.is_ready(name, self))
        return tuple(dict.fromkeys((*self.gateways_in_use, *complete)))

    def sender_of(self, gateway: str) -> str:
        """Give the sender that texts through a gateway come from."""
        return config_gateways.sender_of(gateway, self, self.sender)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read all settings, or raise BadSettings with everything that is wrong."""
        values, problems = environment.read_all(cls, environ)
        values["http_gateway_secrets"], wrong_secrets = config_gateways.read_secrets(environ)
        problems += wrong_secrets
        if values["environment"] == "production":
            hosts = [urlsplit(values[name]).hostname for name in ("base_url", "callback_base_url")]
            values["trusted_hosts"] = values["trusted_hosts"] or tuple(dict.fromkeys(filter(None, hosts)))
        problems += [*_unknown(environ), *_unset_in_production(values, environ)]
        wrong = {problem.name.removesuffix("_FILE") for problem in problems}
        together = [problem for rule in RULES for problem in rule(cls(**values))]
        # A rule that mentions a setting which could not be read speaks of a value that nobody chose.
        problems += [problem for problem in together if not any(name in str(problem) for name in wrong)]
        if problems:
            raise BadSettings(problems)
        values["secret_key"] = values["secret_key"] or keys.keep_secret(values["instance"] / "secret_key")
        return cls(**values)

    def make_folders(self) -> None:
        """Make the folders that the embedded database and the logs are written to."""
        self.instance.mkdir(mode=0o700, parents=True, exist_ok=True)  # the embedded database holds numbers and texts
        for folder in (self.log_file.parent, self.log_gateway_file.parent, self.simulated_log.parent):
            folder.mkdir(parents=True, exist_ok=True)


def _unknown(environ: Mapping[str, str]) -> Iterator[Problem]:
    known = [option.name for option in environment.options(Settings).values()]
    known += [f"{option.name}_FILE" for option in environment.options(Settings).values() if option.secret]
    for name in sorted(name for name in environ if name.startswith("SMS_") and name not in known):
        near = difflib.get_close_matches(name, known, n=1)
        advice = f"did you mean {near[0]}?" if near else "docs/configuration.md lists them all"
        yield Problem(name, environ[name], f"is not a setting; {advice}")


def _unset_in_production(values: Mapping[str, Any], environ: Mapping[str, str]) -> Iterator[Problem]:
    if values["environment"] == "production" and not environ.get("BASE_URL", "").strip():
        yield Problem("BASE_URL", "not set", "must be the address that people type, since mails link to it")


def _secret_is_strong(settings: Settings) -> Iterator[Problem]:
    if settings.is_production and keys.is_weak(settings.secret_key):
        found = f"{len(settings.secret_key)} characters" if settings.secret_key else "not set"
        verdict = f"must be at least {keys.LENGTH} random characters (`openssl rand -hex 32` makes some)"
        yield Problem("SECRET_KEY", found, verdict)


def _gateways_are_real(settings: Settings) -> Iterator[Problem]:
    if settings.is_production and not settings.allow_fake_gateway:
        yield from config_routes.are_real(settings)


def _gateways_are_set_up(settings: Settings) -> Iterator[Problem]:
    yield from config_routes.fit_together(settings)
    for name in settings.gateways_in_use:
        yield from config_gateways.missing(name, settings, config_routes.setting_of(name, settings))
        yield from config_gateways.together(name, settings, config_routes.setting_of(name, settings))
    yield from config_gateways.keys_are_whole(settings)
    yield from config_gateways.callbacks_are_safe(settings, is_production=settings.is_production)


def _lease_outlives_calls(settings: Settings) -> Iterator[Problem]:
    lease, beat = settings.lease_seconds, settings.heartbeat_seconds
    call = settings.connect_timeout_seconds + settings.read_timeout_seconds
    if lease < 3 * beat:
        yield Problem("SMS_LEASE", f"{lease:g}", f"must be at least 3 times SMS_HEARTBEAT ({beat:g})")
    if call + 2 * beat >= lease:
        limit = f"SMS_CONNECT_TIMEOUT + SMS_READ_TIMEOUT + 2 × SMS_HEARTBEAT ({call + 2 * beat:g})"
        yield Problem("SMS_LEASE", f"{lease:g}", f"must be more than {limit}")


def _jobs_outlive_calls(settings: Settings) -> Iterator[Problem]:
    call = settings.connect_timeout_seconds + settings.read_timeout_seconds
    limit = f"SMS_CONNECT_TIMEOUT + SMS_READ_TIMEOUT + 10 ({call + 10:g})"
    timeouts = {
        "SMS_SINGLE_TIMEOUT": settings.single_timeout_seconds,
        "SMS_BULK_TIMEOUT": settings.bulk_timeout_seconds,
    }
    for name, timeout in timeouts.items():
        if call + 10 >= timeout:
            yield Problem(name, f"{timeout}", f"must be more than {limit}")
    if settings.slice_seconds + call >= settings.bulk_timeout_seconds:
        found = f"{settings.slice_seconds:g}"
        yield Problem("SMS_SLICE_SECONDS", found, f"plus a call ({call:g}) must be less than SMS_BULK_TIMEOUT")


def _concurrency_is_allowed(settings: Settings) -> Iterator[Problem]:
    if settings.concurrency > settings.concurrency_max:
        limit = f"must be at most SMS_CONCURRENCY_MAX ({settings.concurrency_max})"
        yield Problem("SMS_CONCURRENCY", f"{settings.concurrency}", limit)


def _mail_makes_sense(settings: Settings) -> Iterator[Problem]:
    if settings.mail_use_tls and settings.mail_use_ssl:
        yield Problem("MAIL_USE_TLS", "yes", "and MAIL_USE_SSL (yes) exclude each other: set only one of them")
    if bool(settings.mail_username) != bool(settings.mail_password):
        found = settings.mail_username or "not set"
        yield Problem("MAIL_USERNAME", found, "and MAIL_PASSWORD go together: set both or none")


RULES = (
    _secret_is_strong,
    _gateways_are_real,
    _gateways_are_set_up,
    _lease_outlives_calls,
    _jobs_outlive_calls,
    _concurrency_is_allowed,
    _mail_makes_sense,
)
