"""Commands that show and examine gateways. Neither sends anything: real sending is `flask sms send`."""

import json
import re
import socket
import ssl
from dataclasses import asdict
from ipaddress import ip_address
from urllib.parse import quote, quote_plus, urlsplit

import click
from flask.cli import with_appcontext

from smsqueue import config_gateways
from smsqueue.cli import gateway_pausing
from smsqueue.cli.base import read, settings
from smsqueue.cli.output import show_json
from smsqueue.config import Settings
from smsqueue.core import phones, segments
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain.gateway_lines import GatewayLine, lines
from smsqueue.gateways import GATEWAYS, build
from smsqueue.gateways.adapter import HttpAdapter
from smsqueue.gateways.base import Adapter, Outgoing, Rejected
from smsqueue.gateways.callbacks import INBOUND, Address
from smsqueue.gateways.connections import trusted_tls
from smsqueue.gateways.http import Request
from smsqueue.observe.redaction import escape, scrub

TEXT = "Test of smsqueue"
BY_NAME = "--gateway"
HIDDEN = "•••"
REFERENCE = "1-1-00000000"
CREDENTIALS = re.compile(r"(?i)^(basic|bearer) .+")
UNSIGNED = ("kannel", "http")
"""They may not sign what they say: then the address itself is the secret."""
YES = {True: "yes", False: "no", None: "no limit"}


class CannotSend(SmsQueueError):
    """Something about the gateway is wrong, so that no text could leave."""


@click.group("gateway")
def gateway() -> None:
    """Show and examine gateways; docs/gateways.md has more."""


@gateway.command("show")
@click.argument("name", default="")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def show(name: str, as_json: bool) -> None:
    """Show how a gateway is at this moment, and what it can and cannot do; without NAME the usual one.

    \b
    Example:  flask sms gateway show twilio

    Exit codes: 0 shown, 1 it cannot be used as it is set up, 2 wrong options.
    """
    chosen = built(settings(), name)
    (line,) = read(lambda session: [each for each in lines(session, [chosen.name]) if each.name == chosen.name])
    facts = {"gateway": chosen.name, "state": line.state, **_state(line), **asdict(chosen.traits)}
    facts |= _address(chosen)
    chosen.close()
    if as_json:
        show_json(facts)
        return
    for name, value in facts.items():
        shown = YES[value] if isinstance(value, bool) or value is None else value
        click.echo(f"{name.removeprefix('is_').removeprefix('has_').replace('_', ' '):24} {shown}")


def _address(adapter: Adapter) -> dict[str, object]:
    """Say where texts that come in are to be sent to, which the operator tells the gateway."""
    address = Address.of(settings(), adapter.name)
    if address is None or not adapter.traits.has_inbound:
        return {}
    is_signed = adapter.name not in UNSIGNED
    return {"inbound_address": address.url(INBOUND) if is_signed else address.url_with_token(INBOUND)}


def _state(line: GatewayLine) -> dict[str, object]:
    """Say since when and why, where there is something to say."""
    said = {"since": line.since and f"{line.since:%Y-%m-%d %H:%M:%S} UTC", "why": line.why}
    rate = line.lowered_to and round(line.lowered_to, 2)
    return {name: value for name, value in {**said, "lowered_to_per_second": rate}.items() if value}


gateway.add_command(gateway_pausing.pause)
gateway.add_command(gateway_pausing.resume)


@gateway.command("try")
@click.argument("name", default="")
@click.option("--to", "number", required=True, help="The number, with + and country code.")
@click.option("--text", default=TEXT, show_default=True, help="What would be sent.")
@with_appcontext
def try_it(name: str, number: str, text: str) -> None:
    """Examine settings, name, port and certificate of a gateway, and show the request of a text. Nothing is sent.

    Secrets are hidden, and the number but for its last three digits. To send a real text, which then stands in the
    journal like all others, use `flask sms send`; to prove the way back, too, `flask sms drill --gateway`.

    \b
    Example:  flask sms gateway try --to "+44 7400 123456"

    Exit codes: 0 nothing is wrong, 1 something is, and it is said what, 2 wrong options.
    """
    chosen = settings()
    adapter = built(chosen, name)
    try:
        outgoing = _outgoing(chosen, adapter.name, number, text)
        _examine(adapter, outgoing, chosen)
    finally:
        adapter.close()
    click.echo("Nothing was sent. A real text: flask sms send --user E-MAIL --to NUMBER --text TEXT")


def built(chosen: Settings, name: str) -> Adapter:
    """Build a gateway, in use or not; say what it lacks."""
    if name and name not in GATEWAYS:
        raise CannotSend(f"{name} is no gateway; there are {', '.join(GATEWAYS)}")
    lacks = [*config_gateways.missing(name, chosen, BY_NAME), *config_gateways.together(name, chosen, BY_NAME)]
    if lacks:
        raise CannotSend("\n".join(str(problem) for problem in lacks))
    return build(chosen, name)


def _outgoing(chosen: Settings, gateway_name: str, number: str, text: str) -> Outgoing:
    to = phones.parse(number, "").e164
    size = segments.measure(text)
    if not 0 < size.segments <= chosen.max_segments or not text.strip():
        raise CannotSend(
            f"--text ({size.segments} segments) must have from 1 to SMS_MAX_SEGMENTS ({chosen.max_segments})"
        )
    body = segments.clean(text)
    return Outgoing(
        REFERENCE, to, body, size.encoding, size.segments, chosen.sender_of(gateway_name), chosen.validity_seconds
    )


def _examine(adapter: Adapter, outgoing: Outgoing, chosen: Settings) -> None:
    click.echo(f"{adapter.name}: the settings fit together.")
    if not isinstance(adapter, HttpAdapter):
        click.echo("It calls nobody.")
        return
    request = adapter.request(outgoing)
    if isinstance(request, Rejected):
        raise CannotSend(f"This text would not be sent: {request.reason}")
    for line in _shown(request, outgoing, chosen):
        click.echo(line)
    click.echo(_reach(request.url, chosen))


def _shown(request: Request, outgoing: Outgoing, chosen: Settings) -> list[str]:
    """Write the request as it would be sent, without what nobody should see."""
    headers = {name: CREDENTIALS.sub(rf"\1 {HIDDEN}", value) for name, value in request.headers.items()}
    body = (request.body or b"").decode("utf-8", "replace")
    lines = [f"{request.method} {request.url}", *(f"{name}: {value}" for name, value in headers.items())]
    return [_hidden(line, outgoing, chosen) for line in (*lines, *(["", body] if body else []))]


def _hidden(line: str, outgoing: Outgoing, chosen: Settings) -> str:
    for secret in sorted(chosen.gateway_secrets, key=len, reverse=True):
        for written in {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]}:
            line = line.replace(written, HIDDEN)
    digits = outgoing.to.removeprefix("+")
    return scrub(escape(line.replace(digits, "•" * (len(digits) - 3) + digits[-3:])))


def _reach(url: str, chosen: Settings) -> str:
    """Connect as a text would, and hang up."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    try:
        with socket.create_connection((host, port), timeout=chosen.connect_timeout_seconds) as connection:
            found = f"{host} ({ip_address(connection.getpeername()[0])}), port {port}, answers"
            if parts.scheme != "https":
                return f"{found}, without TLS: whoever is between can read texts and passwords."
            with trusted_tls().wrap_socket(connection, server_hostname=host) as secure:
                return f"{found} with {secure.version()} and a certificate that is trusted."
    except socket.gaierror as error:
        raise CannotSend(f"{host} is no host that can be found: is the address right, and is there a DNS?") from error
    except ssl.SSLCertVerificationError as error:
        raise CannotSend(f"The certificate of {host} is not trusted: {error.verify_message}.") from error
    except TimeoutError as error:
        limit = f"SMS_CONNECT_TIMEOUT ({chosen.connect_timeout_seconds:g} s)"
        raise CannotSend(f"{host}, port {port}, does not answer within {limit}: is a firewall between?") from error
    except ssl.SSLError as error:
        raise CannotSend(f"{host}, port {port}, does not speak TLS: {error.reason}.") from error
    except OSError as error:
        raise CannotSend(f"{host}, port {port}, cannot be reached: {error.strerror}.") from error
