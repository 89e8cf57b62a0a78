"""A code that nobody knows: logged once, without what it may repeat of a text."""

import logging

import pytest

from smsqueue.gateways.base import Rejected
from smsqueue.gateways.tables import SAME_REFUSALS, Table, masked


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("Body 'Your code is 1234' is not allowed", "Body ••• is not allowed"),
        ('Field "text": “Meet me” refused', "Field ••• refused"),
        ("The account is suspended", "The account is suspended"),
    ],
)
def test_what_stands_in_quotes_is_hidden(words, shown):
    assert masked(words) == shown


def test_unknown_code_is_logged_once_and_its_words_are_masked(caplog):
    caplog.set_level(logging.DEBUG)
    table = Table("twilio", {})
    otherwise = Rejected("http_400", "No.")
    for _ in range(SAME_REFUSALS - 1):
        outcome = table.outcome("29999", "Body 'Your code is 1234' to +12015550100 refused", otherwise)
        assert isinstance(outcome, Rejected)
        assert outcome.scope == "recipient"
    assert caplog.text.count("29999") == 1
    assert "Your code" not in caplog.text
    assert "2015550100" not in caplog.text
    last = table.outcome("29999", "No", otherwise)
    assert isinstance(last, Rejected)
    assert last.scope == "account"
