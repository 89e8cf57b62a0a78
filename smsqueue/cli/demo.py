"""`make run`: everything at once on this machine, for trying it out."""

import os
import secrets
import socket
from contextlib import closing
from pathlib import Path

import click
from flask.cli import with_appcontext
from flask_migrate import upgrade
from flask_security import hash_password
from sqlalchemy.orm import Session

from smsqueue.cli.accounts import random_password
from smsqueue.cli.base import settings, write
from smsqueue.cli.crew import HOST, Crew, Ports
from smsqueue.core import keys
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain import accounts, credits
from smsqueue.domain.accounts import UnknownUser

EMAIL, TEAM, COUNTRY, CREDITS = "demo@example.org", "Demo", "US", 20_000


class PortTaken(SmsQueueError):
    """Something else listens where we want to."""

    def __init__(self, port: int, wanted: int) -> None:
        super().__init__(f"Port {port} of {HOST} is taken. Choose others: make run PORT={wanted + 10}")


class NotForProduction(SmsQueueError):
    """The demo makes a login that is written on the screen."""


@click.command("demo")
@click.option(
    "--port", type=click.IntRange(1, 65533), default=8000, show_default=True, help="The pages; the next two, too."
)
@with_appcontext
def demo(port: int) -> None:
    """Start web server, worker and a simulated outside world, with a demo team and login. `make run` calls this.

    Uses the ports PORT (pages), PORT + 1 (the outside world: gateway and phones) and PORT + 2 (its mailbox), all of
    this machine only. Started again, it has the same data and the same login, which stands in instance/demo.txt.

    \b
    Example:  flask sms demo --port 8010

    Exit codes: 0 ended by Ctrl-C or TERM, 1 a port is taken or a part ended by itself, 2 wrong options.
    """
    if settings().is_production:
        raise NotForProduction("SMS_ENV is production, and `flask sms demo` is for trying out: unset it.")
    ports = Ports(port, port + 1, port + 2)
    for each in ports:
        if not _is_free(each):
            raise PortTaken(each, port)
    upgrade()
    password = make_login(settings().instance / "demo.txt")
    secret = settings().callback_secret or keys.keep_secret(settings().instance / "callback_secret")
    crew = Crew(ports, settings().simulated_log, dict(os.environ), secret=secret)
    code = crew.run(f"E-mail {EMAIL}\nPassword {password}")
    if code:
        raise SmsQueueError(f"{crew.first_to_end} ended by itself (exit code {code}); its last lines above say why.")


def make_login(file: Path) -> str:
    """Make the demo's team and person where they are missing, and return the password, kept in `file`."""
    is_new = not file.exists()
    if is_new:
        _keep(file, random_password())
    password = file.read_text(encoding="utf-8").splitlines()[1].partition(" ")[2]
    hashed = hash_password(password)

    def make(session: Session) -> None:
        try:
            person = accounts.find_user(session, EMAIL)
            person.password = hashed if is_new else person.password
        except UnknownUser:
            _make(session, hashed)

    write(make)
    return password


def _make(session: Session, hashed: str) -> None:
    team = accounts.find_team(session, TEAM)
    if team is None:
        team = accounts.create_team(session, TEAM, COUNTRY, "*")
        credits.grant(session, team.id, CREDITS, reason="to try it out")
    accounts.create_user(session, email=EMAIL, password_hash=hashed, team=team, operator=True)


def _keep(file: Path, password: str) -> None:
    """Write the login where only this person can read it: whole, or not at all."""
    draft = file.with_name(f"{file.name}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
        out.write(f"E-mail {EMAIL}\nPassword {password}\n")
    draft.rename(file)


def _is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
