"""`monitor`, `clear`, `restart`, `failed`, `retry-failed`, `audit`, and what all commands have in common."""

import json

import click
import pytest
import sqlalchemy as sa

from smsqueue.cli.group import sms
from smsqueue.cli.services import build_registry
from smsqueue.domain import credits
from smsqueue.domain.jobs import QUEUES
from smsqueue.models import Account, Campaign
from smsqueue.queue import claim, control, failed, workers
from smsqueue.queue.dispatch import SECOND
from smsqueue.queue.models import FailedJob, JobRow
from tests.integration.cli.conftest import runner_of

SEND = ("send", "--user", "ann@example.org", "--to", "07400 123456", "--text", "Hello")


def count(store, table):
    """How many rows a table has."""
    with store.reading() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table))


def balance_of(store, user):
    """What a person's team can spend."""
    with store.reading() as session:
        return credits.balance(session, user.team_id)


@pytest.fixture
def worker_id(store):
    """A worker that is alive."""
    return store.write(lambda session: workers.register(session, QUEUES, 60))


@pytest.fixture
def failed_job(run, app, store, ann, worker_id):
    """A single SMS that was given up."""
    run(*SEND)
    (held,) = store.write(lambda session: claim.claim(session, worker_id, "sms", 1))
    with app.app_context():
        registry = build_registry()
    trace = "Traceback\nOSError: no route"
    store.write(lambda session: failed.fail(session, registry, held, "OSError: no route", trace))
    with store.reading() as session:
        return session.scalars(sa.select(FailedJob)).one()


def test_monitor_says_what_is_wrong_and_what_helps(run, ann):
    run(*SEND)
    result = run("monitor", code=1)
    assert result.stdout.startswith("Stopped: no worker is running\nTry: flask sms work --daemon\n")


def test_monitor_is_content_while_a_worker_lives(run, worker_id):
    result = run("monitor", "--json")
    status = json.loads(result.stdout)
    assert status["healthy"] is True
    assert [line["name"] for line in status["queues"]] == list(QUEUES)
    assert status["workers"][0]["id"] == worker_id


def test_monitor_minds_how_many_jobs_wait(run, ann, worker_id):
    run(*SEND)
    run("monitor", "--max", "1")
    assert "Full: sms" in run("monitor", "--max", "0", code=1).stdout
    assert json.loads(run("monitor", "--max", "0", "--json", code=1).stdout)["over_max"] == ["sms"]


def test_monitor_minds_how_long_jobs_wait_also_in_a_paused_queue(run, store, ann, worker_id):
    run(*SEND)
    minute = 60 * SECOND
    store.write(lambda s: s.execute(sa.update(JobRow).values(available_at=JobRow.available_at - 4 * minute)))
    run("monitor", "--max-wait", "5m")
    assert "Late: sms over --max-wait" in run("monitor", "--max-wait", "90s", code=1).stdout
    store.write(lambda s: s.execute(sa.update(JobRow).values(available_at=JobRow.available_at - 4 * minute)))
    run("monitor", code=1)
    run("pause", "sms", "--author", "ana")
    assert "Paused: the queue sms, by ana since" in run("monitor").stdout
    late = json.loads(run("monitor", "--max-wait", "5m", "--json", code=1).stdout)
    assert (late["healthy"], late["over_max_wait"], late["queues"][0]["exact"]) == (False, ["sms"], True)


@pytest.mark.databases("sqlite")
def test_monitor_shows_only_the_queues_asked_for(run, worker_id):
    status = json.loads(run("monitor", "notifications,default", "--json").stdout)
    assert [line["name"] for line in status["queues"]] == ["notifications", "default"]


def test_clear_deletes_what_waits_and_gives_the_credits_back(run, store, ann):
    run(*SEND)
    assert run("clear", "--queue=sms").stdout == "sms: 1 job deleted.\n"
    assert count(store, JobRow) == 1  # the mail about the end
    assert balance_of(store, ann) == 100
    run("audit")


def test_clear_spares_what_a_worker_holds_unless_told_otherwise(run, store, ann, worker_id):
    run(*SEND)
    store.write(lambda session: claim.claim(session, worker_id, "sms", 1))
    assert run("clear", "--queue", "sms").stdout == "sms: 0 jobs deleted.\n"
    assert run("clear", "--queue", "sms", "--reserved").stdout == "sms: 1 job deleted.\n"


@pytest.mark.databases("sqlite")
def test_clear_asks_in_production(make_cli_app, store, ann):
    production = {"SMS_ENV": "production", "SECRET_KEY": "0123456789abcdef" * 4, "SMS_ALLOW_FAKE_GATEWAY": "yes"}
    run = runner_of(make_cli_app(**production, BASE_URL="https://sms.example.org"))
    run(*SEND)
    run("clear", "--queue=sms", input="n\n", code=1)
    assert count(store, JobRow) == 1
    run("clear", "--queue=sms", "--force")
    assert balance_of(store, ann) == 100


@pytest.mark.databases("sqlite")
def test_restart_leaves_its_stamp_for_the_workers(run, store):
    run("restart")
    assert store.write(control.restart_stamp) > 0


def test_failed_jobs_are_listed_with_their_reason(run, failed_job):
    assert "OSError: no route" in run("failed").stdout
    (line,) = json.loads(run("failed", "--json").stdout)
    assert (line["id"], line["uuid"], line["kind"]) == (failed_job.id, failed_job.uuid, "sms.send-single")
    assert line["exception"].startswith("Traceback")


@pytest.mark.databases("sqlite")
def test_nothing_failed_is_an_empty_list(run):
    assert run("failed").stdout == "No job has failed.\n"
    assert json.loads(run("failed", "--json").stdout) == []
    assert run("retry-failed", "all").stdout == "No job has failed.\n"


@pytest.mark.parametrize("name", ["id", "uuid", "all"])
def test_retry_puts_the_job_back_and_charges_it_again(run, store, ann, failed_job, name):
    assert balance_of(store, ann) == 100
    run("retry-failed", "all" if name == "all" else str(getattr(failed_job, name)))
    assert count(store, FailedJob) == 0
    assert balance_of(store, ann) == 99
    run("audit")


def test_retry_is_refused_while_the_credits_are_missing(run, store, ann, failed_job, csv):
    numbers = "number\n" + "".join(f"074001234{number:02}\n" for number in range(100))
    run("campaign", "create", "--user", "ann@example.org", "--csv", csv(numbers), "--text", "Hello")
    result = run("retry-failed", "all", code=1)
    assert f"Failed job {failed_job.id} was not retried: This costs 1 credits" in result.stderr
    assert count(store, FailedJob) == 1


def test_one_refused_retry_does_not_stop_the_others(run, store, failed_job):
    result = run("retry-failed", "987654", str(failed_job.id), code=1)
    assert "no failed job has the id 987654" in result.stderr
    assert f"Failed job {failed_job.id} is back" in result.stdout
    assert count(store, FailedJob) == 0


def test_audit_names_each_row_that_differs(run, store, ann):
    run(*SEND)
    assert "All is right" in run("audit").stdout
    store.write(lambda s: s.execute(sa.update(Account).where(Account.name.like("wallet:%")).values(balance=98)))
    result = run("audit", code=1)
    assert f"account wallet:{ann.team_id}" in result.stderr
    report = json.loads(run("audit", "--json", code=1).stdout)
    assert report["ok"] is False
    assert len(report["problems"]) == 1


def test_database_that_is_away_is_a_sentence(make_cli_app, database):
    run = runner_of(make_cli_app(DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing"))
    result = run("audit", code=1)
    assert result.stderr.startswith("Error: The database does not do what is asked: ")
    assert "Traceback" not in result.output


def test_database_without_tables_is_a_sentence(make_cli_app, databases, database_kind):
    run = runner_of(make_cli_app(DATABASE_URL=databases.empty(database_kind)))
    assert "flask db upgrade" in run("campaign", "list", code=1).stderr


@pytest.mark.databases("sqlite")
def test_events_of_commands_stand_in_the_log_file(run, app, ann, store):
    result = run(*SEND)
    with store.reading() as session:
        campaign_id = session.scalar(sa.select(Campaign.id))
    log = app.config["SETTINGS"].log_file.read_text(encoding="utf-8")
    assert f"campaign.launched: campaign {campaign_id} was confirmed" in log
    assert "7400" not in log
    assert "campaign.launched" not in result.stderr


def commands(group: click.Group):
    """All commands below a group."""
    for command in group.commands.values():
        yield from commands(command) if isinstance(command, click.Group) else (command,)


@pytest.mark.parametrize("command", list(commands(sms)), ids=lambda command: command.name)
def test_help_shows_an_example_and_the_exit_codes(command):
    assert "Example" in command.help
    assert "Exit codes: 0" in command.help
