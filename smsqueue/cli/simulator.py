"""The command that starts the outside world: a program of its own, which knows nothing of us."""

import os
import sys
from pathlib import Path

import click
from flask.cli import with_appcontext

from smsqueue.cli.base import settings


@click.command("simulator")
@click.option("--port", type=click.IntRange(0, 65535), default=8025, show_default=True, help="Gateway and page.")
@click.option("--smtp-port", type=click.IntRange(0, 65535), default=8026, show_default=True, help="Mailbox.")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="Texts it took.  [default: SIMULATED_LOG]")
@with_appcontext
def simulator(port: int, smtp_port: int, log: Path | None) -> None:
    """Run a simulated SMS gateway, a mailbox, and a page that shows the phones. Nothing leaves this machine.

    The gateway does what the last digits of a number say (normal, slow, refused, ...); SIMULATED_LATENCY_MS and
    its like, or PUT /settings, change its mood. Port 0 takes a free one.

    \b
    Example:  flask sms simulator --port 8025 --smtp-port 8026 --log simulated.log

    Exit codes: 0 ended by INT or TERM, 1 a port or the log cannot be used, 2 wrong options.
    """
    command = [sys.executable, "-m", "smsqueue.simulator"]
    options = ["--port", str(port), "--smtp-port", str(smtp_port), "--log", str(log or settings().simulated_log)]
    os.execv(sys.executable, [*command, *options])  # noqa: S606 - becoming another program is the point
