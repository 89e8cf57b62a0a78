"""What may be chosen when something is sent: the fields, what they mean, and how a choice is told at the review."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import starmap
from typing import Any, TypeVar

from flask_wtf import FlaskForm
from wtforms import RadioField, SelectChoice, SelectField, StringField

from smsqueue.core import phones, zones
from smsqueue.core.clock import now
from smsqueue.domain import options
from smsqueue.domain.errors import BadDraft
from smsqueue.domain.options import AskWhich, Options
from smsqueue.models import Campaign, Kind, Team, UnknownPolicy

T = TypeVar("T")
NOW, LATER = "now", "later"
POLICIES = {
    UnknownPolicy.HOLD: "Ask us: nothing is sent again by itself, and the credits stay held until somebody decides",
    UnknownPolicy.RESEND: "Send it again: nobody is left out, but some may get it twice",
    UnknownPolicy.GIVE_UP: "Count it as not sent and give the credits back: it may have arrived all the same",
}
FIRST_TEN = {"": "As usual", "yes": "Yes", "no": "No"}


class OptionsForm(FlaskForm):  # type: ignore[misc]  # the library has no types
    """When to send, and what holds meanwhile."""

    when = RadioField(
        "When should it go?",
        default=NOW,
        choices=[SelectChoice(NOW, "As soon as you press Send"), SelectChoice(LATER, "At a time")],
        validate_choice=False,
    )
    day = StringField("Day")
    time = StringField("Time")
    which = RadioField("Which of the two?", choices=[], validate_choice=False)
    hours = StringField("Sending hours")
    validity = SelectField(
        "Not sent any more after",
        choices=[SelectChoice("", "As usual"), *starmap(SelectChoice, options.VALIDITIES.items())],
        validate_choice=False,
    )
    policy = RadioField(
        "When nobody can tell whether a text was sent",
        default=UnknownPolicy.HOLD,
        choices=[SelectChoice(policy.value, text) for policy, text in POLICIES.items()],
        validate_choice=False,
    )
    first_ten = SelectField(
        "Begin with ten, and go on when most of them are accepted",
        choices=[SelectChoice(*pair) for pair in FIRST_TEN.items()],
        validate_choice=False,
    )


@dataclass(frozen=True, slots=True)
class Chosen:
    """What holds for a draft, in words."""

    start: str | None
    """The time with its zone; None: as soon as somebody presses Send."""
    hours: str
    validity: str | None
    policy: str
    first_ten: bool
    waiting: list[tuple[str, int, str]]
    """Country, recipients, and when it opens there."""
    never: list[str]
    """Countries in which the hours never hold everywhere at once: so nothing can be sent."""
    woken: list[tuple[str, int]]
    is_in_vain: bool
    """Somebody waits for longer than the campaign is valid."""


def fill(form: OptionsForm, chosen: Options, team: Team) -> None:
    """Make the form show what was chosen."""
    form.hours.data, form.policy.data = chosen.sending_hours, chosen.unknown_policy.value
    form.validity.data = str(chosen.validity_seconds or "")
    form.first_ten.data = {None: "", True: "yes", False: "no"}[chosen.first_ten]
    if chosen.scheduled_for is not None:
        local = chosen.scheduled_for.astimezone(zones.find(team.time_zone))
        form.when.data, form.day.data, form.time.data = LATER, f"{local:%Y-%m-%d}", f"{local:%H:%M}"
        form.which.data = "later" if local.fold else "earlier"
        _ask_which(form, team)


def chosen(form: OptionsForm, team: Team, kind: Kind) -> Options | None:
    """Return what was chosen; None when something is wrong, which then stands at its field."""
    moment = _tried(form, lambda: _moment(form, team))
    validity = _tried(form, lambda: options.read_validity(form.validity.data or ""))
    typed = options.usual(team, kind).sending_hours if form.hours.data is None else form.hours.data
    hours = _tried(form, lambda: options.read_hours(typed))
    policy = _tried(form, lambda: options.read_policy(form.policy.data or ""))
    if any(form[name].errors for name in ("when", "day", "time", "which", "validity", "hours", "policy")):
        return None
    first_ten = {"yes": True, "no": False}.get(form.first_ten.data or "")
    zone = team.time_zone if moment else ""
    return Options(moment, zone, validity, hours or "", policy or UnknownPolicy.HOLD, first_ten)


def _tried(form: OptionsForm, read: Callable[[], T]) -> T | None:
    """Read a part of the form; what is wrong with it is put at the field."""
    try:
        return read()
    except BadDraft as error:
        field = form[error.field]
        field.errors = [*field.errors, str(error)]
        return None


def _moment(form: OptionsForm, team: Team) -> datetime | None:
    typed = (form.day.data or "").strip(), (form.time.data or "").strip()
    if form.when.data != LATER:
        if any(typed):
            raise BadDraft("when", "There is a day or a time, too: choose “At a time”, or empty them to send now.")
        return None
    _ask_which(form, team)
    return options.read_moment(*typed, form.which.data or "", team.time_zone, now())


def _ask_which(form: OptionsForm, team: Team) -> None:
    """Offer both moments of a time that is there twice, whether or not one is chosen already."""
    try:
        options.read_moment(form.day.data or "", form.time.data or "", "", team.time_zone, now())
    except AskWhich as error:
        named = {"earlier": error.earlier, "later": error.later}
        form.which.choices = [
            SelectChoice(name, f"The {name} one: {moment:%H:%M} in {zones.place(moment, zones.find(team.time_zone))}")
            for name, moment in named.items()
        ]
    except BadDraft:
        form.which.data = None  # there is nothing to ask


def told(campaign: Campaign, team: Team, usual_seconds: int) -> Chosen:
    """Say in words what holds for a draft, and whom it would wake or let wait if it started as it is."""
    start = campaign.scheduled_for or now()
    until = options.valid_until(campaign, start, usual_seconds)
    closed = options.waiting_countries(campaign, start)
    waiting = [(each, each.opens) for each in closed if each.opens is not None]
    policy = POLICIES[UnknownPolicy(campaign.unknown_policy)]
    return Chosen(
        start=zones.said(campaign.scheduled_for, options.zone_of(campaign, team)) if campaign.scheduled_for else None,
        hours=campaign.sending_hours,
        validity=options.VALIDITIES.get(campaign.validity_seconds or 0),
        policy=policy,
        first_ten=campaign.first_ten,
        waiting=[(phones.country_name(each.country), each.recipients, _opens(opens)) for each, opens in waiting],
        never=[phones.country_name(each.country) for each in closed if each.opens is None],
        woken=[(phones.country_name(code), count) for code, count in options.woken_countries(campaign, start).items()],
        is_in_vain=any(opens >= until for _, opens in waiting),
    )


def _opens(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%-d %b, %H:%M} UTC"


def context(form: OptionsForm, team: Team, kind: Kind) -> dict[str, Any]:
    """Return what the fields' template wants to know."""
    if form.hours.data is None:
        form.hours.data = options.usual(team, kind).sending_hours
    hidden = (form.hours, form.validity, form.policy, form.first_ten)
    differs = form.validity.data or form.first_ten.data or form.policy.data != UnknownPolicy.HOLD
    return {
        "zone": zones.place(now(), zones.find(team.time_zone)),
        "is_bulk": kind == Kind.BULK,
        "first_ten_above": team.first_ten_above,
        "is_open": bool(differs or any(field.errors for field in hidden)),
    }
