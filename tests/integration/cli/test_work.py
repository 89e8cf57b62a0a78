"""`flask sms work`: what it refuses before anything is started."""

import pytest


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--once", "--workers=2"), "--once runs one job"),
        (("--once", "--threads=2"), "--once runs one job"),
        (("--urgent-priority=0",), "it needs --threads=2 or more"),
        (("--backoff=soon",), "'soon' is not a number of seconds"),
        (("--backoff=-1",), "seconds are 0 or more"),
        (("--queue= , ",), "name at least one queue"),
        (("--workers=0",), "0 is not in the range"),
    ],
)
def test_options_that_make_no_sense_are_refused(run, options, reason):
    assert reason in run("work", *options, code=2).stderr
