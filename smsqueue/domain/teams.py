"""A team's rules: read as an operator types them, and told as people read them."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core import phones, zones
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain import accounts, meanings, options, routing
from smsqueue.models import Team

MOST = 10_000_000
MOST_SLICES = 1000
MOST_COPIES = 1000
LONGEST_WORDS = 200


class BadRule(SmsQueueError):
    """A rule that a team cannot have."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule in words; `name` is the option of `flask sms team set` that changes it."""

    name: str
    title: str
    value: str
    meaning: str


def change(session: Session, name: str, typed: Mapping[str, str | int], ready: Collection[str]) -> Team:
    """Set rules of the team of this name, each under its column's name; `ready` are the gateways that are set up.

    Raises BadRule (or what the reader of a rule raises) and changes nothing then.
    """
    values = {key: READERS[key](str(value), ready) for key, value in typed.items()}
    mine = sa.select(Team).where(Team.name == name.strip()).with_for_update()
    team = session.scalars(mine.execution_options(populate_existing=True)).first()
    if team is None:
        raise BadRule(f"No team is named {name!r}.")
    for key, value in values.items():
        setattr(team, key, value)
    return team


def told(team: Team) -> list[Rule]:
    """Say in words by which rules a team sends."""
    allowed = team.allowed_countries
    where = "every country" if allowed is None else ", ".join(sorted(map(phones.country_name, allowed)))
    ten, typed, cap = f"{team.first_ten_above:,}", f"{team.type_count_above:,}", f"{team.daily_cap:,}"
    usual = ", ".join(["STOP", *meanings.words_of_country(team.country)])
    copies, slices = team.copies_per_hour, team.max_slices
    return [
        Rule("countries", "Countries", where, "where the team may send"),
        Rule("time-zone", "Time zone", team.time_zone, "how times are read when something is scheduled"),
        Rule("sending-hours", "Sending hours", team.sending_hours or "any time", "what new campaigns keep to"),
        Rule("first-ten-above", "First ten", f"above {ten} recipients", "ten go, then the rest if most are accepted"),
        Rule("type-count-above", "Typed count", _or(team.type_count_above, f"above {typed}", "never"), "asked at Send"),
        Rule("daily-cap", "Daily cap", _or(team.daily_cap, f"{cap} recipients", "none"), "by the team's time zone"),
        Rule("copies-per-hour", "Same text to one number", _or(copies, f"{copies} an hour", "any"), "more is held"),
        Rule("max-slices", "Sent at the same time", _or(slices, f"{slices}", "any number"), "parts of its campaigns"),
        Rule("opt-out-words", "Opt-out words", team.opt_out_words or "the usual ones", f"besides {usual} and the like"),
        Rule("gateways", "Gateways", team.gateways or "as the settings say", "in order of preference"),
    ]


def _or(number: int, text: str, nothing: str) -> str:
    return text if number else nothing


def _number(title: str, most: int) -> Callable[[str, Collection[str]], int]:
    def read(typed: str, _ready: Collection[str]) -> int:
        if not typed.isdecimal() or int(typed) > most:
            raise BadRule(f"{title} must be a whole number from 0 to {most:,}, not {typed!r}.")
        return int(typed)

    return read


def _zone(typed: str, _ready: Collection[str]) -> str:
    return zones.find(typed.strip()).key


def _hours(typed: str, _ready: Collection[str]) -> str:
    return options.read_hours("" if typed.strip() == "any" else typed)


def _countries(typed: str, _ready: Collection[str]) -> str:
    return accounts.normalise_countries(typed)


def _words(typed: str, _ready: Collection[str]) -> str:
    words = [" ".join(word.split()) for word in typed.split(",")]
    stored = ",".join(dict.fromkeys(word.upper() for word in words if word))
    if len(stored) > LONGEST_WORDS:
        raise BadRule(f"Opt-out words may have {LONGEST_WORDS} characters together; these have {len(stored)}.")
    return stored


def _gateways(typed: str, ready: Collection[str]) -> str:
    return routing.read_wish(typed, ready) if typed.strip() else ""


READERS: dict[str, Callable[[str, Collection[str]], str | int]] = {
    "countries": _countries,
    "time_zone": _zone,
    "sending_hours": _hours,
    "first_ten_above": _number("First ten above", MOST),
    "type_count_above": _number("Type count above", MOST),
    "daily_cap": _number("The daily cap", MOST),
    "max_slices": _number("Max slices", MOST_SLICES),
    "copies_per_hour": _number("Copies per hour", MOST_COPIES),
    "opt_out_words": _words,
    "gateways": _gateways,
}
