"""Commands that stop work and let it go on: pauses, maintenance, restarts."""

import getpass
import os
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import click
from flask.cli import with_appcontext

from smsqueue.cli.base import read, write
from smsqueue.cli.output import count
from smsqueue.cli.queues import named
from smsqueue.cli.times import DURATION
from smsqueue.queue import control, monitor
from smsqueue.queue.control import EVERY
from smsqueue.queue.dispatch import SECOND
from smsqueue.queue.monitor import WorkerLine

LOOK_SECONDS = 0.2
Command = TypeVar("Command", bound=Callable[..., Any])


def whoever() -> str:
    """Name the person at the terminal, also behind sudo."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


_author = click.option("--author", default=whoever, help="Who asks for it.  [default: you]")
_reason = click.option("--reason", default="", help="Why; people who wait read it.")
_for = click.option("--for", "seconds", type=DURATION, metavar="TIME", help="End it by itself after 90s, 30m, 2h, 1d.")


def _queues(named_queues: str) -> list[str]:
    return [EVERY] if named_queues == "all" else named(named_queues)


def _spoken(queue: str) -> str:
    return "all queues" if queue == EVERY else f"the queue {queue}"


@click.command("pause")
@click.argument("queue", default="all", metavar="[QUEUE | all]")
@_for
@_reason
@_author
@with_appcontext
def pause(*, queue: str, seconds: float | None, reason: str, author: str) -> None:
    """Let no worker take jobs of a queue (several with commas between), or of any.

    Jobs that run are finished. The pages of campaigns that wait say who paused them and why. A pause of all queues
    and that of one are two: each is ended by itself.

    \b
    Examples:
      flask sms pause sms --for 30m --reason "the gateway moves"
      flask sms pause all

    Exit codes: 0 paused, 1 not done, 2 wrong options.
    """
    for each in _queues(queue):
        write(partial(control.pause, queue=each, seconds=seconds, reason=reason, author=author))
        found = read(control.read).pauses
        words = next(monitor.wish_of(one).words() for one in found if one.queue == each)
        click.echo(f"Paused: {_spoken(each)}, {words}.")


@click.command("resume")
@click.argument("queue", default="all", metavar="[QUEUE | all]")
@_author
@with_appcontext
def resume(*, queue: str, author: str) -> None:
    """Let workers take jobs of a queue again; `all` ends every pause.

    \b
    Example:  flask sms resume sms

    Exit codes: 0 not paused any more, 1 still paused together with all queues, 2 wrong options.
    """
    for each in _queues(queue):
        ended = write(partial(control.resume, queue=each, author=author))
        click.echo(f"{'Resumed' if ended else 'Was not paused'}: {_spoken(each)}.")
    left = [each for each in read(control.read).pauses if each.queue == EVERY]
    if left:
        click.echo(f"All queues are paused, {monitor.wish_of(left[0]).words()}. End it: flask sms resume all", err=True)
        raise click.exceptions.Exit(1)


@click.command("down")
@_for
@_reason
@_author
@with_appcontext
def down(*, seconds: float | None, reason: str, author: str) -> None:
    """Begin maintenance: workers take no jobs (but with --force), pages answer 503 with the reason.

    Jobs that run are finished. Health checks go on, operators can sign in and see the queues.

    \b
    Example:  flask sms down --for 15m --reason "new version"

    Exit codes: 0 begun, 1 not begun, 2 wrong options.
    """
    write(lambda session: control.begin_maintenance(session, seconds=seconds, reason=reason, author=author))
    found = read(control.read).maintenance
    click.echo(f"Maintenance, {monitor.wish_of(found).words()}." if found else "Maintenance is over already.")


@click.command("up")
@_author
@with_appcontext
def up(*, author: str) -> None:
    """End maintenance: workers and pages do their work again.

    \b
    Example:  flask sms up

    Exit codes: 0 ended (or there was none), 1 not ended, 2 wrong options.
    """
    ended = write(lambda session: control.end_maintenance(session, author=author))
    click.echo("Maintenance is over." if ended else "There was no maintenance.")


@click.command("restart")
@click.option("--wait", is_flag=True, help="Report each worker, until all are back.")
@click.option("--timeout", type=DURATION, default="10m", show_default=True, help="With --wait: how long at most.")
@_reason
@_author
@with_appcontext
def restart(*, wait: bool, timeout: float, reason: str, author: str) -> None:
    """Ask all workers to finish what they have in hand and start anew, with new code.

    Their environment stays as it is: for new settings, restart the service.

    \b
    Example, after a deployment:  flask sms restart --wait --timeout 5m

    Exit codes: 0 asked (--wait: all are back), 1 not asked (--wait: some are not back), 2 wrong options.
    """
    leaving = {line.id: line for line in _running()} if wait else {}  # who goes at once is reported, too
    stamp = write(lambda session: control.request_restart(session, reason=reason, author=author))
    click.echo("Workers start anew when they have finished what they have in hand.")
    if wait and not _wait_for_return(leaving, stamp, time.monotonic() + timeout):
        raise click.exceptions.Exit(1)


def _wait_for_return(leaving: dict[int, WorkerLine], stamp: int, deadline: float) -> bool:
    """Report each worker that leaves and each that comes, until as many have come as have left."""
    come: dict[int, WorkerLine] = {}
    wanted = len(leaving)
    while leaving or len(come) < wanted:
        if time.monotonic() > deadline:
            return _complain(leaving, wanted - len(come))
        crew = {line.id: line for line in _running()}
        for worker_id in [each for each in leaving if each not in crew]:
            click.echo(f"Worker {_name(leaving.pop(worker_id))} has stopped.")
        for line in crew.values():
            if _is_new(line, stamp) and line.id not in come:
                come[line.id] = line
                click.echo(f"Worker {_name(line)} has started.")
        time.sleep(LOOK_SECONDS)
    click.echo(f"{count(wanted, 'worker')} started anew." if wanted else "No worker was running.")
    return True


def _complain(leaving: dict[int, WorkerLine], missing: int) -> bool:
    for line in leaving.values():
        click.echo(f"Worker {_name(line)} has not stopped: it works on something, or is frozen.", err=True)
    if missing > len(leaving):
        click.echo(f"{count(missing - len(leaving), 'worker')} did not come back: was it started by hand?", err=True)
    return False


def _running() -> list[WorkerLine]:
    return [line for line in read(monitor.crew) if line.state == "running"]


def _is_new(line: WorkerLine, stamp: int) -> bool:
    return line.started_at.timestamp() * SECOND > stamp


def _name(line: WorkerLine) -> str:
    return f"{line.id} ({line.host}:{line.pid})"
