"""The command that examines an installation."""

import os
import shutil
from dataclasses import asdict
from functools import partial

import click
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask.cli import with_appcontext

from smsqueue.cli.base import database, settings
from smsqueue.cli.output import show_json
from smsqueue.config import Settings
from smsqueue.db import Database
from smsqueue.observe.redaction import escape, scrub
from smsqueue.paths import resource_dir
from smsqueue.queue import doctor, doctor_server
from smsqueue.queue.doctor import Check, Finding
from smsqueue.queue.doctor_server import Storage

ROOM = 200 * 1024 * 1024
_OFTEN = {"fillfactor": 70, "autovacuum_vacuum_scale_factor": 0.02, "autovacuum_vacuum_threshold": 1000}
_FEW = {"fillfactor": 50, "autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 500}
HOT: Storage = {
    **doctor_server.HOT,
    "sms_recipients": _OFTEN,
    "sms_attempts": _OFTEN,
    "sms_campaigns": _FEW,
    "accounts": _FEW,
}
"""The tables whose rows change all the time."""
SIGNS = {"ok": "ok", "warning": "WARNING", "error": "ERROR"}


@click.command("doctor")
@click.option("--fix", is_flag=True, help="Set fillfactor and autovacuum of the hot tables (PostgreSQL).")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@with_appcontext
def doctor_command(fix: bool, as_json: bool) -> None:
    """Examine settings, database, workers and queues, and say what to do about what is wrong.

    Nothing is changed without --fix, and nobody is disturbed with it.

    \b
    Examples:
      flask sms doctor
      flask sms doctor --fix

    Exit codes: 0 no errors (there may be warnings), 1 errors, 2 wrong options.
    """
    store, chosen = database(), settings()
    fixed = doctor_server.fix_storage(store, HOT) if fix else []
    findings = doctor.examine(store, _checks(chosen))
    if as_json:
        levels = [finding.level for finding in findings]
        show_json({"ok": "error" not in levels, "fixed": fixed, "checks": [asdict(finding) for finding in findings]})
    else:
        for table in fixed:
            click.echo(f"Set fillfactor and autovacuum of {table}.")
        _show(findings)
    if any(finding.level == "error" for finding in findings):
        raise click.exceptions.Exit(1)


def _checks(chosen: Settings) -> list[tuple[str, Check]]:
    return [
        ("times", lambda _: _times(chosen)),
        ("instance folder", lambda _: _folder(chosen)),
        ("gateways", lambda _: _gateways(chosen)),
        ("migrations", _migrations),
        *doctor_server.CHECKS,
        ("storage", partial(doctor_server.storage, wanted=HOT)),
        *doctor.CHECKS,
        ("lease of workers", partial(doctor.leases, seconds=chosen.lease_seconds)),
    ]


def _show(findings: list[Finding]) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        click.echo(f"{SIGNS[finding.level]:7}  {finding.check:{width}}  {escape(scrub(finding.found))}")
        if finding.advice:
            click.echo(f"{'':7}  {'':{width}}  -> {escape(finding.advice)}")
    errors, warnings = (sum(finding.level == level for finding in findings) for level in ("error", "warning"))
    click.echo(f"{len(findings)} checks: {errors} errors, {warnings} warnings.")


def _times(chosen: Settings) -> Finding:
    """Lease, heartbeat and calls fit together: a program whose settings do not does not start."""
    call = chosen.connect_timeout_seconds + chosen.read_timeout_seconds
    found = f"lease {chosen.lease_seconds:g} s, a beat each {chosen.heartbeat_seconds:g} s, a call up to {call:g} s"
    return Finding("times", "ok", found)


def _folder(chosen: Settings) -> Finding:
    """Logs, keys and an embedded database can be written."""
    folders = {chosen.instance, chosen.log_file.parent}
    closed = sorted(str(folder) for folder in folders if not os.access(folder, os.W_OK | os.X_OK))
    if closed:
        return Finding("instance folder", "error", f"cannot be written: {', '.join(closed)}", "mind owner and mode")
    free = min(shutil.disk_usage(folder).free for folder in folders)
    found = f"{chosen.instance}, {free >> 20:,} MiB free"
    if free < ROOM:
        return Finding("instance folder", "warning", found, "make room: without it nothing can be written")
    return Finding("instance folder", "ok", found)


def _gateways(chosen: Settings) -> Finding:
    """Texts really go out, and reports come back."""
    found = ", then ".join(chosen.gateways_by_default)
    others = [name for name in chosen.gateways_in_use if name not in chosen.gateways_by_default]
    found += f"; for some countries {', '.join(others)}" if others else ""
    if chosen.is_fake_gateway:
        return Finding("gateways", "ok", f"{found}: nothing is really sent")
    if not chosen.callback_base_url:
        advice = "set SMS_CALLBACK_BASE_URL: without reports nobody learns whether texts arrive, nor of lost answers"
        return Finding("gateways", "warning", f"{found}; no reports can come back", advice)
    return Finding("gateways", "ok", f"{found}; reports come to {chosen.callback_base_url}/callbacks")


def _migrations(store: Database) -> Finding:
    """The tables are those of this version."""
    head = ScriptDirectory(str(resource_dir("migrations"))).get_current_head()
    with store.engine.connect() as connection:
        found = MigrationContext.configure(connection).get_current_revision()
    if found == head:
        return Finding("migrations", "ok", f"{found}, the newest")
    return Finding("migrations", "error", f"the tables are of {found}, this version needs {head}", "`flask db upgrade`")
