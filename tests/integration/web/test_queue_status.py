"""The operators' page of queues and workers."""

import pytest
import sqlalchemy as sa

from smsqueue.cli.group import sms
from smsqueue.core.clock import now
from smsqueue.domain import breaker
from smsqueue.domain.jobs import SendResetMailJob
from smsqueue.models import GatewayState
from smsqueue.queue import control, workers
from smsqueue.queue.dispatch import SECOND, clock_us, enqueue
from smsqueue.queue.history import MINUTE, stats
from smsqueue.queue.models import WorkerRow
from smsqueue.web.queue_status import brief, duration
from tests.integration.web.parts import part, words_of
from tests.web import main_of, one, page_of


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
    assert [row[:5] for row in cells[:3]] == [
        ["sms", "0", "0", "0", "0"],
        ["notifications", "1", "1", "0", "0"],
        ["default", "0", "0", "0", "0"],
    ]


@pytest.mark.parametrize("asked", [{"query_string": "format=json"}, {"headers": {"Accept": "application/json"}}])
def test_same_numbers_come_as_json(operator, asked):
    status = operator.get("/sms/queue/status", **asked).json
    assert set(status) >= {"healthy", "headline", "advice", "queues", "workers", "pauses", "maintenance"}
    assert [queue["name"] for queue in status["queues"]] == ["sms", "notifications", "default"]


def test_page_and_json_say_how_the_gateways_are_since_when_and_why(operator, store):
    store.write(lambda session: breaker.pause(session, "simulated", "ann@example.com", "they bill twice", now()))

    row = one(operator.get("/sms/queue/status"), "tr:has(> th:-soup-contains('simulated'))").get_text(" ", strip=True)
    (shown,) = operator.get("/sms/queue/status?format=json").json["gateways"]

    assert "Paused" in row
    assert "ann@example.com: they bill twice" in row
    assert "flask sms gateway resume simulated" in row
    assert (shown["name"], shown["state"], shown["why"]) == ("simulated", "paused", "ann@example.com: they bill twice")
    assert shown["since"] is not None


def away(session):
    """Let the breaker of the only gateway open."""
    session.add(GatewayState(name="simulated", failures=10, opened_at=now(), reason="no answer in time."))


def paused(session):
    """Let an operator pause the only gateway."""
    breaker.pause(session, "simulated", "ben", "moves house", now())


def misdirected(session):
    """Let a redirection pause the only gateway."""
    breaker.pause(session, "simulated", "smsqueue", "it redirects", now())


def paused_with_the_queue(session):
    """Let operators pause the queue, too."""
    control.pause(session, "sms", author="ann")
    away(session)


@pytest.mark.parametrize(
    ("trouble", "begins", "has", "healthy", "advice"),
    [
        (away, "Slow: gateway simulated cannot be reached since ", "(no answer in time)", False, "gateway show"),
        (paused, "Paused: gateway simulated is paused since ", "by ben: moves house", True, "gateway resume"),
        (misdirected, "Stopped: gateway simulated is paused since ", "it redirects", False, "gateway resume"),
        (paused_with_the_queue, "Slow: gateway simulated cannot", "no answer", False, "gateway show"),
    ],
)
def test_head_line_says_that_a_gateway_takes_nothing(app, operator, store, *, trouble, begins, has, healthy, advice):
    store.write(lambda session: workers.register(session, ["sms", "notifications", "default"], 60))
    store.write(trouble)

    status = operator.get("/sms/queue/status?format=json").json
    command = f"flask sms {advice} simulated"
    monitor = app.test_cli_runner().invoke(sms, ["monitor"])
    top = app.test_cli_runner().invoke(sms, ["top", "--once"])

    assert status["headline"].startswith(begins)
    assert has in status["headline"]
    assert (status["healthy"], status["advice"]) == (healthy, command)
    words = words_of(operator.get("/sms/queue/status"), ".notice-warn" if healthy else ".notice-bad")
    assert status["headline"] in words
    assert command in words
    assert monitor.stdout.splitlines()[:2] == [status["headline"], f"Try: {command}"]
    assert monitor.exit_code == int(not healthy)
    assert f"{status['headline']} (try: {command})" in top.stdout


def test_a_gateway_that_nobody_uses_is_no_matter_for_the_head_line(operator, store):
    store.write(lambda session: workers.register(session, ["sms", "notifications", "default"], 60))
    store.write(lambda session: breaker.pause(session, "twilio", "ben", "not yet", now()))
    assert operator.get("/sms/queue/status?format=json").json["headline"] == "Healthy"


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


def pauses(store):
    with store.reading() as session:
        return control.read(session).pauses


def test_operator_pauses_a_queue_and_resumes_it(operator, store):
    form = {"queue": "sms", "seconds": "1800", "reason": "new tariff"}
    page = operator.post("/sms/queue/pause", form, follow_redirects=True)
    (pause,) = pauses(store)
    assert (pause.queue, pause.reason, pause.until - pause.since) == ("sms", "new tariff", 1800 * SECOND)
    assert "@" in pause.author
    assert f"by {pause.author} since" in main_of(page)
    assert "new tariff" in main_of(page)
    page = operator.post("/sms/queue/resume", {"queue": "sms"}, follow_redirects=True)
    assert "Resumed." in main_of(page)
    assert pauses(store) == ()


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    "wrong", [{"queue": "nothing"}, {"reason": ""}, {"reason": "x" * 201}, {"seconds": "1"}], ids=str
)
def test_pause_without_sense_shows_the_form_again(operator, store, wrong):
    page = operator.post("/sms/queue/pause", {"queue": "sms", "seconds": "", "reason": "why", **wrong})
    assert page.status_code == 422
    assert part(page, ".error-summary")
    assert pauses(store) == ()


@pytest.mark.databases("sqlite")
def test_pause_without_an_end_lasts_until_it_is_resumed(operator, store):
    operator.post("/sms/queue/pause", {"queue": "*", "seconds": "", "reason": "stop it"})
    assert [(pause.queue, pause.until) for pause in pauses(store)] == [("*", None)]
    assert operator.post("/sms/queue/resume", {"queue": "no such"}).status_code == 422
    assert len(pauses(store)) == 1


@pytest.mark.databases("sqlite")
def test_members_and_strangers_may_not_pause(member, visitor, store):
    form = {"queue": "sms", "seconds": "", "reason": "why"}
    assert member.post("/sms/queue/pause", form).status_code == 403
    assert member.post("/sms/queue/resume", {"queue": "sms"}).status_code == 403
    assert visitor.post("/sms/queue/pause", form).status_code == 401
    assert pauses(store) == ()


def test_page_shows_the_last_hour_of_each_queue(operator, store):
    with store.reading() as session:
        minute = clock_us(session) // MINUTE
    row = {"queue": "sms", "kind": "sms.send-bulk", "failed": 1, "released": 2, "wait_us": 6_000_000}
    row |= {"wait_max_us": 90 * SECOND, "run_us": 3 * SECOND, "run_max_us": SECOND}
    rows = [{**row, "minute": minute - ago, "done": done} for ago, done in ((5, 7), (20, 1200), (90, 5000))]
    store.write(lambda session: session.execute(sa.insert(stats), rows))
    page = operator.get("/sms/queue/status")
    cells = [cell.get_text(strip=True) for cell in part(page, "tr:has(.spark)").select("th, td")]
    assert cells[:7] == ["sms", "1,207", "2", "4", "10 ms", "2 min", "5 ms"]
    assert "1,207 in all, at most 1,200 in one minute" in part(page, ".spark")["aria-label"]
    assert len(part(page, ".spark").select("rect")) == 2
    (history,) = operator.get("/sms/queue/status?format=json").json["history"]
    assert (history["queue"], history["done"], len(history["done_by_minute"])) == ("sms", 1207, 60)


def test_page_shows_what_workers_say_of_themselves(operator, store):
    worker = store.write(lambda session: workers.register(session, ["sms"], 60))
    facts = {"memory_mib": 96, "threads": 4, "wakeup": "degraded", "is_paused": True}
    store.write(lambda session: session.execute(sa.update(WorkerRow).where(WorkerRow.id == worker).values(**facts)))
    text = main_of(operator.get("/sms/queue/status"))
    for words in ("Paused", "96 MiB", "4 threads", "it listens and hears nothing"):
        assert words in text
    (line,) = operator.get("/sms/queue/status?format=json").json["workers"]
    assert {name: line[name] for name in facts} == facts


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.0004, "0 ms"), (0.25, "250 ms"), (1.25, "1.2 s"), (12, "12 s"), (600, "10 min")]
)
def test_short_times_are_said_to_the_millisecond(seconds, words):
    assert brief(seconds) == words
