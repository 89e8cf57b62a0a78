"""`team set` and `team show`: the rules by which a team sends."""

import click
from flask.cli import with_appcontext

from smsqueue.cli.accounts import find_team
from smsqueue.cli.base import read, settings, write
from smsqueue.cli.output import show_json, show_table
from smsqueue.domain import teams
from smsqueue.models import Team


class NothingToSet(click.UsageError):
    """No option says what to change."""


@click.command("set")
@click.argument("name", metavar="TEAM")
@click.option("--countries", help="Where it may send: ISO codes with commas between, or * for everywhere.")
@click.option("--time-zone", help="IANA name, as Europe/Paris: how its times are read.")
@click.option("--sending-hours", help="As 08:00-21:00, by the recipient's clock; any: at any time.")
@click.option("--first-ten-above", type=int, help="Larger campaigns begin with ten.")
@click.option("--type-count-above", type=int, help="Larger ones ask for the number to be typed; 0: never.")
@click.option("--daily-cap", type=int, help="Most recipients confirmed in a day; 0: any number.")
@click.option("--max-slices", type=int, help="How many of its slices are sent at once; 0: any number.")
@click.option("--copies-per-hour", type=int, help="Same words to the same number in an hour; 0: any number.")
@click.option("--opt-out-words", help="Besides STOP and the like, with commas between; empty: none.")
@click.option("--gateways", help="In order of preference, with commas between; empty: as the settings say.")
@with_appcontext
def set_rules(name: str, **typed: str | int | None) -> None:
    """Set rules by which a team sends.

    Campaigns that were confirmed already keep what they were confirmed with; the brake, the limit of slices and the
    gateways hold for them, too.

    \b
    Example:  flask sms team set "Front office" --time-zone Europe/Paris --sending-hours 08:00-21:00 --daily-cap 20000

    Exit codes: 0 set, 1 refused (no such team, a rule that cannot be), 2 wrong options.
    """
    given = {key: value for key, value in typed.items() if value is not None}
    if not given:
        raise NothingToSet("Say what to set, as in --daily-cap 20000.")
    ready = settings().gateways_ready
    known = read(lambda session: find_team(session, name))
    _show(write(lambda session: teams.change(session, known.name, given, ready)))


@click.command("show")
@click.argument("name", metavar="TEAM")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def show(name: str, as_json: bool) -> None:
    """Show the rules by which a team sends.

    \b
    Example:  flask sms team show "Front office"

    Exit codes: 0 shown, 1 no such team, 2 wrong options.
    """
    found = read(lambda session: find_team(session, name))
    if as_json:
        show_json({"name": found.name, "country": found.country, **{key: getattr(found, key) for key in teams.READERS}})
    else:
        _show(found)


def _show(found: Team) -> None:
    rows = [(rule.name, rule.value, rule.meaning) for rule in teams.told(found)]
    show_table(("rule", "value", "what it is"), rows, empty="")
