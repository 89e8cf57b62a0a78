"""`failed`, `retry-failed`, `forget`, `flush` and `prune-failed`."""

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsqueue.cli.services import build_registry
from smsqueue.core.clock import now
from smsqueue.domain.jobs import QUEUES, SendResetMailJob
from smsqueue.queue import claim, failed, workers
from smsqueue.queue.dispatch import enqueue
from smsqueue.queue.models import FailedJob, JobRow
from tests.integration.cli.test_queues import SEND, balance_of, count


@pytest.fixture
def give_up(app, store):
    """Let the next job of a queue fail, by a class of error, and return its id among the failed ones."""
    worker_id = store.write(lambda session: workers.register(session, QUEUES, 60))
    with app.app_context():
        registry = build_registry()

    def give_up(queue: str = "sms", error: str = "OSError") -> int:
        (held,) = store.write(lambda session: claim.claim(session, worker_id, queue, 1))
        trace = f"Traceback\n{error}: no route"
        store.write(lambda s: failed.fail(s, registry, held, f"{error}: no route", trace, error=error))
        with store.reading() as session:
            return int(session.scalars(sa.select(sa.func.max(FailedJob.id))).one())

    return give_up


@pytest.fixture
def three(run, store, ann, give_up):
    """A single SMS, and two mails that failed by another error, the first of them a day ago."""
    run(*SEND)
    texts = [give_up()]
    for number in (1, 2):
        store.write(lambda session, number=number: enqueue(session, SendResetMailJob(user_id=number), priority=-9))
    mails = [give_up("notifications", "ConnectError") for _ in (1, 2)]
    yesterday = sa.update(FailedJob).where(FailedJob.id == mails[0]).values(failed_at=now() - timedelta(days=1))
    store.write(lambda session: session.execute(yesterday))
    return [*texts, *mails]


def ids(result):
    return [each["id"] for each in json.loads(result.stdout)]


def test_list_is_filtered(run, three):
    text, old, new = three
    assert ids(run("failed", "--json")) == [new, old, text]
    assert ids(run("failed", "--json", "--queue", "notifications")) == [new, old]
    assert ids(run("failed", "--json", "--class", "sms.send-single")) == [text]
    assert ids(run("failed", "--json", "--kind", "SendSingleSmsJob")) == [text]
    assert ids(run("failed", "--json", "--error", "ConnectError", "--since", "2h")) == [new]
    assert ids(run("failed", "--json", "--since", (now() - timedelta(hours=30)).isoformat())) == [new, old, text]
    assert run("failed", "--error", "NoSuch").stdout == "No failed job is like that.\n"


def test_list_is_grouped_by_kind_and_error(run, three):
    text, old, new = three
    found = json.loads(run("failed", "--group", "--json").stdout)
    facts = [[each[name] for name in ("kind", "error", "count", "first_id", "last_id")] for each in found]
    assert facts == [["mail.reset", "ConnectError", 2, old, new], ["sms.send-single", "OSError", 1, text, text]]
    assert "ConnectError" in run("failed", "--group").stdout


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("since", ["yesterday", "0m", "12", "9999d"])
def test_time_that_is_none_is_refused(run, since):
    assert "no time" in run("failed", "--since", since, code=2).stderr.replace("length of ", "")


def test_retry_takes_what_the_filters_leave(run, store, three):
    _text, old, new = three
    result = run("retry-failed", "--queue", "notifications", "--since", "2h", "--json")
    (outcome,) = json.loads(result.stdout)
    assert (outcome["id"], outcome["refused"]) == (str(new), None)
    assert count(store, FailedJob) == 2
    run("retry-failed", "--range", f"{old}-{new}")
    assert count(store, FailedJob) == 1
    run("retry-failed", "all", "--class", "SendSingleSmsJob")
    assert count(store, FailedJob) == 0
    assert run("retry-failed", "--error", "OSError").stdout == "No failed job is like that.\n"


def test_dry_run_changes_nothing_and_says_what_would_be_refused(run, store, ann, three):
    jobs, balance = count(store, JobRow), balance_of(store, ann)
    result = run("retry-failed", "987654", str(three[0]), "--dry-run", code=1)
    assert result.stdout == f"Failed job {three[0]} would go back to its queue.\n"
    assert "Failed job 987654 would not be retried: no failed job" in result.stderr
    assert (count(store, FailedJob), count(store, JobRow), balance_of(store, ann)) == (3, jobs, balance)
    run("audit")


def test_unique_job_is_refused_while_another_has_its_key(run, store, three):
    key = {"unique_key": "one at a time"}
    store.write(lambda session: session.execute(sa.update(FailedJob).where(FailedJob.id == three[2]).values(**key)))
    waiting = store.write(lambda session: enqueue(session, SendResetMailJob(user_id=3)))
    store.write(lambda session: session.execute(sa.update(JobRow).where(JobRow.id == waiting).values(**key)))
    result = run("retry-failed", "all", code=1)
    assert f"Failed job {three[2]} was not retried: another job has the unique key 'one at a time'" in result.stderr
    assert count(store, FailedJob) == 1


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("words", [[], ["all", "5"], ["5", "--queue", "sms"], ["--range", "x"], ["--range", "5-"]])
def test_retry_of_what_is_not_clear_is_refused(run, words):
    run("retry-failed", *words, code=2)


def test_forgotten_sending_job_stays_credited(run, store, ann, three):
    before = balance_of(store, ann)
    result = run("forget", str(three[0]), "987654", code=1)
    assert result.stdout == f"Failed job {three[0]} is forgotten.\n"
    assert "no failed job has the id 987654" in result.stderr
    assert (count(store, FailedJob), balance_of(store, ann), before) == (2, 100, 100)
    run("audit")
    run("forget", str(three[1]))


def test_old_failed_jobs_are_pruned(run, store, three):
    assert run("prune-failed", "--hours", "48").stdout == "0 failed jobs deleted.\n"
    assert run("prune-failed").stdout == "1 failed job deleted.\n"
    assert count(store, FailedJob) == 2


def test_flush_deletes_all_or_the_old_ones(run, store, three):
    assert run("flush", "--hours", "12").stdout == "1 failed job deleted.\n"
    assert run("flush").stdout == "2 failed jobs deleted.\n"
    run("audit")
