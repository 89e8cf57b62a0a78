"""Teams and people: creating, finding, disabling, and slowing down who guesses passwords."""

import re
import secrets
from datetime import timedelta

import phonenumbers
import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core import zones
from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain import credits
from smsqueue.models import Team, User

FREE_TRIES = 5
LONGEST_DELAY = timedelta(minutes=15)
_EMAIL = re.compile(r"[^@\s,;<>]+@[^@\s,;<>]+\.[^@\s,;<>]+|[^@\s,;<>]+@localhost")


class BadAccount(SmsQueueError):
    """A team or a person cannot be made like this."""


class UnknownUser(SmsQueueError):
    """Nobody has this e-mail address."""


def normalise_email(email: str) -> str:
    """Return the address in the one form in which it is stored; raise BadAccount when it is none."""
    email = email.strip().lower()
    if not _EMAIL.fullmatch(email) or len(email) > 255:
        raise BadAccount(f"{email!r} is not an e-mail address.")
    return email


def normalise_country(code: str) -> str:
    """Return an ISO 3166 code in capitals; raise BadAccount for one that has no telephone numbers."""
    code = code.strip().upper()
    if code not in phonenumbers.SUPPORTED_REGIONS:
        raise BadAccount(f"{code!r} is not a country code: give two letters, as in GB, US or FR.")
    return code


def normalise_countries(codes: str) -> str:
    """Return where a team may send in its stored form: `*`, or codes parted by commas."""
    if codes.strip() == "*":
        return "*"
    return ",".join(sorted({normalise_country(code) for code in codes.split(",")}))


def create_team(session: Session, name: str, country: str, countries: str | None = None) -> Team:
    """Create a team with an empty wallet; it may text its own country, or `countries`."""
    name, country = name.strip(), normalise_country(country)
    if not name or len(name) > 100:
        raise BadAccount("A team needs a name of at most 100 characters.")
    if find_team(session, name):
        raise BadAccount(f"There is a team named {name!r} already.")
    clocks = zones.zones_of(country)
    zone = clocks[0].key if len(clocks) == 1 else "UTC"  # a person of a wide country has to say where the office is
    allowed = normalise_countries(countries or country)
    team = Team(name=name, country=country, countries=allowed, time_zone=zone)
    session.add(team)
    session.flush()  # the wallet is named after the team's id
    credits.open_common_accounts(session)
    credits.open_account(session, credits.wallet(team.id), cached=True)
    return team


def find_team(session: Session, name: str) -> Team | None:
    """Return the team of this name."""
    return session.scalars(sa.select(Team).where(Team.name == name.strip())).first()


def create_user(session: Session, *, email: str, password_hash: str, team: Team, operator: bool = False) -> User:
    """Create a person in a team."""
    email = normalise_email(email)
    if session.scalar(sa.select(User.id).where(User.email == email)):
        raise BadAccount(f"{email} has an account already.")
    user = User(
        team_id=team.id, email=email, password=password_hash, operator=operator, fs_uniquifier=secrets.token_hex(32)
    )
    session.add(user)
    session.flush()  # callers want the id
    return user


def find_user(session: Session, email: str) -> User:
    """Return the person with this address; raise UnknownUser."""
    user = session.scalars(sa.select(User).where(User.email == email.strip().lower())).first()
    if user is None:
        raise UnknownUser(f"Nobody has the address {email}; `flask sms user create` makes an account.")
    return user


def login_delay(user: User) -> int:
    """Return how many seconds must pass before the next try to sign in counts."""
    if user.locked_until is None:
        return 0
    return max(0, round((user.locked_until - now()).total_seconds()))


def note_failed_login(session: Session, email: str) -> None:
    """Count a wrong password; from the sixth on each doubles the wait, up to a quarter of an hour."""
    statement = sa.select(User).where(User.email == email.strip().lower()).with_for_update()
    user = session.scalars(statement.execution_options(populate_existing=True)).first()
    if user is None:
        return
    user.failed_logins += 1
    over = user.failed_logins - FREE_TRIES
    if over > 0:
        user.locked_until = now() + min(LONGEST_DELAY, timedelta(seconds=2 ** min(over, 12)))


def note_login(session: Session, user_id: int) -> None:
    """Forget the wrong passwords before a right one."""
    session.execute(sa.update(User).where(User.id == user_id).values(failed_logins=0, locked_until=None))
