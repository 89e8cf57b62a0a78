"""`flask sms unknown list|resolve`."""

import json
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.db import table_of
from smsqueue.domain.counting import Changes
from smsqueue.models import Attempt, Campaign, Recipient, State, Status
from tests.domain_fixtures import Office

recipients, attempts, campaigns = table_of(Recipient), table_of(Attempt), table_of(Campaign)


@pytest.fixture
def office(store):
    """A team with credits; its books are audited after the test."""
    office = Office.open(store, "Office", 100)
    yield office
    assert not office.problems()


@pytest.fixture
def lost(office):
    """A campaign of two messages of which nobody can tell."""
    campaign = office.launched(2)

    def lose(session):
        session.execute(sa.text("DELETE FROM jobs"))
        session.execute(sa.update(recipients).values(state=State.UNKNOWN, attempts=1, error="The line broke."))
        Changes(queued=-2, unknown=2).write(session, campaign.id)
        session.execute(sa.update(campaigns).values(status=Status.COMPLETED, finished_at=now()))

    rows = [
        {
            "recipient_id": row.id,
            "number": 1,
            "reference": f"ours-{row.id}",
            "claim_token": "t",
            "gateway": "log",
            "outcome": "unknown",
            "started_at": now() - timedelta(seconds=100),
        }
        for row in office.recipients(campaign)
    ]
    office.store.write(lose)
    office.execute(sa.insert(attempts).values(rows))
    return office.reload(campaign)


def ids(office, campaign):
    """Name a campaign's recipients as the command does."""
    return [str(row.id) for row in office.recipients(campaign)]


def test_nothing_unknown_is_said(run, office):
    assert "Nothing is unknown." in run("unknown", "list").stdout


def test_the_list_masks_numbers(run, office, lost):
    (first, _) = json.loads(run("unknown", "list", "--json").stdout)

    assert (first["campaign"], first["gateway"], first["asked"]) == (str(lost.uuid), "log", 0)
    assert first["number"].startswith("+•")
    assert "The line broke." in run("unknown", "list", "--team", "Office").stdout


def test_one_is_decided_about_and_the_others_stay(run, office, lost):
    first, _ = ids(office, lost)

    said = run("unknown", "resolve", "sent", first, "--yes", "--author", "ben").stdout

    assert "1 message counted as sent." in said
    assert office.states(lost) == {"sent": 1, "unknown": 1}
    assert office.attempts(lost)[0].reason == "Counted as sent by ben."


def test_all_of_a_campaign_are_decided_about(run, office, lost):
    answer = json.loads(run("unknown", "resolve", "not-sent", "--all", str(lost.uuid), "--yes", "--json").stdout)

    assert answer == {"what": "not-sent", "unknown": 2, "done": 2}
    assert (office.states(lost), office.balance()) == ({"failed": 2}, 100)


def test_what_it_risks_is_said_before_and_no_means_no(run, office, lost):
    said = run("unknown", "resolve", "again", "--all", str(lost.uuid), input="n\n", code=1).stdout

    assert "a second time" in said
    assert office.states(lost) == {"unknown": 2}


def test_ask_makes_a_job_without_asking(run, office, lost):
    assert "is asked about 2 messages" in run("unknown", "resolve", "ask", "--all", str(lost.uuid)).stdout
    assert office.jobs("sms.look-up") == 1


def test_too_early_is_said(run, office, lost):
    office.execute(sa.update(attempts).values(started_at=now()))

    assert "may still come" in run("unknown", "resolve", "sent", *ids(office, lost), "--yes", code=1).stderr


def test_what_is_not_there_is_said(run, office, lost):
    assert "unknown" in run("unknown", "resolve", "sent", "4711", "--yes", code=1).stderr
    assert "campaign" in run("unknown", "list", "--campaign", str(uuid4()), code=1).stderr
    run("unknown", "resolve", "sent", code=2)
    run("unknown", "resolve", "sent", "9" * 30, "--yes", code=2)
    run("unknown", "list", "--limit", "9" * 30, code=2)
    run("unknown", "resolve", "sent", "1", "--all", str(lost.uuid), code=2)
