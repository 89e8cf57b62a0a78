"""Commands about the queues and the workers as a whole."""

import click
from flask.cli import with_appcontext

from smsqueue.cli.base import database, read, settings, write
from smsqueue.cli.output import count, show_json, show_table
from smsqueue.cli.services import build_registry
from smsqueue.domain.jobs import QUEUES
from smsqueue.queue import control, failed, monitor
from smsqueue.queue.monitor import QueueStatus


@click.command("monitor")
@click.argument("queues", required=False)
@click.option("--max", "most", type=click.IntRange(min=0), help="Unhealthy, too, when a queue holds more jobs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def monitor_command(queues: str | None, most: int | None, as_json: bool) -> None:
    """Show queues and workers, and whether all is well.

    QUEUES limits the list to some, with commas between. Health is judged over all of them, by the rule of the page
    /sms/queue/status: a worker runs, every queue with work is served, nothing has waited for too long.

    \b
    Example, for cron:  flask sms monitor --max 1000 || mail -s "queue" ops@example.org

    Exit codes: 0 healthy, 1 not healthy, 2 wrong options.
    """
    status = read(lambda session: monitor.status(session, QUEUES))
    known = [line.name for line in status.queues]
    chosen = _named(queues, known) if queues else known
    full = [
        line.name for line in status.queues if most is not None and line.waiting + line.delayed + line.reserved > most
    ]
    if as_json:
        content = {**status.as_dict(), "healthy": status.healthy and not full, "over_max": full}
        content["queues"] = [line for line in content["queues"] if line["name"] in chosen]
        show_json(content)
    else:
        _show(status, chosen, full)
    if full or not status.healthy:
        raise click.exceptions.Exit(1)


def _named(queues: str, known: list[str]) -> list[str]:
    """Take a list of queues apart; a name that no queue has is a slip of the pen."""
    names = [name.strip() for name in queues.split(",") if name.strip()]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise click.UsageError(f"No queue is named {', '.join(wrong) or queues!r}; there are {', '.join(known)}.")
    return names


def _show(status: QueueStatus, chosen: list[str], full: list[str]) -> None:
    click.echo(status.headline if status.healthy is False or not full else f"Full: {', '.join(full)} over --max")
    if status.advice:
        click.echo(f"Try: {status.advice}")
    queues = [
        (q.name, q.waiting, q.delayed, q.reserved, q.failed, q.oldest_wait_seconds and round(q.oldest_wait_seconds, 1))
        for q in status.queues
        if q.name in chosen
    ]
    click.echo()
    show_table(("Queue", "Waiting", "Delayed", "Reserved", "Failed", "Oldest wait s"), queues, empty="No such queue.")
    workers = [
        (
            str(w.id),
            w.host,
            str(w.pid),
            w.queues,
            w.state,
            w.stop_reason,
            round(w.heartbeat_age_seconds, 1),
            w.jobs_done,
        )
        for w in status.workers
    ]
    click.echo()
    heads = ("Worker", "Host", "Pid", "Queues", "State", "Reason", "Heartbeat s ago", "Jobs")
    show_table(heads, workers, empty="No worker has run in the last day.")


@click.command("clear")
@click.option("--queue", "queues", required=True, help="The queue to empty; several with commas between.")
@click.option("--reserved", is_flag=True, help="Delete the jobs that workers hold at this moment, too.")
@click.option("--force", is_flag=True, help="Do not ask, in production either.")
@with_appcontext
def clear(queues: str, reserved: bool, force: bool) -> None:
    """Delete the jobs of a queue.

    The recipients of deleted sending jobs are not sent to; their credits come back at once.

    \b
    Example:  flask sms clear --queue=sms

    Exit codes: 0 done, 1 not done, 2 wrong options.
    """
    names = _named(queues, read(lambda session: [line.name for line in monitor.status(session, QUEUES).queues]))
    if settings().is_production and not force:
        click.confirm(f"Delete all jobs of {', '.join(names)} in production?", abort=True)
    for name in names:
        click.echo(f"{name}: {count(_clear(name, reserved), 'job')} deleted.")


def _clear(queue: str, reserved: bool) -> int:
    registry, store = build_registry(), database()
    return store.write(lambda session: failed.clear(session, registry, queue, reserved=reserved))


@click.command("restart")
@with_appcontext
def restart() -> None:
    """Ask all workers to finish what they have in hand and start anew, with new code.

    Their environment stays as it is: for new settings, restart the service.

    \b
    Example, after a deployment:  flask sms restart

    Exit codes: 0 asked, 1 not asked.
    """
    write(control.request_restart)
    click.echo("Workers start anew when they have finished what they have in hand.")
