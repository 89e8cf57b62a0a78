"""What is urgent does not wait behind a large campaign."""

import json
import statistics
import time
from datetime import UTC, datetime
from uuid import UUID

import pytest

from smsqueue.domain.jobs import SendMailJob
from smsqueue.models import Campaign, Notice
from smsqueue.queue.dispatch import enqueue
from tests.drills.crew import Office, Scene, numbers, scene
from tests.drills.judging import log_lines, moment
from tests.outside import rest, wait_until

RECIPIENTS, SINGLES = 20_000, 10
SINGLE_MS, MAIL_SECONDS = 2000, 35.0


@pytest.mark.drill
def test_a_single_sms_goes_before_twenty_thousand(databases, tmp_path):
    with scene(tmp_path, databases.ready("postgresql"), simulator={"latency_ms": 50}) as drill:
        campaign = launch(drill)
        waits = [send_single(drill, f"+1907555{last:04d}") for last in range(150, 150 + SINGLES)]
        left = drill.office.reload(campaign).queued
    result = {
        "drill": "single",
        "single_ms_median": round(statistics.median(waits)),
        "single_ms_max": round(max(waits)),
        "still_waiting": left,
    }
    print(f"\nRESULT {json.dumps(result)}")
    assert left > 0, "the campaign was over before the last single SMS"
    assert statistics.median(waits) <= SINGLE_MS


@pytest.mark.drill
def test_a_mail_leaves_in_time_though_twenty_thousand_texts_wait(databases, tmp_path):
    with scene(tmp_path, databases.ready("postgresql"), simulator={"latency_ms": 150}) as drill:
        campaign = launch(drill)
        asked = time.monotonic()
        queue_mail(drill.office, campaign)
        wait_until(lambda: drill.outside.mails(drill.office.user.email), 90)
        seconds = time.monotonic() - asked
        left = drill.office.reload(campaign).queued
    print(f"\nRESULT {json.dumps({'drill': 'mail', 'mail_s': round(seconds, 1), 'still_waiting': left})}")
    assert left > 0, "the campaign was over before the mail"
    assert seconds <= MAIL_SECONDS


def launch(drill: Scene) -> Campaign:
    """Let one worker be in the middle of a campaign."""
    campaign = drill.office.campaign(numbers(RECIPIENTS))
    drill.crew.start()
    wait_until(lambda: drill.office.done(campaign) >= 100, 120)
    return campaign


def send_single(drill: Scene, number: str) -> float:
    """Send one SMS at any moment of the worker's turn; the milliseconds from its commit to its line in the log."""
    rest(drill.dice.uniform(0.5, 1.5))
    drill.office.single(number)
    launched = datetime.now(UTC)
    wait_until(lambda: times_of(drill, number), 60)
    (arrived,) = times_of(drill, number)
    return (arrived - launched).total_seconds() * 1000


def times_of(drill: Scene, number: str) -> list[datetime]:
    """When the gateway took a text to this number."""
    return [moment(line["time"]) for line in log_lines(drill.outside.log) if line["to"] == number]


def queue_mail(office: Office, campaign: Campaign) -> UUID:
    """Queue the mail of a campaign's end, as if one had ended now."""
    numbers = dict.fromkeys(("total", "accepted", "failed", "unknown", "charged", "returned", "held"), 0)
    data = {"campaign": str(campaign.uuid), "name": "Drill", "status": "completed", "error": None, **numbers}

    def make(session) -> UUID:
        notice = Notice(type="campaign.completed", notifiable_id=office.user.id, data=data | {"success_rate": 0.0})
        session.add(notice)
        session.flush()
        enqueue(session, SendMailJob.about(notice.id))
        return notice.id

    return office.store.write(make)
