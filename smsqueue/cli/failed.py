"""Commands about jobs that were given up."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

import click
from flask.cli import with_appcontext
from sqlalchemy.orm import Session

from smsqueue.cli.base import LIMIT, database, read
from smsqueue.cli.output import count, show_json, show_table
from smsqueue.cli.services import build_registry
from smsqueue.cli.times import SINCE
from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.queue import failed
from smsqueue.queue.failed import Choice
from smsqueue.queue.models import FailedJob
from smsqueue.queue.registry import Registry

Command = TypeVar("Command", bound=Callable[..., Any])
FILTERS = (
    click.option("--queue", help="Only those of this queue."),
    click.option("--class", "--kind", "kind", help="Only jobs of this kind, e.g. sms.send-bulk, or of this class."),
    click.option("--error", help="Only those that ended by this class of error."),
    click.option("--since", type=SINCE, metavar="TIME", help="Only those that failed since: 2h, 1d, or a time (UTC)."),
)


class _OnlyLooking(Exception):
    """Ends the transaction of a dry run."""

    def __init__(self, job_id: int) -> None:
        super().__init__(job_id)


def _filtered(command: Command) -> Command:
    for option in reversed(FILTERS):
        command = option(command)
    return command


@click.command("failed")
@_filtered
@click.option("--group", is_flag=True, help="Count them by kind and class of error.")
@click.option("--limit", type=LIMIT, default=100, show_default=True, help="How many, newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with tracebacks.")
@with_appcontext
def failed_command(*, group: bool, limit: int, as_json: bool, **filters: Any) -> None:
    """List the jobs that were given up, newest first.

    \b
    Examples:
      flask sms failed --limit 10
      flask sms failed --group --since 1d

    Exit codes: 0 listed (an empty list, too), 1 the database does not answer, 2 wrong options.
    """
    choice = _choice(build_registry(), **filters)
    if group:
        _show_groups(choice, as_json=as_json)
        return
    rows = [_facts(row) for row in read(lambda session: failed.listing(session, limit, choice))]
    if as_json:
        show_json(rows)
        return
    heads = ("Id", "Uuid", "Queue", "Kind", "Failed at (UTC)", "Tries", "Reason")
    keys = ("id", "uuid", "queue", "kind", "failed_at", "attempts", "reason")
    show_table(heads, [[row[key] for key in keys] for row in rows], empty=_none_of(choice))


def _show_groups(choice: Choice, *, as_json: bool) -> None:
    found = read(lambda session: failed.groups(session, choice))
    if as_json:
        show_json([asdict(each) for each in found])
        return
    heads = ("Jobs", "Kind", "Error", "First id", "Last id", "Last failed at (UTC)")
    rows = [(each.count, each.kind, each.error, each.first_id, each.last_id, each.last_at) for each in found]
    show_table(heads, rows, empty=_none_of(choice))


def _choice(registry: Registry, *, kind: str | None = None, **filters: Any) -> Choice:
    """Understand the filters; a job's class stands for its kind."""
    classes = {entry.job_class.__name__: name for name, entry in registry.entries.items()}
    return Choice(kind=classes.get(kind, kind) if kind else None, **filters)


def _none_of(choice: Choice) -> str:
    return "No failed job is like that." if choice.conditions() else "No job has failed."


def _facts(row: FailedJob) -> dict[str, Any]:
    return {
        "id": row.id,
        "uuid": row.uuid,
        "queue": row.queue,
        "kind": row.kind,
        "error": row.error,
        "attempts": row.attempts,
        "failed_at": row.failed_at,
        "reason": row.reason,
        "exception": row.exception,
    }


def _range(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    first, dash, last = value.partition("-")
    if not first.isdecimal() or not (last.isdecimal() or not dash):
        raise click.BadParameter(f"{value!r} is no range of ids; write 1-5")
    return int(first), int(last or first)


@click.command("retry-failed")
@click.argument("ids", nargs=-1, metavar="[ID... | all]")
@_filtered
@click.option("--range", "ids_between", callback=_range, metavar="FIRST-LAST", help="Only those with ids like 1-5.")
@click.option("--dry-run", is_flag=True, help="Only say what would happen to each by itself; nothing is changed.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def retry_failed(
    *, ids: tuple[str, ...], ids_between: tuple[int, int] | None, dry_run: bool, as_json: bool, **filters: Any
) -> None:
    """Put failed jobs back into their queues.

    ID is a number or uuid from `flask sms failed`; a filter instead of ids, or after `all`, takes all that are like
    that. A sending job charges again exactly what was credited when it failed; it is refused when the credits are
    missing. Each job is a transaction of its own: one that is refused does not stop the others.

    \b
    Examples:
      flask sms retry-failed all
      flask sms retry-failed --queue notifications --since 2h --dry-run

    Exit codes: 0 all are back, 1 some were refused (each with its reason), 2 wrong options.
    """
    registry = build_registry()
    choice = _choice(registry, ids=ids_between, **filters)
    outcomes = [_retry(registry, each, dry_run=dry_run) for each in _meant(ids, choice)]
    if as_json:
        show_json(outcomes)
    else:
        _tell(outcomes, dry_run=dry_run, empty=_none_of(choice))
    if any(each["refused"] for each in outcomes):
        raise click.exceptions.Exit(1)


def _meant(ids: tuple[str, ...], choice: Choice) -> list[str]:
    has_filters = bool(choice.conditions())
    if not ids and not has_filters:
        raise click.UsageError("Name failed jobs, or write all, or give a filter.")
    if ids in ((), ("all",)):
        return [str(each) for each in read(lambda session: failed.chosen_ids(session, choice))]
    if has_filters or "all" in ids:
        raise click.UsageError("Ids, or all and filters: both at once say two different things.")
    return list(dict.fromkeys(ids))


def _retry(registry: Registry, wanted: str, *, dry_run: bool) -> dict[str, Any]:
    """Retry one job and say how that went: its new id, or why it was refused."""

    def retry(session: Session) -> int:
        job_id = failed.retry(session, registry, wanted)
        if dry_run:
            raise _OnlyLooking(job_id)
        return job_id

    outcome: dict[str, Any] = {"id": wanted, "job_id": None, "refused": None}
    try:
        outcome["job_id"] = database().write(retry)
    except _OnlyLooking:
        pass
    except SmsQueueError as error:
        outcome["refused"] = str(error)
    return outcome


def _tell(outcomes: Sequence[dict[str, Any]], *, dry_run: bool, empty: str) -> None:
    for each in outcomes:
        if each["refused"]:
            would = "would not be" if dry_run else "was not"
            click.echo(f"Failed job {each['id']} {would} retried: {each['refused']}", err=True)
        elif dry_run:
            click.echo(f"Failed job {each['id']} would go back to its queue.")
        else:
            click.echo(f"Failed job {each['id']} is back in its queue as job {each['job_id']}.")
    if not outcomes:
        click.echo(empty)


@click.command("forget")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@with_appcontext
def forget(ids: tuple[str, ...]) -> None:
    """Delete failed jobs for good, by number or uuid.

    What a sending job did not send was credited when it failed; that stays as it is.

    \b
    Example:  flask sms forget 12 13

    Exit codes: 0 all are gone, 1 there was none with one of the ids, 2 wrong options.
    """
    absent = 0
    for each in dict.fromkeys(ids):
        try:
            database().write(partial(failed.forget, wanted=each))
            click.echo(f"Failed job {each} is forgotten.")
        except failed.NoSuchFailedJob as error:
            absent += 1
            click.echo(f"Nothing was forgotten: {error}", err=True)
    if absent:
        raise click.exceptions.Exit(1)


@click.command("flush")
@click.option("--hours", type=click.IntRange(min=0), help="Only those that failed longer ago.")
@with_appcontext
def flush(hours: int | None) -> None:
    """Delete all failed jobs for good, some at a time.

    \b
    Example:  flask sms flush --hours 72

    Exit codes: 0 done, 1 not done, 2 wrong options.
    """
    _forget_older(None if hours is None else now() - timedelta(hours=hours))


@click.command("prune-failed")
@click.option("--hours", type=click.IntRange(min=0), default=24, show_default=True, help="How long they are kept.")
@with_appcontext
def prune_failed(hours: int) -> None:
    """Delete the failed jobs of long ago, some at a time.

    \b
    Example, for cron:  flask sms prune-failed --hours 720

    Exit codes: 0 done, 1 not done, 2 wrong options.
    """
    _forget_older(now() - timedelta(hours=hours))


def _forget_older(before: datetime | None) -> None:
    gone = failed.forget_many(database(), Choice(before=before))
    click.echo(f"{count(gone, 'failed job')} deleted.")
