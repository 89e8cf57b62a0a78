"""`campaign sheet|retry|clone`."""

import csv
import io
import json

import pytest
import sqlalchemy as sa

from smsqueue.db import table_of
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Rejected, Sent
from smsqueue.models import Campaign, Recipient, Status, Team
from tests.domain_fixtures import Office
from tests.integration.domain.test_closing import close, in_the_air, record

UNKNOWN = "0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11"


@pytest.fixture
def office(store, factory):
    """A team in the United States with 100 credits."""
    user = factory.user("bob@example.org", team=factory.team("Back", balance=100))
    with store.reading() as session:
        return Office(store, session.get_one(Team, user.team_id), user)


@pytest.fixture
def ended(office):
    """A campaign that ended: one accepted, one refused for a cause that may pass."""
    campaign = office.launched(2)
    first, second = in_the_air(office, campaign)
    record(
        office, campaign, Answer(first, Sent("g", parts=1)), Answer(second, Rejected("busy", "busy", may_retry=True))
    )
    assert close(office, campaign)
    return campaign


def test_sheet_adds_up(run, ended):
    said = run("campaign", "sheet", str(ended.uuid)).stdout
    assert "2 recipients = 1 accepted + 1 failed." in said
    assert "2 credits charged = 1 spent + 1 credited back + 0 held." in said
    assert "scripted" in said
    assert said.rstrip().endswith("Everything adds up.")


def test_sheet_as_json_and_csv(run, ended):
    sheet = json.loads(run("campaign", "sheet", str(ended.uuid), "--json").stdout)
    assert (sheet["adds_up"], sheet["problems"], sheet["states"]["sent"]) == (True, [], 1)
    assert sheet["gateways"][0]["variance"] == 0
    rows = list(csv.DictReader(io.StringIO(run("campaign", "sheet", str(ended.uuid), "--csv").stdout.lstrip("\ufeff"))))
    assert [row["State"] for row in rows] == ["sent", "failed"]


def test_sheet_that_does_not_add_up_says_so_and_so_does_the_audit(run, office, ended):
    office.execute(sa.update(table_of(Recipient)).where(Recipient.state == "sent").values(price=7))
    result = run("campaign", "sheet", str(ended.uuid), code=1)
    assert "Credits spent: the ledger says 1, but the accepted recipients cost 7" in result.stderr
    assert result.stdout.rstrip().endswith("It does not add up.")
    assert run("audit", code=1).stderr
    for form in ("--csv", "--json"):
        result = run("campaign", "sheet", str(ended.uuid), form, code=1)
        assert "Credits spent: the ledger says 1, but the accepted recipients cost 7" in result.stderr
        assert result.stdout


def test_retry_says_what_it_would_do_and_does_it_once(run, office, ended):
    assert run("campaign", "retry", str(ended.uuid), "--dry-run").stdout.startswith("1 recipient would be sent to")
    assert office.balance() == 99
    assert run("campaign", "retry", str(ended.uuid)).stdout == "1 recipient sent to again, for 1 credit.\n"
    assert (office.balance(), office.reload(ended).status) == (98, Status.PROCESSING)
    assert "Nobody of this campaign" in run("campaign", "retry", str(ended.uuid), code=1).stderr


def test_clone_is_a_draft(run, office, ended):
    said = run("campaign", "clone", str(ended.uuid)).stdout
    copy = office.rows(Campaign)[-1]
    assert said.startswith(f"{copy.uuid}: a draft of 2 recipients for 2 credits.")
    assert (copy.status, copy.cloned_from) == (Status.DRAFT, ended.uuid)


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize("command", ["sheet", "retry", "clone"])
def test_unknown_campaign_is_told(run, office, command):
    assert run("campaign", command, UNKNOWN, code=1).stderr == "Error: There is no such campaign.\n"
