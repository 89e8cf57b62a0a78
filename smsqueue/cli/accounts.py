"""Commands about teams, people and credits."""

import secrets
import sys

import click
from flask.cli import with_appcontext
from flask_security import hash_password
from sqlalchemy.orm import Session

from smsqueue.cli.base import Commands, write
from smsqueue.cli.output import count
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain import accounts, campaigns, credits
from smsqueue.models import Team, User

SHORTEST_PASSWORD = 10
LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that is taken for another


class NoSuchTeam(SmsQueueError):
    """No team has this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"No team is named {name!r}; `flask sms user create` makes one along with its first person.")


class BadPassword(SmsQueueError):
    """The password given cannot be used."""


def random_password() -> str:
    """Make up a password that can be read out: 16 characters in groups of four, 79 bits."""
    return "-".join("".join(secrets.choice(LETTERS) for _ in range(4)) for _ in range(4))


def find_team(session: Session, name: str) -> Team:
    """Return the team of this name; raise NoSuchTeam."""
    team = accounts.find_team(session, name)
    if team is None:
        raise NoSuchTeam(name)
    return team


user = Commands("user", help="People.")
credit = Commands("credits", help="Credits.")
team = Commands("team", help="Teams.")


@user.command("create")
@click.argument("email")
@click.option("--team", "team_name", required=True, help="The person's team; made when there is none of this name.")
@click.option("--country", help="For a new team: two letters; numbers without a country code are read as there.")
@click.option(
    "--countries", help="For a new team: where it may send, as FR,DE, or * for everywhere.  [default: --country]"
)
@click.option("--operator", is_flag=True, help="May see the queue page and everything of this installation.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input, else make one up.")
@with_appcontext
def create_user(**given: str | bool | None) -> None:
    """Make an account for a person, and their team when it is new.

    Without --password-stdin a password is made up and printed, once.

    \b
    Example:  flask sms user create ann@example.org --team "Front office" --country GB

    Exit codes: 0 made, 1 refused (the address has an account, a password too short, ...), 2 wrong options.
    """
    email = str(given["email"])
    password = _read_password() if given["password_stdin"] else random_password()
    hashed = hash_password(password)

    def make(session: Session) -> User:
        owner = _team(session, str(given["team_name"]), given["country"], given["countries"])
        return accounts.create_user(
            session, email=email, password_hash=hashed, team=owner, operator=bool(given["operator"])
        )

    made = write(make)
    click.echo(f"{made.email} can sign in and belongs to the team {given['team_name']}.")
    if not given["password_stdin"]:
        click.echo(f"Password (shown only now): {password}")


@user.command("disable")
@click.argument("email")
@with_appcontext
def disable_user(email: str) -> None:
    """Let a person sign in no more; their running campaigns stop, and what was not sent is credited back.

    \b
    Example:  flask sms user disable ann@example.org

    Exit codes: 0 done, 1 nobody has this address.
    """
    write(lambda session: campaigns.set_active(session, accounts.find_user(session, email).id, False))
    click.echo(f"{email} cannot sign in any more, and nothing more of theirs is sent.")


@user.command("enable")
@click.argument("email")
@with_appcontext
def enable_user(email: str) -> None:
    """Let a disabled person sign in again; campaigns that were stopped stay so.

    \b
    Example:  flask sms user enable ann@example.org

    Exit codes: 0 done, 1 nobody has this address.
    """
    write(lambda session: campaigns.set_active(session, accounts.find_user(session, email).id, True))
    click.echo(f"{email} can sign in again.")


def _read_password() -> str:
    password = sys.stdin.readline().rstrip("\r\n")
    if len(password) < SHORTEST_PASSWORD:
        raise BadPassword(f"The password on standard input must have at least {SHORTEST_PASSWORD} characters.")
    return password


def _team(session: Session, name: str, country: str | bool | None, countries: str | bool | None) -> Team:
    found = accounts.find_team(session, name)
    if found is None:
        if not country:
            raise accounts.BadAccount(f"The team {name!r} is new: name its country, as in --country GB.")
        return accounts.create_team(session, name, str(country), str(countries) if countries else None)
    if country and accounts.normalise_country(str(country)) != found.country:
        raise accounts.BadAccount(f"The team {name!r} exists, in {found.country}: leave --country out.")
    if countries:
        raise accounts.BadAccount(f"The team {name!r} exists: `flask sms team countries` changes where it may send.")
    return found


@credit.command("grant")
@click.argument("team_name", metavar="TEAM")
@click.argument("amount", type=int)
@click.option("--reason", required=True, help="Stands in the ledger for good.")
@with_appcontext
def grant(team_name: str, amount: int, reason: str) -> None:
    """Add credits to a team's wallet.

    \b
    Example:  flask sms credits grant "Front office" 5000 --reason "invoice 2026-117"

    Exit codes: 0 granted, 1 refused (no such team, an amount below 1, ...), 2 wrong options.
    """

    def give(session: Session) -> int:
        owner = find_team(session, team_name)
        credits.grant(session, owner.id, amount, reason=reason)
        return credits.balance(session, owner.id)

    click.echo(f"{team_name} has {count(write(give), 'credit')} now.")


@team.command("countries")
@click.argument("team_name", metavar="TEAM")
@click.argument("countries")
@with_appcontext
def set_countries(team_name: str, countries: str) -> None:
    """Set where a team may send: ISO codes with commas between, or * for everywhere.

    Campaigns that run already are not touched.

    \b
    Example:  flask sms team countries "Front office" FR,DE,GB

    Exit codes: 0 set, 1 refused (no such team, an unknown code), 2 wrong options.
    """

    def change(session: Session) -> str:
        owner = find_team(session, team_name)
        owner.countries = accounts.normalise_countries(countries)
        return owner.countries

    changed = write(change)
    click.echo(f"{team_name} may send to {'every country' if changed == '*' else changed}.")
