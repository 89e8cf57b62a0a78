"""Logs: an event is one line, for people or programs, and nobody's number or text is in it."""

import io
import json
import logging
import re
from collections.abc import Callable, Iterator
from string import Formatter

import pytest
import sqlalchemy as sa

from smsqueue.observe import logs
from smsqueue.observe.words import WORDS, say
from smsqueue.queue.events import emit

NUMBER = "+447700900123"
StartLogs = Callable[..., io.StringIO]


@pytest.fixture
def start_logs(tmp_path) -> Iterator[StartLogs]:
    """Start logging to a file in `tmp_path` and to the returned buffer."""

    def start(log_format: str = "text", **more) -> io.StringIO:
        stream = io.StringIO()
        logs.start(log_format, tmp_path / "logs" / "sms.log", stream=stream, **more)
        return stream

    yield start
    logs.stop()


def test_event_is_one_line_with_its_ids_in_words(start_logs, tmp_path):
    stream = start_logs()
    emit("job.failed", job_id=12, kind="sms.send-bulk", attempts=3, reason="OSError: no route")
    time, level, words = re.split(r"(?<=\.\d{3}) (\w+) ", stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", time)
    assert level == "ERROR"
    assert words == "job.failed: job 12 (sms.send-bulk) failed after 3 tries: OSError: no route\n"
    assert (tmp_path / "logs" / "sms.log").read_text(encoding="utf-8") == stream.getvalue()


def test_fact_that_the_sentence_does_not_mention_follows(start_logs):
    stream = start_logs()
    emit("campaign.started", campaign_id=7, total=2000)
    assert stream.getvalue().endswith("campaign.started: campaign 7 started total=2000\n")


def test_event_without_words_is_written_as_its_facts(start_logs):
    stream = start_logs()
    emit("cat.slept", cat_id=1)
    assert stream.getvalue().endswith(" INFO cat.slept: cat_id=1\n")


def test_many_ids_are_written_as_ranges(start_logs):
    stream = start_logs()
    emit("jobs.claimed", worker_id=1, ids=[9, 3, 4, 5])
    assert stream.getvalue().endswith("worker 1 claimed the jobs 3-5, 9\n")


def test_json_line_has_the_facts_as_fields(start_logs):
    stream = start_logs("json")
    emit("job.released", job_id=12, kind="mail.notice", seconds=5.0, spent=True, reason="ConnectionRefusedError")
    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("+00:00")
    assert line.pop("message").startswith("job 12 (mail.notice) waits")
    assert line == {
        "level": "info",
        "event": "job.released",
        "job_id": 12,
        "kind": "mail.notice",
        "seconds": 5.0,
        "spent": True,
        "reason": "ConnectionRefusedError",
    }


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize(
    ("spelled", "shown"),
    [
        (NUMBER, "+•••••••••123"),
        ("+44 7700 900-123", "+•• •••• •••-123"),
        ("+1 (201) 555.0123", "+• (•••) •••.•123"),
        ("447700900123", "•••••••••123"),
        ("to:0770090012", "to:•••••••012"),
        ("To=%2B447700900123&Page=1", "To=%2B•••••••••123&Page=1"),
        ("to=%2b447700900123", "to=%2b•••••••••123"),
    ],
)
def test_number_is_masked_to_its_last_three_digits(start_logs, log_format, spelled, shown):
    stream = start_logs(log_format)
    emit("job.failed", job_id=1, kind="sms.send-single", attempts=3, reason=f"refused {spelled}")
    logging.getLogger("anybody").warning("refused %s", spelled)
    assert stream.getvalue().count(f"refused {shown}") >= 2
    assert spelled not in stream.getvalue()


@pytest.mark.parametrize("harmless", ["job_id=123456789012", "id 1234567890", "d5f1c8a0-1234-4321-9876-123456789012"])
def test_id_is_not_taken_for_a_number(start_logs, harmless):
    stream = start_logs()
    logging.getLogger("anybody").warning("look at %s", harmless)
    assert harmless in stream.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
@pytest.mark.parametrize(
    "told",
    [
        "Exception on /callbacks/kannel/inbound/{} [GET]",
        '"GET /callbacks/http/27-1-ab12/{}?type=1&at=17956 HTTP/1.1" 200',
        "called (https://sms.example.org/x/callbacks/kannel/inbound/{}).",
    ],
)
def test_token_of_a_callback_is_hidden(start_logs, log_format, told):
    token = "EJCgqTmvP-9mZr7_0aVYx3dW5kQb2Lhn"
    stream = start_logs(log_format)
    logging.getLogger("anybody").error(told.format(token))
    assert token not in stream.getvalue()
    assert told.format("hidden") in stream.getvalue().replace(r"\"", '"')


@pytest.mark.parametrize("harmless", ["/callbacks/twilio/27-1-ab12", "/callbacks/kannel/report"])
def test_address_of_a_callback_without_a_token_is_kept(start_logs, harmless):
    stream = start_logs()
    logging.getLogger("anybody").warning("called at %s", harmless)
    assert harmless in stream.getvalue()


def test_long_id_of_an_event_is_kept(start_logs):
    stream = start_logs()
    emit("job.lost", job_id=12345678901, kind="sms.send-bulk")
    assert "job 12345678901 (" in stream.getvalue()


def test_nobody_can_write_a_line_of_his_own(start_logs):
    stream = start_logs()
    emit("job.released", job_id=1, kind="x", seconds=1, reason="no\r\n2026-01-01 ERROR job.failed: forged\x1b[31m")
    assert stream.getvalue().count("\n") == 1
    assert r"no\r\n2026-01-01" in stream.getvalue()
    assert r"\x1b[31m" in stream.getvalue()


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_traceback_tells_neither_values_of_the_statement_nor_locals(start_logs, log_format):
    stream = start_logs(log_format)
    secret = "Your code is 8812"
    try:
        with sa.create_engine("sqlite://").connect() as connection:
            connection.execute(sa.text("SELECT * FROM missing WHERE a = :a AND b = :b"), {"a": secret, "b": NUMBER})
    except sa.exc.OperationalError:
        logging.getLogger("anybody").exception("it failed for %s", NUMBER)
    written = stream.getvalue()
    assert "no such table: missing" in written
    assert "8812" not in written
    assert "7700900123" not in written


def test_traceback_in_text_stands_behind_bars(start_logs):
    stream = start_logs()
    try:
        raise ValueError("two\n2026-01-01 00:00:00.000 ERROR lines")
    except ValueError:
        logging.getLogger("anybody").exception("oh")
    first, *rest = stream.getvalue().splitlines()
    assert first.endswith("ERROR anybody: oh")
    assert rest
    assert all(line.startswith("  | ") for line in rest)


def test_every_sentence_can_be_said_with_the_facts_it_names():
    for event, (_, sentence) in WORDS.items():
        names = {name for _, name, _, _ in Formatter().parse(sentence) if name}
        facts = {name: [1, 2] if name in ("ids", "rows") else 1 for name in names}
        assert say(event, facts)
        assert "=" not in say(event, facts)


def test_fact_that_is_missing_does_not_stop_the_program(start_logs):
    stream = start_logs()
    emit("job.failed", job_id=1)
    assert stream.getvalue().endswith("ERROR job.failed: job_id=1\n")


def test_quiet_leaves_only_warnings_on_standard_error(start_logs, tmp_path):
    stream = start_logs(quiet=True)
    emit("campaign.launched", campaign_id=1, total=2, price=2)
    emit("worker.lost", worker_id=1)
    assert "campaign" not in stream.getvalue()
    assert "worker.lost" in stream.getvalue()
    assert "campaign 1 was confirmed" in (tmp_path / "logs" / "sms.log").read_text(encoding="utf-8")


def test_each_job_of_a_batch_is_told_only_when_asked_for(start_logs):
    quiet = start_logs()
    emit("job.batched", job_id=1, kind="sms.send-bulk")
    loud = start_logs(verbose=True)
    emit("job.batched", job_id=1, kind="sms.send-bulk")
    assert quiet.getvalue() == ""
    assert loud.getvalue().endswith("DEBUG job.batched: job 1 (sms.send-bulk) finished\n")


def test_file_moved_away_by_logrotate_is_opened_anew(start_logs, tmp_path):
    start_logs()
    file = tmp_path / "logs" / "sms.log"
    emit("worker.lost", worker_id=1)
    file.rename(tmp_path / "logs" / "sms.log.1")
    emit("worker.lost", worker_id=2)
    assert "worker 2" in file.read_text(encoding="utf-8")


def test_file_that_cannot_be_written_stops_the_start_with_a_sentence(tmp_path):
    (tmp_path / "logs").write_text("not a folder", encoding="utf-8")
    with pytest.raises(logs.CannotLog, match=r"SMS_LOG_FILE \(.*sms\.log\) cannot be written: .*; name another file"):
        logs.start("text", tmp_path / "logs" / "sms.log")
