"""`pause`, `resume`, `down`, `up` and `restart --wait`."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from smsqueue.domain.jobs import QUEUES
from smsqueue.queue import control, workers
from tests.outside import wait_until


@pytest.fixture
def wishes(store):
    """Read what operators asked for."""

    def wishes():
        with store.reading() as session:
            return control.read(session)

    return wishes


def register(store):
    return store.write(lambda session: workers.register(session, QUEUES, 60))


def test_pause_says_who_since_when_until_when_and_why(run, wishes):
    result = run("pause", "sms", "--for", "30m", "--reason", "new tariff", "--author", "ana")
    (pause,) = wishes().pauses
    assert (pause.queue, pause.author, pause.reason) == ("sms", "ana", "new tariff")
    assert pause.until - pause.since == 1800 * 1_000_000
    assert result.stdout.startswith("Paused: the queue sms, by ana since ")
    assert result.stdout.endswith(" UTC: new tariff.\n")


@pytest.mark.databases("sqlite")
def test_pause_of_everything_is_written_by_whoever_is_at_the_terminal(run, wishes, monkeypatch):
    monkeypatch.setenv("SUDO_USER", "ben")
    assert run("pause").stdout.startswith("Paused: all queues, by ben since ")
    assert [pause.queue for pause in wishes().pauses] == ["*"]


def test_resume_ends_a_pause_and_says_what_still_holds(run, wishes):
    run("pause", "sms,notifications")
    run("pause", "all", "--author", "ana")
    result = run("resume", "sms,default", code=1)
    assert result.stdout == "Resumed: the queue sms.\nWas not paused: the queue default.\n"
    assert "All queues are paused, by ana since" in result.stderr
    assert run("resume", "all").stdout == "Resumed: all queues.\n"
    assert wishes().pauses == ()


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("words", [["smss"], ["sms", "--for", "30"], ["sms", "--for", "5y"], [""]])
def test_pause_of_what_is_not_there_is_refused(run, words, wishes):
    run("pause", *words, code=2)
    assert wishes().pauses == ()


def test_maintenance_begins_and_ends(run, wishes):
    result = run("down", "--for", "1d", "--reason", "upgrade", "--author", "ana")
    assert result.stdout.startswith("Maintenance, by ana since ")
    assert wishes().maintenance.reason == "upgrade"
    assert run("monitor").stdout.startswith("Maintenance, by ana since ")
    assert run("up").stdout == "Maintenance is over.\n"
    assert run("up").stdout == "There was no maintenance.\n"
    assert wishes().maintenance is None


def test_restart_reports_each_worker_as_it_comes_back(run, store, wishes):
    old = [register(store), register(store)]
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(run, "restart", "--wait", "--timeout", "60s", "--author", "ana")
        wait_until(lambda: wishes().restart > 0)
        for worker_id in old:
            store.write(lambda session, gone=worker_id: workers.sign_off(session, gone, "restart was asked for", 3))
            register(store)
        said = asked.result().stdout
    assert all(f"Worker {worker_id} (" in said for worker_id in old)
    assert said.count("has started.") == 2
    assert said.endswith("2 workers started anew.\n")


def test_restart_names_the_workers_that_are_not_back_in_time(run, store):
    (frozen, by_hand) = (register(store), register(store))
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(run, "restart", "--wait", "--timeout", "3s", code=1)
        store.write(lambda session: workers.sign_off(session, by_hand, "restart was asked for", 3))
        said = asked.result().stderr
    assert f"Worker {frozen} (" in said
    assert "1 worker did not come back" in said or f"Worker {by_hand} (" not in said


@pytest.mark.databases("sqlite")
def test_restart_without_workers_waits_for_nobody(run):
    assert run("restart", "--wait").stdout.endswith("No worker was running.\n")
