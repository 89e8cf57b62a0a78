"""The command that kills workers on purpose and counts, or sends one real text and follows it."""

import json
import os
import sys
from collections.abc import Collection
from typing import Any

import click
from click.core import ParameterSource
from flask.cli import with_appcontext

from smsqueue.cli import drill_gateway
from smsqueue.cli.base import database, read, settings
from smsqueue.cli.drill_gateway import Wish
from smsqueue.cli.gateway import TEXT
from smsqueue.cli.output import show_table
from smsqueue.config import Settings
from smsqueue.queue import control
from smsqueue.queue.drill_run import Drill, Outcome, Plan
from smsqueue.queue.hands import BATCH
from smsqueue.queue.stops import Stops

LEASE, POLL = 3.0, 0.5
COMMAND = (sys.executable, "-m", "smsqueue", "sms", "work", "--daemon", "--force", f"--sleep={POLL}")
TIMES = {
    "SMS_LEASE": f"{LEASE:g}",
    "SMS_HEARTBEAT": "0.5",
    "SMS_CONNECT_TIMEOUT": "0.5",
    "SMS_READ_TIMEOUT": "1",
    "SMS_GRACE": "10",
}
"""The drill's workers are taken for dead sooner than others; a lease must be longer than a call."""

OF_WORKERS, OF_GATEWAY = ("kills", "jobs", "workers", "seconds"), ("number", "text", "wait_seconds", "yes")
"""The options of one kind of drill, and of the other."""


@click.command("drill")
@click.option("--kill", "kills", is_flag=True, help="Kill workers while they work; without it they only work.")
@click.option("--jobs", default=300, type=click.IntRange(2, 100_000), show_default=True, help="Jobs of both kinds.")
@click.option("--workers", default=3, type=click.IntRange(2, 32), show_default=True, help="Worker processes.")
@click.option(
    "--seconds", default=20.0, type=click.FloatRange(1, 3600), show_default=True, help="Go on killing so long."
)
@click.option(
    "--gateway", "gateway", is_flag=False, flag_value="", help="Send a text through this gateway, or the usual one."
)
@click.option("--to", "number", help="With --gateway: a number of your own, with + and country code.")
@click.option("--text", default=TEXT, show_default=True, help="With --gateway: what is sent.")
@click.option(
    "--wait", "wait_seconds", default=60.0, type=click.FloatRange(0, 3600), show_default=True, help="For its report."
)
@click.option("--yes", is_flag=True, help="With --gateway: do not ask before sending.")
@with_appcontext
def drill_command(**asked: Any) -> None:
    """Prove on this installation that no job is lost, or that a gateway is set up right.

    Without --gateway: starts workers of its own, with a short lease, on harmless jobs in a queue of its own; kills
    some with SIGKILL, alone and with their parents; counts what every job has left behind. No other queue is touched,
    and nothing of it stays, after Ctrl-C either.

    With --gateway: sends one real text to a number of your own, in no campaign and for no credits, and follows it:
    settings, our address for reports, the gateway's answer, its report and the signature, the look-up. Each thing
    that is wrong is said in a sentence.

    \b
    Examples:  flask sms drill --kill --workers 4 --seconds 60
               flask sms drill --gateway twilio --to "+44 7400 123456"

    Exit codes: 0 every promise was kept, 1 one was not, or it could not be tried, 2 wrong options.
    """
    if asked["gateway"] is None:
        _refuse(OF_GATEWAY, "with --gateway only")
        _drill_workers(asked["kills"], asked["jobs"], asked["workers"], asked["seconds"])
        return
    _refuse(OF_WORKERS, "without --gateway only")
    if not asked["number"]:
        raise click.UsageError("--gateway needs --to NUMBER: a number of your own.")
    wish = Wish(asked["gateway"], asked["number"], asked["text"], asked["wait_seconds"], asked["yes"])
    drill_gateway.run(settings(), wish)


def _refuse(names: Collection[str], where: str) -> None:
    """Refuse options that would change nothing: whoever gives them means another drill."""
    context = click.get_current_context()
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option.opts[0]} is for drills {where}.")


def _drill_workers(kills: bool, jobs: int, workers: int, seconds: float) -> None:
    if read(control.read).pause_of("drill"):
        raise click.ClickException("All queues are paused, the drill's too: `flask sms resume all` first.")
    stops = Stops()
    stops.install()  # a flag, and no exception in the middle of a statement
    plan = Plan(COMMAND, _environment(settings()), LEASE, POLL, jobs // 2, workers, seconds, kills)
    outcome = Drill(database(), plan, click.echo, stops).run()
    _show(outcome)
    if not outcome.result["ok"]:
        raise click.exceptions.Exit(1)


def _environment(chosen: Settings) -> dict[str, str]:
    """Say where we are, as our own settings do; the logs of the drill interest nobody."""
    place = {} if os.environ.get("DATABASE_URL_FILE") else {"DATABASE_URL": chosen.database_url}
    return {**place, "SMS_INSTANCE": str(chosen.instance.absolute()), "SMS_LOG_FILE": os.devnull, **TIMES}


def _show(outcome: Outcome) -> None:
    result = outcome.result
    promises = [
        ("no job is lost", result["lost"], 0),
        ("no job is left", result["left"] + result["failed"], 0),
        ("finished with its own rows: exactly once", result["twice"], 0),
        ("finished in batches: repeated at most", result["repeated"], BATCH * result["kills"]),
        ("taken over within seconds", result["takeover_max_s"], result["takeover_limit_s"]),
        ("no other queue was touched", result["foreign"], 0),
    ]
    click.echo()
    heads = ("Promise", "Found", "Allowed", "")
    rows = [(what, found, most, "kept" if found <= most else "BROKEN") for what, found, most in promises]
    show_table(heads, rows, empty="")
    click.echo(f"RESULT {json.dumps(result)}")
