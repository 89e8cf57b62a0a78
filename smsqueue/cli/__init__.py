"""`flask sms`: every command, at the terminal and in cron."""

from smsqueue.cli import accounts, audit, campaigns, demo, failed, queues, sending, simulator, work
from smsqueue.cli.base import Commands

sms = Commands(
    "sms", help="Send SMS campaigns in the background. `flask sms COMMAND --help` shows each command with an example."
)
campaigns.campaign.add_command(sending.create)
for command in (
    work.work,
    queues.monitor_command,
    queues.clear,
    queues.restart,
    failed.failed_command,
    failed.retry_failed,
    audit.audit_command,
    sending.send,
    campaigns.campaign,
    accounts.user,
    accounts.team,
    accounts.credit,
    simulator.simulator,
    demo.demo,
):
    sms.add_command(command)
