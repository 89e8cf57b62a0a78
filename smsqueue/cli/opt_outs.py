"""`flask sms opt-out`: a team's list of those who want no more texts, at the terminal."""

from functools import partial

import click
from flask.cli import with_appcontext

from smsqueue.cli.accounts import find_team
from smsqueue.cli.base import LIMIT, Commands, read, write
from smsqueue.cli.output import count, show_json, show_table
from smsqueue.core.phones import parse
from smsqueue.domain import optouts
from smsqueue.models import Team

opt_out = Commands("opt-out", help="Numbers that want no more texts.")


def _team(name: str) -> Team:
    return read(partial(find_team, name=name))


@opt_out.command("list")
@click.argument("team")
@click.option("--search", default="", help="Only numbers with these digits.")
@click.option("--limit", type=LIMIT, help="The most to show.  [default: all]")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@with_appcontext
def list_command(team: str, search: str, limit: int | None, as_json: bool) -> None:
    """List the numbers that get no more texts of a team.

    \b
    Example:  flask sms opt-out list Flowers --search 0123

    Exit codes: 0 listed, 1 no such team, 2 wrong options.
    """
    found = read(partial(optouts.listing, team_id=_team(team).id, search=search, limit=limit))
    names = ("number", "source", "note", "created_at")
    if as_json:
        show_json([{name: getattr(entry, name) for name in names} for entry in found])
        return
    rows = [[getattr(entry, name) for name in names] for entry in found]
    show_table(("Number", "Source", "Note", "Since"), rows, empty="No number.")


@opt_out.command("add")
@click.argument("team")
@click.argument("numbers", nargs=-1, required=True)
@click.option("--note", default="", help="How it is known that they want no more.")
@with_appcontext
def add(team: str, numbers: tuple[str, ...], note: str) -> None:
    """Send no more texts of a team to these numbers.

    \b
    Example:  flask sms opt-out add Flowers +12015550123 --note "on the phone, 3 May"

    Exit codes: 0 they are on the list, 1 a number cannot be understood, 2 wrong options.
    """
    mine = _team(team)
    pairs = {(mine.id, parse(number, mine.country).e164) for number in numbers}
    write(lambda session: optouts.add_all(session, pairs, source=optouts.PERSON, note=note))
    click.echo(f"{count(len(pairs), 'number')} on the list of {mine.name}.")


@opt_out.command("remove")
@click.argument("team")
@click.argument("numbers", nargs=-1, required=True)
@click.option("--reason", required=True, help="Why they may be texted again; it stands in the log.")
@with_appcontext
def remove(team: str, numbers: tuple[str, ...], reason: str) -> None:
    """Let texts of a team go to these numbers again.

    \b
    Example:  flask sms opt-out remove Flowers +12015550123 --reason "asked for it on the phone"

    Exit codes: 0 they are not on the list, 1 a number cannot be understood, 2 wrong options.
    """
    mine = _team(team)
    pairs = {(mine.id, parse(number, mine.country).e164) for number in numbers}
    gone = write(partial(optouts.remove_all, pairs=pairs, reason=reason))
    click.echo(f"{count(gone, 'number')} taken off the list of {mine.name}.")
