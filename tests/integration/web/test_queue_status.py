"""The operators' page of queues and workers."""

import pytest

from smsqueue.domain.jobs import SendResetMailJob
from smsqueue.queue.dispatch import enqueue
from smsqueue.web.queue_status import duration
from tests.web import main_of, page_of


def test_page_says_what_is_wrong_and_which_command_helps(operator, store):
    store.write(lambda session: enqueue(session, SendResetMailJob(user_id=1)))
    text = main_of(operator.get("/sms/queue/status"))
    assert "flask sms work --daemon" in text
    assert "No worker has run in the last 24 hours" in text


def test_page_counts_jobs_by_queue(operator, store):
    store.write(lambda session: enqueue(session, SendResetMailJob(user_id=1)))
    store.write(lambda session: enqueue(session, SendResetMailJob(user_id=1), delay=600))
    cells = [
        [cell.get_text(strip=True) for cell in row.select("th, td")]
        for row in page_of(operator.get("/sms/queue/status")).select("tbody tr")
    ]
    assert [row[:5] for row in cells] == [
        ["sms", "0", "0", "0", "0"],
        ["notifications", "1", "1", "0", "0"],
        ["default", "0", "0", "0", "0"],
    ]


@pytest.mark.parametrize("asked", [{"query_string": "format=json"}, {"headers": {"Accept": "application/json"}}])
def test_same_numbers_come_as_json(operator, asked):
    status = operator.get("/sms/queue/status", **asked).json
    assert set(status) >= {"healthy", "headline", "advice", "queues", "workers", "pauses", "maintenance"}
    assert [queue["name"] for queue in status["queues"]] == ["sms", "notifications", "default"]


def test_browser_gets_the_page_although_it_takes_everything(operator):
    accept = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
    assert operator.get("/sms/queue/status", headers=accept).mimetype == "text/html"


def test_poll_brings_the_part_that_changes(operator):
    answer = operator.get("/sms/queue/status/poll").json
    assert (answer["stop"], answer["next_ms"]) == (False, 5000)
    assert "Workers" in answer["html"]["queue-status"]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (0.2, "0 s"), (89, "89 s"), (360, "6 min"), (7200, "2 h"), (400_000, "5 days")],
)
def test_times_are_said_roughly(seconds, words):
    assert duration(seconds) == words
