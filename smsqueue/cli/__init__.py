"""`flask sms`: every command, at the terminal and in cron."""

import click
from flask.cli import with_appcontext

from smsqueue.cli import accounts, audit, campaigns, demo, doctor, explain, failed, queues, sending, simulator, work
from smsqueue.cli.base import Commands, settings
from smsqueue.observe import logs


@click.group("sms", cls=Commands)
@click.pass_context
@with_appcontext
def sms(context: click.Context) -> None:
    """Send SMS campaigns in the background.

    `flask sms COMMAND --help` shows each command with an example and its exit codes.
    """
    chosen = settings()
    logs.start(chosen.log_format, chosen.log_file, quiet=context.invoked_subcommand != "work")
    context.call_on_close(logs.stop)


campaigns.campaign.add_command(sending.create)
for command in (
    work.work,
    queues.monitor_command,
    queues.clear,
    queues.restart,
    failed.failed_command,
    failed.retry_failed,
    audit.audit_command,
    doctor.doctor_command,
    explain.explain_command,
    sending.send,
    campaigns.campaign,
    accounts.user,
    accounts.team,
    accounts.credit,
    simulator.simulator,
    demo.demo,
):
    sms.add_command(command)
