"""`flask sms doctor`."""

import json

import pytest
import sqlalchemy as sa

from smsqueue.db import Database, build_engine
from smsqueue.domain.jobs import QUEUES
from smsqueue.queue import workers
from tests.integration.cli.conftest import runner_of

SEND = ("send", "--user", "ann@example.org", "--to", "07400 123456", "--text", "Hello")


def levels(result):
    """What each check says."""
    return {check["check"]: check["level"] for check in json.loads(result.stdout)["checks"]}


def test_installation_that_is_well_has_no_errors(run, store):
    store.write(lambda session: workers.register(session, QUEUES, 60))
    result = run("doctor", "--json")
    assert json.loads(result.stdout)["ok"] is True
    found = levels(result)
    assert "error" not in found.values()
    assert {"times", "migrations", "instance folder", "clock", "lease of workers", "indexes"} <= set(found)


def test_error_is_told_with_its_remedy_and_an_exit_code(run, ann):
    run(*SEND)
    said = run("doctor", code=1).stdout
    assert "ERROR    service" in said
    assert "-> `flask sms work --daemon --queue=sms`" in said
    assert said.splitlines()[-1].endswith(
        "checks: 1 errors, 1 warnings." if "WARNING" in said else "1 errors, 0 warnings."
    )


@pytest.mark.databases("sqlite", "postgresql")
def test_tables_of_another_version(make_cli_app, database_url):
    store = Database(build_engine(database_url))
    store.write(lambda session: session.execute(sa.text("UPDATE alembic_version SET version_num = '0001'")))
    store.dispose()
    run = runner_of(make_cli_app(DATABASE_URL=database_url))
    assert levels(run("doctor", "--json", code=1))["migrations"] == "error"


@pytest.mark.databases("postgresql")
def test_fix_sets_the_storage_of_all_hot_tables(make_cli_app, database_url):
    run = runner_of(make_cli_app(DATABASE_URL=database_url))
    assert "WARNING  storage" in run("doctor").stdout
    assert "Set fillfactor and autovacuum of sms_recipients.\n" in run("doctor", "--fix").stdout
    answer = json.loads(run("doctor", "--fix", "--json").stdout)
    assert answer["fixed"] == []
    assert {check["check"]: check["level"] for check in answer["checks"]}["storage"] == "ok"


@pytest.mark.databases("sqlite")
def test_folder_that_is_almost_full(run, monkeypatch):
    monkeypatch.setattr("smsqueue.cli.doctor.ROOM", 2**63)
    assert levels(run("doctor", "--json"))["instance folder"] == "warning"


@pytest.mark.databases("sqlite")
def test_gateway_that_nobody_can_report_of(make_cli_app):
    kannel = {f"KANNEL_{name}": "http://127.0.0.1:9" for name in ("URL", "USERNAME", "PASSWORD")}
    environ = {"SMS_GATEWAY": "kannel", "SMS_ROUTES": "+33:log", "KANNEL_FROM": "12345", **kannel}
    said = runner_of(make_cli_app(**environ))("doctor").stdout
    assert "kannel; for some countries log; no reports can come back" in said
    assert "-> set SMS_CALLBACK_BASE_URL: without reports" in said
    told = {"SMS_CALLBACK_BASE_URL": "https://sms.example.org", "SMS_CALLBACK_SECRET": "of no use anywhere " * 2}
    assert levels(runner_of(make_cli_app(**environ, **told))("doctor", "--json"))["gateways"] == "ok"
