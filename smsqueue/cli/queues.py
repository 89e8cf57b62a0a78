"""Commands that look at the queues, and one that empties them."""

import click
from flask.cli import with_appcontext

from smsqueue.cli.base import database, read, settings
from smsqueue.cli.output import count, show_json, show_table
from smsqueue.cli.services import build_registry
from smsqueue.cli.times import DURATION
from smsqueue.domain.gateway_lines import judge
from smsqueue.domain.jobs import QUEUES
from smsqueue.queue import clearing, monitor
from smsqueue.queue.depths import ENOUGH
from smsqueue.queue.monitor import QueueLine, QueueStatus, WorkerLine


@click.command("monitor")
@click.argument("queues", required=False)
@click.option("--max", "most", type=click.IntRange(min=0), help="Unhealthy, too, when a queue holds more jobs.")
@click.option(
    "--max-wait", type=DURATION, metavar="S", help="Unhealthy, too, when a job has waited for longer: 90s, 5m."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def monitor_command(*, queues: str | None, most: int | None, max_wait: float | None, as_json: bool) -> None:
    """Show queues and workers, and whether all is well.

    QUEUES limits the list to some, with commas between. Health is judged over all of them, by the rule of the page
    /sms/queue/status: a worker runs, every queue with work is served, nothing has waited for too long, and every
    gateway in use can be reached. What an operator has paused is not ill, unless it is over --max or --max-wait.

    \b
    Example, for cron:  flask sms monitor --max 1000 --max-wait 5m || mail -s "queue" ops@example.org

    Exit codes: 0 healthy, 1 not healthy, 2 wrong options.
    """
    limit = max(ENOUGH, (most or 0) + 1)
    names = settings().gateways_in_use
    status = read(lambda session: judge(session, monitor.status(session, QUEUES, limit=limit), names))
    chosen = _among(queues, [line.name for line in status.queues])
    full = [line.name for line in status.queues if most is not None and _size(line) > most]
    late = [line.name for line in status.queues if max_wait is not None and (line.oldest_wait_seconds or 0) > max_wait]
    if as_json:
        content = {**status.as_dict(), "over_max": full, "over_max_wait": late}
        content["healthy"] = status.healthy and not full and not late
        content["queues"] = [line for line in content["queues"] if line["name"] in chosen]
        show_json(content)
    else:
        _show(status, chosen, _headline(status, full, late))
    if full or late or not status.healthy:
        raise click.exceptions.Exit(1)


def _size(line: QueueLine) -> int:
    return line.waiting + line.delayed + line.reserved


def _headline(status: QueueStatus, full: list[str], late: list[str]) -> str:
    if status.healthy and full:
        return f"Full: {', '.join(full)} over --max"
    if status.healthy and late:
        return f"Late: {', '.join(late)} over --max-wait"
    return status.headline


def _show(status: QueueStatus, chosen: list[str], headline: str) -> None:
    click.echo(headline)
    if status.advice:
        click.echo(f"Try: {status.advice}")
    click.echo()
    heads = ("Queue", "Waiting", "Delayed", "Reserved", "Failed", "Oldest wait s", "Paused")
    rows = [_queue_cells(line) for line in status.queues if line.name in chosen]
    show_table(heads, rows, empty="No such queue.")
    click.echo()
    names = "Worker Host Pid Queues State Reason Heartbeat Jobs MiB Threads Wake-up".split()
    show_table(names, [_worker_cells(line) for line in status.workers], empty="No worker has run in the last day.")


def _queue_cells(line: QueueLine) -> list[object]:
    numbers = [line.shown(name) for name in ("waiting", "delayed", "reserved", "failed")]
    wait = line.oldest_wait_seconds and round(line.oldest_wait_seconds, 1)
    return [line.name, *numbers, wait, line.pause and line.pause.words()]


def _worker_cells(line: WorkerLine) -> list[object]:
    state = "paused" if line.is_paused and line.state == "running" else line.state
    beat = f"{line.heartbeat_age_seconds:.1f} s ago"
    facts = (line.jobs_done, line.memory_mib, line.threads, line.wakeup)
    return [str(line.id), line.host, str(line.pid), line.queues, state, line.stop_reason, beat, *facts]


def named(queues: str) -> list[str]:
    """Take a list of queues apart; a name that no queue has is a slip of the pen."""
    return _among(queues, [line.name for line in read(lambda session: monitor.status(session, QUEUES)).queues])


def _among(queues: str | None, known: list[str]) -> list[str]:
    if queues is None:
        return known
    names = [name.strip() for name in queues.split(",") if name.strip()]
    wrong = [name for name in names if name not in known]
    if wrong or not names:
        raise click.UsageError(f"No queue is named {', '.join(wrong) or queues!r}; there are {', '.join(known)}.")
    return names


@click.command("clear")
@click.option("--queue", "queues", required=True, help="The queue to empty; several with commas between.")
@click.option("--reserved", is_flag=True, help="Delete the jobs that workers hold at this moment, too.")
@click.option("--force", is_flag=True, help="Do not ask, in production either.")
@with_appcontext
def clear(queues: str, reserved: bool, force: bool) -> None:
    """Delete the jobs of a queue, some at a time.

    The recipients of deleted sending jobs are not sent to; their credits come back at once. Jobs that are held by
    a worker, and those that come meanwhile, stay.

    \b
    Example:  flask sms clear --queue=sms

    Exit codes: 0 done, 1 not done, 2 wrong options.
    """
    names = named(queues)
    if settings().is_production and not force:
        click.confirm(f"Delete all jobs of {', '.join(names)} in production?", abort=True)
    registry = build_registry()
    for name in names:
        click.echo(f"{name}: {count(clearing.clear(database(), registry, name, reserved=reserved), 'job')} deleted.")
