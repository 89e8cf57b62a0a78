"""Campaigns end: finished by four workers together, and cancelled in the middle."""

from collections import Counter
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from smsqueue.domain import campaigns
from tests.drills.crew import IS_FULL, kinds, numbers, open_calls, scene
from tests.drills.judging import judge, log_lines, moment
from tests.drills.verdicts import check, tell
from tests.outside import wait_until

CAMPAIGNS = 100 if IS_FULL else 25
FINISHERS = 4
NOTICES = sa.text("SELECT data FROM notifications WHERE type LIKE 'campaign.%'")
HANDS = sa.text(
    "SELECT r.campaign_id, count(DISTINCT a.worker_id) AS workers"
    " FROM sms_attempts a JOIN sms_recipients r ON r.id = a.recipient_id GROUP BY r.campaign_id"
)
CANCELLED_AT, CONCURRENCY, WORKERS = 1000, 8, 2
WINDOW = 2 * CONCURRENCY


@pytest.mark.drill
@pytest.mark.parametrize("kind", kinds("postgresql", "sqlite"))
def test_campaigns_that_four_workers_finish_together_end_once(databases, tmp_path, kind):
    with scene(tmp_path, databases.ready(kind), simulator={"latency_ms": 100}, **open_calls(1)) as drill:
        drill.crew.wait_for(drill.crew.start(FINISHERS))
        known = [drill.office.campaign(four, slice_rows=1) for four in fours(CAMPAIGNS)]
        wait_until(lambda: all(drill.office.is_closed(campaign) for campaign in known), 300)
        wait_until(lambda: len(drill.outside.mails()) >= CAMPAIGNS, 120)
        with drill.crew.engine.connect() as connection:
            notices = connection.execute(NOTICES).all()
            hands = [row.workers for row in connection.execute(HANDS)]
        mails = Counter(mail["message_id"] for mail in drill.outside.mails())
        findings = judge(drill.outside.log, drill.crew.engine, [campaign.id for campaign in known], [])
        audit = drill.crew.audit()
    shared = sum(workers > 1 for workers in hands)
    tell("end", findings, audit[0], database=kind, campaigns=len(known), shared=shared, notices=len(notices))
    check(findings, audit)
    assert (findings.unknown, findings.not_sent) == (0, [])
    assert len(notices) == len(known)
    assert len(mails) == len(known)
    assert shared >= len(known) / 4, "hardly any campaign was in several hands"


def fours(count: int) -> list[tuple[str, ...]]:
    """Make numbers for so many campaigns of four."""
    found = numbers(FINISHERS * count)
    return [found[first : first + FINISHERS] for first in range(0, len(found), FINISHERS)]


@pytest.mark.drill
@pytest.mark.parametrize("kind", kinds("postgresql", "sqlite"))
def test_a_campaign_that_is_cancelled_sends_no_more_than_its_windows(databases, tmp_path, kind):
    with scene(tmp_path, databases.ready(kind), simulator={"latency_ms": 100}, **open_calls(CONCURRENCY)) as drill:
        campaign = drill.office.campaign(numbers(3 * CANCELLED_AT), slice_rows=200)
        drill.crew.start(WORKERS)
        wait_until(lambda: drill.office.done(campaign) >= CANCELLED_AT, 120)
        drill.office.store.write(lambda session: campaigns.cancel(session, campaign.team_id, campaign.uuid))
        committed = datetime.now(UTC)
        wait_until(lambda: drill.office.is_closed(campaign), 60)
        findings = judge(drill.outside.log, drill.crew.engine, [campaign.id], [])
        after = drill.office.reload(campaign)
        late = sum(moment(line["time"]) > committed for line in log_lines(drill.outside.log))
        audit = drill.crew.audit()
    tell("cancel", findings, audit[0], database=kind, calls_after_cancel=late, calls_allowed=WORKERS * WINDOW)
    check(findings, audit)
    assert late <= WORKERS * WINDOW
    assert findings.unknown == 0
    assert len(findings.not_sent) == after.cancelled == campaign.total - findings.accepted
    assert (after.returned, after.spent) == (after.cancelled, findings.accepted)
