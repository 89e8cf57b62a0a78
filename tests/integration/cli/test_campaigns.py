"""`send` and `campaign create|list|show|pause|resume|release|cancel`."""

import json
import threading

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import credits, progress
from smsqueue.models import Campaign, Recipient, Status
from smsqueue.queue import workers
from tests.outside import wait_until

TEXT = ("--text", "Hello")
ANN = ("--user", "ann@example.org")
GOOD = "number,name\n+44 7400 123456,Ann\n07400 123457,Bob\n"
BAD = GOOD + "07400 12,Cy\n"


@pytest.fixture
def create(run, csv):
    """Create a campaign of Ann's from a list."""
    return lambda content, *words, **options: run("campaign", "create", *ANN, "--csv", csv(content), *words, **options)


def campaigns_of(store):
    """All campaigns."""
    with store.reading() as session:
        return list(session.scalars(sa.select(Campaign)))


def balance_of(store, user):
    """What a person's team can spend."""
    with store.reading() as session:
        return credits.balance(session, user.team_id)


def test_send_queues_one_sms_and_charges_it(run, store, ann):
    summary = json.loads(run("send", *ANN, "--to", "07400 123456", *TEXT, "--json").stdout)
    (campaign,) = campaigns_of(store)
    assert summary == progress.summary(campaign) | {"why": summary["why"]}
    assert summary["why"]["text"].startswith("No worker is running")
    assert summary["counts"]["queued"] == summary["credits"]["held"] == 1
    assert balance_of(store, ann) == 99


def test_send_can_wait_until_it_is_sent(run, store, ann, work):
    def send_when_there_is_something() -> None:
        wait_until(lambda: [campaign for campaign in campaigns_of(store) if campaign.queued])
        work()

    worker = threading.Thread(target=send_when_there_is_something)
    worker.start()
    result = run("send", *ANN, "--to", "07400 123456", *TEXT, "--wait")
    worker.join(30)
    assert "completed" in result.stdout
    assert "1 sent" in result.stdout


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((*ANN, "--to", "+33 1 23", *TEXT), "too short"),
        ((*ANN, "--to", "07400 123456", "--text", ""), "text"),
        (("--user", "bob@example.org", "--to", "07400 123456", *TEXT), "Nobody has the address bob@example.org"),
    ],
)
def test_send_refuses_with_a_sentence(run, store, ann, words, told):
    result = run("send", *words, code=1)
    assert told in result.stderr
    assert result.stderr.count("\n") == 1
    assert campaigns_of(store) == []


def test_create_sends_each_person_their_own_text(run, store, ann, csv):
    run("campaign", "create", *ANN, "--csv", csv(GOOD), "--text", "Hello ((Name))")
    with store.reading() as session:
        texts = list(session.scalars(sa.select(Recipient.text).order_by(Recipient.row)))
    (campaign,) = campaigns_of(store)
    assert texts == ["Hello Ann", "Hello Bob"]
    assert (campaign.name, campaign.status, campaign.queued) == ("guests", "pending", 2)
    assert balance_of(store, ann) == 98


@pytest.mark.databases("sqlite")
def test_create_reads_standard_input(run, store, ann):
    run("campaign", "create", *ANN, "--csv", "-", *TEXT, "--name", "Sale", input=GOOD)
    assert campaigns_of(store)[0].name == "Sale"


def test_bad_rows_are_shown_and_nothing_is_sent_or_left(run, store, ann, csv):
    result = run("campaign", "create", *ANN, "--csv", csv(BAD), *TEXT, code=1)
    assert "Nothing was sent: 1 bad row of 3" in result.stderr
    assert "row 4: '07400 12'" in result.stderr
    assert campaigns_of(store) == []
    assert balance_of(store, ann) == 100


@pytest.mark.databases("sqlite")
def test_bad_rows_can_be_left_out(run, store, ann, csv):
    result = run("campaign", "create", *ANN, "--csv", csv(BAD), *TEXT, "--skip-bad")
    assert "Left out: 1 bad row." in result.stdout
    assert campaigns_of(store)[0].total == 2


@pytest.mark.databases("sqlite")
def test_same_number_twice_gets_one_sms(run, store, ann, csv):
    result = run("campaign", "create", *ANN, "--csv", csv(GOOD + "07400123456,Ann again\n"), *TEXT)
    assert "Merged: 1 row" in result.stdout
    assert campaigns_of(store)[0].total == 2


@pytest.mark.databases("sqlite")
def test_json_is_the_summary_and_nothing_else(run, store, ann, csv):
    result = run("campaign", "create", *ANN, "--csv", csv(BAD), *TEXT, "--skip-bad", "--json")
    (campaign,) = campaigns_of(store)
    shown = json.loads(result.stdout)
    assert shown == progress.summary(campaign) | {"why": shown["why"]}
    assert json.loads(run("campaign", "show", str(campaign.uuid), "--json").stdout) == shown


@pytest.mark.databases("sqlite")
def test_column_can_be_named(run, store, ann, csv):
    content = "home,work\n07400 123456,07400 123457\n"
    run("campaign", "create", *ANN, "--csv", csv(content), *TEXT, "--column", "Work")
    with store.reading() as session:
        assert session.scalar(sa.select(Recipient.number)) == "+447400123457"


@pytest.mark.parametrize(
    ("content", "words", "told"),
    [
        (GOOD, (*TEXT, "--column", "fax"), "fax"),
        (GOOD, ("--text", "Hello ((nmae))"), "nmae"),
        ("", TEXT, "empty"),
    ],
)
@pytest.mark.databases("sqlite")
@pytest.mark.usefixtures("ann")
def test_create_refuses_with_a_sentence(create, store, *, content, words, told):
    assert told in create(content, *words, code=1).stderr
    assert campaigns_of(store) == []


def test_missing_credits_are_told_and_no_draft_is_left(run, store, factory, csv):
    factory.user("eve@example.org", team=factory.team(balance=1, country="GB"))
    result = run("campaign", "create", "--user", "eve@example.org", "--csv", csv(GOOD), *TEXT, code=1)
    assert "This costs 2 credits and the balance is 1" in result.stderr
    assert campaigns_of(store) == []


@pytest.mark.databases("sqlite")
def test_missing_file_is_a_usage_error(run, ann):
    assert "nowhere.csv" in run("campaign", "create", *ANN, "--csv", "nowhere.csv", *TEXT, code=2).stderr


@pytest.mark.databases("sqlite")
def test_list_shows_campaigns_of_all_teams_or_of_one(run, ann, factory):
    factory.campaign(ann, name="Spring")
    factory.campaign(factory.user(team=factory.team("Back")), name="Autumn")
    names = [line["name"] for line in json.loads(run("campaign", "list", "--json").stdout)]
    assert names == ["Autumn", "Spring"]
    assert "Autumn" not in run("campaign", "list", "--team", "Front").stdout
    assert "No team is named" in run("campaign", "list", "--team", "Frnt", code=1).stderr


def test_cancel_stops_a_campaign_and_gives_the_credits_back(run, store, ann, csv):
    run("campaign", "create", *ANN, "--csv", csv(GOOD), *TEXT)
    uuid = str(campaigns_of(store)[0].uuid)
    assert "cancelled" in run("campaign", "cancel", uuid).stdout
    assert balance_of(store, ann) == 100
    assert run("campaign", "cancel", uuid, code=1).stderr


@pytest.mark.databases("sqlite")
def test_unknown_campaign_is_told(run, ann):
    unknown = "0b9ee6b2-6b8f-4c5e-9d0e-2a4b1f0c7a11"
    assert run("campaign", "show", unknown, code=1).stderr == "Error: There is no such campaign.\n"
    run("campaign", "show", "12", code=2)


def test_a_campaign_is_paused_and_resumed(run, store, ann, csv):
    run("campaign", "create", *ANN, "--csv", csv(GOOD), *TEXT)
    uuid = str(campaigns_of(store)[0].uuid)
    said = run("campaign", "pause", uuid).stdout
    assert ": paused" in said
    assert "Nothing is sent until somebody resumes it" in said
    assert "Nothing is sent until somebody resumes it" in run("campaign", "show", uuid).stdout
    assert "paused already" in run("campaign", "pause", uuid, code=1).stderr
    assert ": pending" in run("campaign", "resume", uuid).stdout
    assert run("campaign", "resume", uuid, code=1).stderr == "Error: This campaign is not paused.\n"
    assert balance_of(store, ann) == 98


def test_the_rest_of_a_campaign_is_released(run, store, ann, csv):
    store.write(lambda session: workers.register(session, ["sms"], lease_seconds=60))
    many = "number\n" + "\n".join(f"07400 12{number:04d}" for number in range(3000, 3015))
    run("campaign", "create", *ANN, "--csv", csv(many), *TEXT)
    (campaign,) = campaigns_of(store)
    uuid = str(campaign.uuid)
    assert "No part of this campaign waits" in run("campaign", "release", uuid, code=1).stderr
    waits = sa.update(Campaign).where(Campaign.id == campaign.id).values(first_ten=True)
    store.write(lambda session: session.execute(waits.values(status=Status.PROCESSING, started_at=now())))
    assert "The first 10 go alone since" in run("campaign", "show", uuid).stdout
    assert "go alone" not in run("campaign", "release", uuid).stdout
