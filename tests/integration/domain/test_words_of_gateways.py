"""What a gateway says may repeat a text: people see it on their pages, the log has the code."""

import pytest
import sqlalchemy as sa

from smsqueue.gateways.base import Rejected
from smsqueue.models import Campaign
from smsqueue.queue import events
from tests.domain_workers import Scripted

WORDS = "Message blocked: Hi Ann your code is 4711"


@pytest.mark.parametrize(("scope", "shown"), [("account", "x99"), ("recipient", "10 of 10 refused")])
def test_no_event_repeats_the_words_of_a_gateway(office, make_crew, scope, shown):
    draft = office.draft(12)
    office.execute(sa.update(Campaign).where(Campaign.id == draft.id).values(first_ten=scope == "recipient"))
    campaign = office.launch(draft)
    told = []
    end = events.on(lambda event, facts: told.append((event, facts)))

    make_crew(Scripted(lambda _: Rejected("x99", WORDS, scope))).finish(office)
    end()

    assert WORDS in office.reload(campaign).error
    assert [facts for event, facts in told if event == "campaign.stopped" and shown in facts["reason"]]
    assert "4711" not in str(told)
