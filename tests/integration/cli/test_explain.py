"""`flask sms explain`."""

import json

import pytest
import sqlalchemy as sa

from smsqueue.models import Campaign
from smsqueue.queue.models import JobRow

SEND = ("send", "--user", "ann@example.org", "--to", "07400 123456", "--text", "Hello")


@pytest.fixture
def job(run, store, ann):
    """A single SMS that waits."""
    run(*SEND)
    with store.reading() as session:
        return session.scalars(sa.select(JobRow)).one()


@pytest.mark.databases("sqlite")
def test_job_is_explained_with_the_command_that_helps(run, job):
    assert run("explain", str(job.id)).stdout.splitlines() == [
        f"Job {job.id} (sms.send-single) of queue sms",
        "- No worker listens on queue sms",
        "  Try: flask sms work --daemon --queue=sms",
    ]
    assert run("explain", job.uuid).stdout == run("explain", f" {job.id} ").stdout


def test_campaign_is_explained_as_json(run, store, job):
    with store.reading() as session:
        uuid = session.scalars(sa.select(Campaign.uuid)).one()
    answer = json.loads(run("explain", str(uuid), "--json").stdout)
    assert answer["subject"] == f"Campaign {uuid}: pending"
    work = "flask sms work --daemon"
    assert [reason["command"] for reason in answer["reasons"]] == [None, work]
    assert set(answer["reasons"][0]) == {"sentence", "since", "until", "command", "who", "is_moving", "is_usual"}
    of_row = json.loads(run("explain", str(uuid), "--row", "1", "--json").stdout)
    assert of_row == {"subject": f"Row 1 of campaign {uuid}: queued", "reasons": answer["reasons"][1:]}
    assert "a recipient in row 7." in run("explain", str(uuid), "--row", "7", code=1).stderr


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("wanted", ["4711", "0b0f6b1e-3c39-4c8f-9a51-2f4f0e6c8f11", "what"])
def test_nothing_has_this_id(run, wanted):
    said = run("explain", wanted, code=1).stderr
    assert said == f"Error: No job and no campaign has the id {wanted}: finished, deleted, or never there.\n"
