"""Lulls: what could do nothing is left alone for a while, and what goes before it is not."""

from smsqueue.queue.lulls import Lulls


class Clock:
    """A clock that a test moves."""

    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def test_without_a_lull_everything_may_be_claimed():
    lulls = Lulls(Clock())

    assert (lulls.ceiling("sms"), lulls.ceiling("sms", 5), lulls.seconds) == (None, 5, None)


def test_a_lull_leaves_alone_what_is_as_urgent_or_less_and_nothing_else():
    lulls = Lulls(Clock())

    lulls.begin("sms", 10, 2)

    assert lulls.ceiling("sms") == 9
    assert lulls.ceiling("sms", 3) == 3
    assert lulls.ceiling("default") is None


def test_the_most_urgent_of_several_lulls_counts():
    lulls = Lulls(Clock())

    lulls.begin("sms", 10, 2)
    lulls.begin("sms", 0, 1)

    assert (lulls.ceiling("sms"), lulls.seconds) == (-1, 1)


def test_a_lull_is_over_when_its_time_is():
    clock = Clock()
    lulls = Lulls(clock)
    lulls.begin("sms", 10, 2)

    clock.now += 2

    assert (lulls.ceiling("sms"), lulls.seconds) == (None, None)


def test_the_last_word_counts():
    lulls = Lulls(Clock())

    lulls.begin("sms", 10, 60)
    lulls.begin("sms", 10, 1)

    assert lulls.seconds == 1
