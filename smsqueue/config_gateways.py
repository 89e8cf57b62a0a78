"""The settings of the real gateways, and what each of them cannot do without."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from smsqueue import declaration
from smsqueue.core import environment, tokens
from smsqueue.core.environment import Problem, Reader, names, number, one_of, setting, text, url, yes_no

NEEDED = {
    "twilio": ("twilio_account_sid", "twilio_auth_token"),
    "vonage": ("vonage_api_key", "vonage_from"),
    "kannel": ("kannel_url", "kannel_username", "kannel_password", "kannel_from"),
    "http": ("http_gateway_file",),
}
KEY_INSTEAD = " (only the Messages API takes VONAGE_PRIVATE_KEY instead)"
SECRET_PREFIX = "HTTP_GATEWAY_SECRET_"  # noqa: S105 - the name of a variable
METHODS = ("sha256", "md5hash", "md5", "sha1", "sha512")
NUMBER = re.compile(r"\+?[0-9]{3,15}")
NAME = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 +_&-]{1,11}")


def _matching(pattern: str, verdict: str) -> Reader[str]:
    def read(typed: str) -> str:
        if typed and not re.fullmatch(pattern, typed):
            raise ValueError(typed)
        return typed

    return Reader(read, verdict)


def _sender(typed: str) -> str:
    if typed and not NUMBER.fullmatch(typed) and not NAME.fullmatch(typed):
        raise ValueError(typed)
    return typed


def _networks(typed: str) -> tuple[str, ...]:
    return tuple(str(ip_network(each.strip(), strict=False)) for each in typed.split(",") if each.strip())


def _any_path(typed: str) -> Path | None:
    return Path(typed).expanduser().absolute() if typed else None


def _any_url(typed: str) -> str:
    return url("http", "https").read(typed) if typed else ""


def _private_key(typed: str) -> str:
    pem = typed.replace("\\n", "\n")  # as one line, which is all that some files of settings can hold
    if not pem:
        return pem
    try:
        tokens.read_key(pem)
    except tokens.BadKey as error:
        raise environment.BadValue(f"it {error}") from error
    return pem


sender = Reader(_sender, "must be a number, a short code, or a name of at most 11 letters, digits and spaces")
address = Reader(_any_url, url("http", "https").verdict)
private_key = Reader(_private_key, "must be an RSA private key in PEM form")
networks = Reader(_networks, "must be addresses or networks with commas between")
rate = number(0.01, 100_000)


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """What the real gateways want to know."""

    callback_base_url: str = setting(
        "SMS_CALLBACK_BASE_URL", address, "", "public address that gateways report to", shown_default="none"
    )
    callback_secret: str = setting(
        "SMS_CALLBACK_SECRET", text, "", "key of the tokens in it", shown_default="none", secret=True
    )

    goodbye: str = setting("SMS_GOODBYE", text, "", "answer to a STOP", shown_default="none")

    twilio_account_sid: str = setting(
        "TWILIO_ACCOUNT_SID",
        _matching("AC[0-9a-f]{32}", "must be AC and 32 hexadecimal digits"),
        "",
        "account",
        shown_default="none",
    )
    twilio_auth_token: str = setting(
        "TWILIO_AUTH_TOKEN", text, "", "signs reports, and sends without an API key", shown_default="none", secret=True
    )
    twilio_auth_token_old: str = setting(
        "TWILIO_AUTH_TOKEN_OLD", text, "", "still accepted while it is changed", shown_default="none", secret=True
    )
    twilio_api_key_sid: str = setting(
        "TWILIO_API_KEY_SID",
        _matching("SK[0-9a-f]{32}", "must be SK and 32 hexadecimal digits"),
        "",
        "API key to send with",
        shown_default="none",
    )
    twilio_api_key_secret: str = setting(
        "TWILIO_API_KEY_SECRET", text, "", "and its secret", shown_default="none", secret=True
    )
    twilio_from: str = setting("TWILIO_FROM", sender, "", "sender", shown_default="none")
    twilio_messaging_service_sid: str = setting(
        "TWILIO_MESSAGING_SERVICE_SID",
        _matching("MG[0-9a-f]{32}", "must be MG and 32 hexadecimal digits"),
        "",
        "pool of senders",
        shown_default="none",
    )
    twilio_base_url: str = setting("TWILIO_BASE_URL", url("http", "https"), "https://api.twilio.com", "its API")
    twilio_max_per_second: float = setting("TWILIO_MAX_PER_SECOND", rate, "1", "segments that the sender takes")
    twilio_trust_empty_lookup: bool = setting("TWILIO_TRUST_EMPTY_LOOKUP", yes_no, "no", "not listed = not taken")

    vonage_api: str = setting("VONAGE_API", one_of("sms", "messages"), "sms", "which of its two APIs")
    vonage_api_key: str = setting("VONAGE_API_KEY", text, "", "account", shown_default="none")
    vonage_api_secret: str = setting("VONAGE_API_SECRET", text, "", "its secret", shown_default="none", secret=True)
    vonage_application_id: str = setting(
        "VONAGE_APPLICATION_ID",
        _matching("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "must be a UUID"),
        "",
        "application that signs in to the Messages API",
        shown_default="none",
    )
    vonage_private_key: str = setting(
        "VONAGE_PRIVATE_KEY", private_key, "", "and its RSA key", shown_default="none", secret=True
    )
    vonage_signature_secret: str = setting(
        "VONAGE_SIGNATURE_SECRET", text, "", "signs reports", shown_default="none", secret=True
    )
    vonage_signature_method: str = setting("VONAGE_SIGNATURE_METHOD", one_of(*METHODS), "sha256", "and how")
    vonage_from: str = setting("VONAGE_FROM", sender, "", "sender", shown_default="none")
    vonage_base_url: str = setting(
        "VONAGE_BASE_URL", address, "", "its API", shown_default="https://rest.nexmo.com or https://api.nexmo.com"
    )
    vonage_max_per_second: float = setting("VONAGE_MAX_PER_SECOND", rate, "25", "segments that it takes")
    vonage_reports_lookup: bool = setting("VONAGE_REPORTS_LOOKUP", yes_no, "no", "ask its paid Reports API")

    kannel_url: str = setting("KANNEL_URL", address, "", "its smsbox", shown_default="none")
    kannel_username: str = setting("KANNEL_USERNAME", text, "", "sendsms-user", shown_default="none")
    kannel_password: str = setting("KANNEL_PASSWORD", text, "", "password", shown_default="none", secret=True)
    kannel_from: str = setting("KANNEL_FROM", sender, "", "sender", shown_default="none")
    kannel_smsc: str = setting("KANNEL_SMSC", text, "", "SMSC to use", shown_default="none")
    kannel_method: str = setting("KANNEL_METHOD", one_of("post", "get"), "post", "how texts are handed over")
    kannel_plus: bool = setting("KANNEL_PLUS", yes_no, "yes", "numbers are written with +")
    kannel_callback_addresses: tuple[str, ...] = setting(
        "KANNEL_CALLBACK_ADDRESSES", networks, "", "who may report", shown_default="anybody with the token"
    )
    kannel_max_per_second: float = setting("KANNEL_MAX_PER_SECOND", rate, "100", "segments that its SMSC takes")

    http_gateway_file: Path | None = setting(
        "HTTP_GATEWAY_FILE",
        Reader(_any_path, "must be the path of a file"),
        "",
        "a gateway of your own, in TOML",
        shown_default="none",
    )
    http_gateway_plain_hosts: tuple[str, ...] = setting(
        "HTTP_GATEWAY_PLAIN_HOSTS", names, "", "hosts that may be called without TLS", shown_default="none"
    )
    http_gateway_secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The values of HTTP_GATEWAY_SECRET_…, by the rest of their names."""

    @property
    def gateway_secrets(self) -> tuple[str, ...]:
        """Every secret of a gateway that is set, for those who must hide them."""
        mine = [
            getattr(self, attribute)
            for attribute, option in environment.options(GatewaySettings).items()
            if option.secret
        ]
        return tuple(value for value in (*mine, *self.http_gateway_secrets.values()) if value)


def read_secrets(environ: Mapping[str, str]) -> tuple[dict[str, str], list[Problem]]:
    """Read HTTP_GATEWAY_SECRET_NAME, and from a file HTTP_GATEWAY_SECRET_NAME_FILE."""
    named = {name.removesuffix("_FILE") for name in environ if name.startswith(SECRET_PREFIX)}
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for name in sorted(named):
        try:
            if found := environment.read_secret(name, environ):
                values[name.removeprefix(SECRET_PREFIX)] = found
        except environment.BadSettings as error:
            problems += error.problems
    return values, problems


def missing(gateway: str, values: Any, chosen_by: str = "SMS_GATEWAY") -> Iterator[Problem]:
    """Name what a gateway cannot do without and is not set; `chosen_by` is the setting that brings it into use."""
    options = environment.options(GatewaySettings)
    for attribute in NEEDED.get(gateway, ()):
        if not getattr(values, attribute):
            yield Problem(options[attribute].name, "not set", f"is needed by {chosen_by}={gateway}")


def together(gateway: str, values: GatewaySettings, chosen_by: str = "SMS_GATEWAY") -> Iterator[Problem]:
    """Say what does not fit together for a gateway."""
    if gateway == "twilio" and not values.twilio_from and not values.twilio_messaging_service_sid:
        yield Problem("TWILIO_FROM", "not set", f"or TWILIO_MESSAGING_SERVICE_SID is needed by {chosen_by}=twilio")
    if gateway == "http" and values.http_gateway_file:
        yield from _declaration(values.http_gateway_file, values)
    if gateway == "vonage":
        yield from _vonage(values, chosen_by)
    if gateway == "kannel":
        yield from _kannel(values)


def _kannel(values: GatewaySettings) -> Iterator[Problem]:
    if "%" in values.callback_base_url:
        yield Problem("SMS_CALLBACK_BASE_URL", values.callback_base_url, "must not have % in it, which Kannel expands")
    for attribute, option in environment.options(GatewaySettings).items():
        found = getattr(values, attribute)
        if attribute in {"kannel_username", "kannel_password", "kannel_smsc"} and not found.isprintable():
            yield option.problem(ascii(found), "must be one line, of letters that can be seen")


def _vonage(values: GatewaySettings, chosen_by: str) -> Iterator[Problem]:
    signs_in_by_key = values.vonage_api == "messages" and values.vonage_private_key
    if not values.vonage_api_secret and (values.vonage_reports_lookup or not signs_in_by_key):
        yield Problem("VONAGE_API_SECRET", "not set", f"is needed by {chosen_by}=vonage{KEY_INSTEAD}")
    if not re.fullmatch(r"\+?[0-9]+|[A-Za-z0-9 ]*", values.vonage_from):
        yield Problem("VONAGE_FROM", values.vonage_from, "must be a number, or a name of letters, digits and spaces")
    if values.callback_base_url and not values.vonage_signature_secret:
        yield Problem("VONAGE_SIGNATURE_SECRET", "not set", "is needed to believe reports to SMS_CALLBACK_BASE_URL")


def keys_are_whole(values: GatewaySettings) -> Iterator[Problem]:
    """Say of which pair of settings only one is set."""
    if bool(values.twilio_api_key_sid) != bool(values.twilio_api_key_secret):
        found = values.twilio_api_key_sid or "not set"
        yield Problem("TWILIO_API_KEY_SID", found, "and TWILIO_API_KEY_SECRET go together: set both or none")
    if bool(values.vonage_application_id) != bool(values.vonage_private_key):
        found = values.vonage_application_id or "not set"
        yield Problem("VONAGE_APPLICATION_ID", found, "and VONAGE_PRIVATE_KEY go together: set both or none")


def is_ready(gateway: str, values: GatewaySettings) -> bool:
    """Say whether a gateway has all the settings that it needs, in use or not."""
    return gateway in NEEDED and not [*missing(gateway, values), *together(gateway, values)]


def sender_of(gateway: str, values: GatewaySettings, otherwise: str) -> str:
    """Give the sender that texts through a gateway come from."""
    own = {
        "twilio": values.twilio_from or values.twilio_messaging_service_sid,
        "vonage": values.vonage_from,
        "kannel": values.kannel_from,
    }
    return own.get(gateway) or otherwise


def _declaration(file: Path, values: GatewaySettings) -> Iterator[Problem]:
    try:
        declaration.read(file, values.http_gateway_secrets, values.http_gateway_plain_hosts)
    except declaration.BadDeclaration as error:
        for problem in error.problems:
            yield Problem("HTTP_GATEWAY_FILE", str(file), problem)


def callbacks_are_safe(values: GatewaySettings, *, is_production: bool) -> Iterator[Problem]:
    """Say what is wrong with the address that gateways report to."""
    base, secret = values.callback_base_url, values.callback_secret
    if base and len(secret) < 32:
        found = f"{len(secret)} characters" if secret else "not set"
        yield Problem(
            "SMS_CALLBACK_SECRET", found, "must have at least 32 characters where SMS_CALLBACK_BASE_URL is set"
        )
    if base and is_production and not base.startswith("https://"):
        yield Problem("SMS_CALLBACK_BASE_URL", base, "must start with https:// in production")
