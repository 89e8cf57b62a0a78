"""`flask sms`: every command, at the terminal and in cron."""

from smsqueue.cli import (
    accounts,
    audit,
    campaigns,
    closing,
    demo,
    doctor,
    drill,
    explain,
    failed,
    gateway,
    opt_outs,
    pausing,
    queues,
    sending,
    simulator,
    teams,
    top,
    unknown,
    work,
)
from smsqueue.cli.base import make_group

campaigns.campaign.add_command(sending.create)
for command in (closing.sheet, closing.retry, closing.clone):
    campaigns.campaign.add_command(command)
for each in (teams.set_rules, teams.show):
    accounts.team.add_command(each)
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
    gateway.gateway,
    sending.send,
    campaigns.campaign,
    unknown.unknown,
    opt_outs.opt_out,
    accounts.user,
    accounts.team,
    accounts.credit,
    simulator.simulator,
    demo.demo,
)
