"""Commands about jobs that were given up."""

from functools import partial
from typing import Any

import click
from flask.cli import with_appcontext

from smsqueue.cli.base import database, read
from smsqueue.cli.output import show_json, show_table
from smsqueue.cli.services import build_registry
from smsqueue.core.errors import SmsQueueError
from smsqueue.queue import failed
from smsqueue.queue.models import FailedJob


@click.command("failed")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with tracebacks.")
@with_appcontext
def failed_command(limit: int, as_json: bool) -> None:
    """List the jobs that were given up, newest first.

    \b
    Example:  flask sms failed --limit 10

    Exit codes: 0 listed (an empty list, too), 1 the database does not answer, 2 wrong options.
    """
    rows = [_facts(row) for row in read(lambda session: failed.listing(session, limit))]
    if as_json:
        show_json(rows)
        return
    heads = ("Id", "Uuid", "Queue", "Kind", "Failed at (UTC)", "Reason")
    lines = [[row[key] for key in ("id", "uuid", "queue", "kind", "failed_at", "reason")] for row in rows]
    show_table(heads, lines, empty="No job has failed.")


def _facts(row: FailedJob) -> dict[str, Any]:
    last = row.exception.strip().rpartition("\n")[2]
    return {
        "id": row.id,
        "uuid": row.uuid,
        "queue": row.queue,
        "kind": failed.kind_of(row.payload),
        "failed_at": row.failed_at,
        "reason": last[:200],
        "exception": row.exception,
    }


@click.command("retry-failed")
@click.argument("ids", nargs=-1, required=True, metavar="ID... | all")
@with_appcontext
def retry_failed(ids: tuple[str, ...]) -> None:
    """Put failed jobs back into their queues.

    ID is a number or uuid from `flask sms failed`. A sending job charges again exactly what was credited when it
    failed; it is refused when the credits are missing. Each job is a transaction of its own: one that is refused
    does not stop the others.

    \b
    Example:  flask sms retry-failed all

    Exit codes: 0 all are back, 1 some were refused (each with its reason), 2 wrong options.
    """
    registry, store = build_registry(), database()
    wanted = [str(each) for each in read(failed.all_ids)] if ids == ("all",) else list(dict.fromkeys(ids))
    refused = 0
    for each in wanted:
        try:
            job_id = store.write(partial(failed.retry, registry=registry, wanted=each))
            click.echo(f"Failed job {each} is back in its queue as job {job_id}.")
        except SmsQueueError as error:
            refused += 1
            click.echo(f"Failed job {each} was not retried: {error}", err=True)
    if not wanted:
        click.echo("No job has failed.")
    if refused:
        raise click.exceptions.Exit(1)
