"""`flask sms work`: the command that works the queues."""

import math
import os
import sys

import click
from flask.cli import with_appcontext

from smsqueue.cli.base import database, settings
from smsqueue.cli.services import build_registry, build_services, chores
from smsqueue.db import Database, build_engine
from smsqueue.domain.jobs import QUEUES
from smsqueue.observe import logs
from smsqueue.queue import control
from smsqueue.queue.job import Policy
from smsqueue.queue.link import PIPES, ParentLink
from smsqueue.queue.stops import Stops
from smsqueue.queue.supervisor import Supervisor
from smsqueue.queue.systemd import Systemd
from smsqueue.queue.worker import Options, Worker

SPARE_CONNECTIONS = 3
"""Beside one for each thread: to claim, to renew the lease, to prove the listener."""


def _numbers(_context: click.Context, _option: click.Parameter, value: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not a number of seconds, or several with commas between") from None
    if not all(0 <= number < math.inf for number in numbers):
        raise click.BadParameter("seconds are 0 or more")
    return numbers


@click.command("work")
@click.option("--daemon", is_flag=True, help="Keep running; without it, stop when no job is ready.")
@click.option("--once", is_flag=True, help="Run one job, then stop.")
@click.option("--workers", default=1, type=click.IntRange(1, 64), show_default=True, help="Worker processes.")
@click.option(
    "--threads", default=1, type=click.IntRange(1, 64), show_default=True, help="Jobs at once in each worker."
)
@click.option(
    "--urgent-priority", type=int, help="Keep one of the --threads for jobs whose priority is at most this number."
)
@click.option("--queue", default=",".join(QUEUES), show_default=True, help="Queues, the most urgent first.")
@click.option("--timeout", default=60.0, type=click.FloatRange(0), show_default=True, help="Seconds; 0: no limit. *")
@click.option("--tries", default=1, type=click.IntRange(0), show_default=True, help="Runs before giving up; 0: ever. *")
@click.option("--backoff", default="0", callback=_numbers, show_default=True, help="Seconds before each new try. *")
@click.option("--sleep", default=3.0, type=click.FloatRange(0.01), show_default=True, help="Seconds between looks.")
@click.option("--memory", default=128.0, type=click.FloatRange(0), show_default=True, help="MiB; over it: stop, 12.")
@click.option("--max-jobs", default=0, type=click.IntRange(0), help="Stop after so many jobs.")
@click.option("--max-time", default=0.0, type=click.FloatRange(0), help="Stop after so many seconds.")
@click.option("--force", is_flag=True, help="Work during maintenance, too (`flask sms down`).")
@click.option("--verbose", "-v", is_flag=True, help="Log each job, also those that are finished many at a time.")
@click.option("--grace", type=click.FloatRange(0), help="Seconds to finish in when told to stop.  [SMS_GRACE]")
@with_appcontext
def work(**options: object) -> None:
    """Work on the jobs in the queues, in strict order of --queue.

    A parent process watches the workers: it stops a job that runs too long and replaces a worker that dies. TERM
    and INT finish what is in hand; a second one, a second later, ends all at once. (*) holds for jobs that say
    nothing else; the sending jobs do, by SMS_TRIES, SMS_BACKOFF, SMS_SINGLE_TIMEOUT and SMS_BULK_TIMEOUT.

    \b
    Examples:
      flask sms work --daemon
      flask sms work --daemon --workers=4
      flask sms work --daemon --queue=notifications,default --threads=8
      flask sms work --queue=sms,notifications,default --timeout=300 --tries=3

    Exit codes: 0 stopped in order, 12 over --memory (with several --workers that one is replaced instead),
    1 failed, 2 wrong options.
    """
    _refuse_what_does_not_go_together(options)
    if options["verbose"]:
        logs.start(settings().log_format, settings().log_file, verbose=True)
    pipes = os.environ.pop(PIPES, None)
    raise SystemExit(_child(pipes, options) if pipes else _parent(options))


def _refuse_what_does_not_go_together(options: dict[str, object]) -> None:
    if options["once"] and (options["workers"], options["threads"]) != (1, 1):
        raise click.UsageError("--once runs one job: it does not go with --workers or --threads")
    if not _queues(options):
        raise click.BadParameter("name at least one queue", param_hint="--queue")
    if options["urgent_priority"] is not None and options["threads"] == 1:
        raise click.UsageError("--urgent-priority keeps one of several threads: it needs --threads=2 or more")


def _parent(options: dict[str, object]) -> int:
    stops = Stops()
    stops.install()
    grace = options["grace"] if options["grace"] is not None else settings().grace_seconds
    registry = build_registry(defaults=_policy(options))
    supervisor = Supervisor(
        _command(options),
        database(),
        registry,
        grace=float(str(grace)),
        stops=stops,
        count=int(str(options["workers"])),
        is_once=bool(options["once"]),
        systemd=Systemd.from_environment(os.environ),
    )
    code = supervisor.run()
    if code == control.RESTART_CODE and not stops.reason:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves, with new code
    stops.deafen()
    return 0 if code == control.RESTART_CODE else code


def _child(pipes: str, options: dict[str, object]) -> int:
    stops = Stops()
    stops.install()
    link = ParentLink(pipes)
    stops.watch(link.lifeline)
    chosen = _worker_options(options)
    services = build_services(chosen.threads)
    store = Database(build_engine(settings().database_url, pool_size=chosen.threads + SPARE_CONNECTIONS))
    worker = Worker(
        store,
        build_registry(services, _policy(options)),
        chosen,
        stops,
        link=link,
        chores=chores(store, services),
    )
    try:
        return worker.run().code
    finally:
        stops.deafen()  # the parent may tell us to end when we have just ended
        services.close()


def _policy(options: dict[str, object]) -> Policy:
    backoff: tuple[float, ...] = options["backoff"]  # type: ignore[assignment]  # as `_numbers` made it
    return Policy(int(str(options["tries"])), backoff, float(str(options["timeout"])))


def _queues(options: dict[str, object]) -> list[str]:
    return [name.strip() for name in str(options["queue"]).split(",") if name.strip()]


def _worker_options(options: dict[str, object]) -> Options:
    chosen = settings()
    return Options(
        _queues(options),
        daemon=bool(options["daemon"]),
        once=bool(options["once"]),
        sleep=float(str(options["sleep"])),
        memory_mib=float(str(options["memory"])),
        max_jobs=int(str(options["max_jobs"])),
        max_time=float(str(options["max_time"])),
        max_wait=chosen.queue_max_wait_seconds,
        lease=chosen.lease_seconds,
        heartbeat=chosen.heartbeat_seconds,
        threads=int(str(options["threads"])),
        urgent_priority=None if options["urgent_priority"] is None else int(str(options["urgent_priority"])),
        force=bool(options["force"]),
    )


def _command(options: dict[str, object]) -> list[str]:
    """Return the command line of the worker: ours again, started by another name."""
    command = [sys.executable, "-m", "smsqueue", "sms", "work"]
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        if isinstance(value, bool):
            command += [option] if value else []
        elif isinstance(value, tuple):
            command.append(f"{option}={','.join(str(part) for part in value)}")
        elif value is not None:
            command.append(f"{option}={value}")
    return command
