"""A code that nobody knows: logged once, and nothing of its words, which may repeat a text."""

import logging

from smsqueue.gateways.base import Rejected
from smsqueue.gateways.tables import SAME_REFUSALS, Table


def test_unknown_code_is_logged_once_and_its_words_are_masked(caplog):
    caplog.set_level(logging.DEBUG)
    table = Table("twilio", {})
    otherwise = Rejected("http_400", "No.")
    for _ in range(SAME_REFUSALS - 1):
        outcome = table.outcome("29999", 'Blocked: it is "Hi Ann, your code is 1234 to +12015550100', otherwise)
        assert isinstance(outcome, Rejected)
        assert outcome.scope == "recipient"
    (line,) = caplog.messages
    assert line == "twilio answered with a code that is in no table: 29999 (http_400), in 52 letters that are hidden"
    last = table.outcome("29999", "No", otherwise)
    assert isinstance(last, Rejected)
    assert last.scope == "account"
