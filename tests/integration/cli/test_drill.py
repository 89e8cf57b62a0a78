"""`flask sms drill`: options of one kind of drill are none of the other's."""

import pytest

pytestmark = pytest.mark.databases("sqlite")


@pytest.mark.parametrize(
    "words", [("--to", "+447400123456"), ("--text", "Hello"), ("--wait", "5"), ("--yes",), ("--kill", "--to", "1")]
)
def test_nothing_is_drilled_where_the_gateway_is_missing(run, words):
    said = run("drill", *words, code=2).stderr
    assert "--gateway" in said
    assert f"{words[-2] if len(words) > 1 else words[0]} is for" in said


@pytest.mark.parametrize("words", [("--kill",), ("--jobs", "9"), ("--workers", "2"), ("--seconds", "3")])
def test_no_text_is_sent_where_workers_are_meant(run, words):
    said = run("drill", "--gateway", "twilio", "--to", "+447400123456", *words, code=2).stderr
    assert f"{words[0]} is for" in said
