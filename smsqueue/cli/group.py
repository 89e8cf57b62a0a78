"""`flask sms`: every command, at the terminal and in cron."""

from smsqueue.cli import (
    accounts,
    audit,
    campaigns,
    demo,
    doctor,
    drill,
    explain,
    failed,
    pausing,
    queues,
    sending,
    simulator,
    top,
    work,
)
from smsqueue.cli.base import make_group

campaigns.campaign.add_command(sending.create)
sms = make_group(
    work.work,
    queues.monitor_command,
    queues.clear,
    pausing.pause,
    pausing.resume,
    pausing.down,
    pausing.up,
    pausing.restart,
    failed.failed_command,
    failed.retry_failed,
    failed.forget,
    failed.flush,
    failed.prune_failed,
    audit.audit_command,
    doctor.doctor_command,
    drill.drill_command,
    explain.explain_command,
    top.top_command,
    sending.send,
    campaigns.campaign,
    accounts.user,
    accounts.team,
    accounts.credit,
    simulator.simulator,
    demo.demo,
)
