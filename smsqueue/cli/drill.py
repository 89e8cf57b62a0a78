"""The command that kills workers on purpose, and counts."""

import json
import os
import sys

import click
from flask.cli import with_appcontext

from smsqueue.cli.base import database, read, settings
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


@click.command("drill")
@click.option("--kill", "kills", is_flag=True, help="Kill workers while they work; without it they only work.")
@click.option("--jobs", default=300, type=click.IntRange(2, 100_000), show_default=True, help="Jobs of both kinds.")
@click.option("--workers", default=3, type=click.IntRange(2, 32), show_default=True, help="Worker processes.")
@click.option(
    "--seconds", default=20.0, type=click.FloatRange(1, 3600), show_default=True, help="Go on killing so long."
)
@with_appcontext
def drill_command(kills: bool, jobs: int, workers: int, seconds: float) -> None:
    """Prove on this database that no job is lost when workers are killed.

    Starts workers of its own, with a short lease, on harmless jobs in a queue of its own; kills some with SIGKILL,
    alone and with their parents; counts what every job has left behind. No other queue is touched, and nothing of
    it stays, after Ctrl-C either.

    \b
    Example:  flask sms drill --kill --workers 4 --seconds 60

    Exit codes: 0 every promise was kept, 1 one was not, or the workers did not start, 2 wrong options.
    """
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
