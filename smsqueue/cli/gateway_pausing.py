"""Commands that let nothing go through a gateway for a while, and let it go on."""

from functools import partial

import click
from flask.cli import with_appcontext

from smsqueue.cli.base import settings, write
from smsqueue.cli.pausing import whoever
from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain import breaker

_author = click.option("--author", default=whoever, help="Who asks for it.  [default: you]")


class NoSuchGateway(SmsQueueError):
    """Nothing can be sent through a gateway of this name."""


@click.command("pause")
@click.argument("name")
@click.option("--reason", default="", help="Why; people who wait read it.")
@_author
@with_appcontext
def pause(*, name: str, reason: str, author: str) -> None:
    """Send nothing through the gateway NAME until somebody resumes it.

    Calls in flight are finished. Texts go through another gateway where one stands in for it (SMS_GATEWAY_FALLBACK,
    SMS_ROUTES), and wait otherwise; no try is spent. Workers see it within some seconds.

    \b
    Example:  flask sms gateway pause twilio --reason "they bill twice today"

    Exit codes: 0 paused, 1 there is no such gateway, 2 wrong options.
    """
    why = reason or "no reason was given"
    write(partial(breaker.pause, name=_known(name), author=author, reason=why, now=now()))
    click.echo(f"Paused: nothing goes through {name} until `flask sms gateway resume {name}`.")


@click.command("resume")
@click.argument("name")
@_author
@with_appcontext
def resume(*, name: str, author: str) -> None:
    """Send through the gateway NAME again; where it could not be reached, one text tries it at once.

    \b
    Example:  flask sms gateway resume twilio

    Exit codes: 0 it is used again, or was anyway, 1 there is no such gateway, 2 wrong options.
    """
    ended = write(partial(breaker.resume, name=_known(name), author=author, now=now()))
    click.echo(f"{name} is used again." if ended else f"{name} was not paused, and can be reached: nothing to resume.")


def _known(name: str) -> str:
    if name not in (ready := settings().gateways_ready):
        raise NoSuchGateway(f"{name} is not set up here; there are: {', '.join(ready)}")
    return name
