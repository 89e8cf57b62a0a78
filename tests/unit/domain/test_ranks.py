"""Ranks and moves: whatever is told of an attempt, and in whatever order, may only raise it."""

import itertools
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsqueue.domain import ranks
from smsqueue.domain.counting import Changes
from smsqueue.gateways.base import Ending
from smsqueue.models import State
from smsqueue.models.recipients import ACCEPTED, CREDITED, HELD

OUTCOMES = ("sending", "unknown", "sent", "rejected", "deferred")
ENDINGS = get_args(Ending)
HISTORIES = [("sent",), ("sent", "delivered"), *(("sent", end) for end in ENDINGS if ranks.RANKS[end] == 4)]
"""What gateways really tell of one text, in the order in which it happens."""


def told(outcome: str, reports: list[Ending]) -> tuple[str, str | None]:
    """Tell an attempt these reports, one after the other."""
    reported = None
    for each in reports:
        if ranks.is_raised(outcome, reported, each):
            outcome, reported = ranks.outcome_after(outcome, each), each
    return outcome, reported


@given(st.data(), st.sampled_from(OUTCOMES), st.sampled_from(HISTORIES))
def test_the_end_is_the_same_in_any_order_with_any_copies_and_with_some_lost(data, outcome, history):
    copies = data.draw(st.lists(st.sampled_from(history), max_size=6))
    some = data.draw(st.permutations([*copies, history[-1]]))
    assert ranks.best([told(outcome, some)]) == ranks.best([told(outcome, list(history))])


@given(st.sampled_from(OUTCOMES), st.lists(st.sampled_from(ENDINGS), max_size=8))
def test_no_report_lowers_an_attempt(outcome, reports):
    heights = []
    for count in range(len(reports) + 1):
        now = told(outcome, reports[:count])
        heights.append(max(ranks.RANKS[now[0]], ranks.RANKS[now[1]] if now[1] else 0))
    assert heights == sorted(heights) or outcome in ("sending", "unknown")
    assert heights[-1] >= max([ranks.RANKS[each] for each in reports], default=0)


@given(st.sampled_from(list(State)), st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from([None, *ENDINGS]))))
def test_where_a_recipient_goes_is_in_the_table(state, attempts):
    if attempts:
        target = ranks.next_state(state, ranks.best(attempts))
        assert target is None or target in ranks.MOVES[state]


def test_the_table_knows_every_state_and_every_word():
    assert set(ranks.MOVES) == set(State)
    assert set(ranks.RANKS) == {*OUTCOMES, *ENDINGS}
    assert set(HELD) | set(ACCEPTED) | set(CREDITED) == set(State)


def test_what_is_delivered_stays_delivered():
    assert not ranks.MOVES[State.DELIVERED]


def test_what_was_taken_never_waits_again():
    assert not any(target in HELD for state in ACCEPTED for target in ranks.MOVES[state])


def test_a_move_that_is_not_in_the_table_is_refused():
    with pytest.raises(ranks.ImpossibleMove, match="from sent to queued"):
        Changes().moved(State.SENT, State.QUEUED)


@pytest.mark.parametrize(
    ("states", "count", "expected"),
    [
        (["delivered"], 1, "delivered"),
        (["failed"], 1, "failed"),
        (["delivered"], 2, "sent"),
        (["delivered", "delivered"], 2, "delivered"),
        (["delivered", "undelivered"], 2, "undelivered"),
        (["expired", "delivered"], 2, "expired"),
        (["expired", "undelivered"], 3, "undelivered"),
        (["failed", "failed"], 2, "undelivered"),
        (["sent", "delivered"], 2, "sent"),
        ([], 2, "sent"),
    ],
)
def test_a_text_of_parts_is_delivered_when_all_are_and_else_the_worst(states, count, expected):
    for order in itertools.permutations(states):
        assert ranks.of_parts(order, count) == expected
