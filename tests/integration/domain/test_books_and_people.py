"""The same office, and people who decide, pause and send again: the books add up after each step."""

import os
from contextlib import suppress

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule

from smsqueue.core.errors import SmsQueueError
from smsqueue.domain import again, pausing, unknowns
from smsqueue.domain.resolving import Terms
from smsqueue.domain.unknowns import Choice, Decision
from tests.domain_fixtures import TERMS
from tests.integration.domain.test_books import Books, play, which

AT_ONCE = Terms(patience_seconds=0, wait_seconds=0)
DRILLED = 500 if os.environ.get("DRILL_SIZE") == "full" else 30


class BooksAndPeople(Books):
    """What people do with campaigns that run or have ended, also what cannot be done."""

    @rule(number=which, decision=st.sampled_from([Decision.SENT, Decision.AGAIN, Decision.NOT_SENT]))
    def decide(self, number: int, decision: Decision) -> None:
        """Somebody decides about all who are unknown."""
        if self.known:
            campaign = self.known[number % len(self.known)]
            unknowns.decide(self.store, Choice(campaign.id), decision, AT_ONCE, by="somebody")

    @rule(number=which)
    def send_again(self, number: int) -> None:
        """Somebody sends again to those who were surely not accepted, with credits or without."""
        team = self.office.team.id
        with suppress(SmsQueueError):
            self.on_launched(
                number, lambda session, each: again.retry(session, team, each.uuid, TERMS, user_id=each.user_id)
            )

    @rule(number=which, pauses=st.booleans())
    def pause(self, number: int, pauses: bool) -> None:
        """Somebody pauses a campaign, or lets it go on."""
        change = pausing.pause if pauses else pausing.resume
        with suppress(SmsQueueError):
            self.on_launched(number, lambda session, each: change(session, self.office.team.id, each.uuid))


@pytest.mark.databases("sqlite", "postgresql")
def test_books_add_up_whatever_people_do(database):
    play(BooksAndPeople, database.url, 12 if database.kind == "sqlite" else 4)


@pytest.mark.drill
@pytest.mark.databases("sqlite")
def test_books_add_up_in_hundreds_of_lives(database):
    play(BooksAndPeople, database.url, DRILLED, steps=30)
    print(f"\nRESULT {DRILLED} random lives of an office: the books added up after each step")
