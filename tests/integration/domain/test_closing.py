"""The end of a campaign: once, with its verdict, one notice and one mail, in one transaction."""

from functools import partial

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import completion, intents, journal, stopping
from smsqueue.domain.counting import Changes
from smsqueue.domain.intents import Portion, Sender
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Deferred, Rejected, Sent, Unknown
from smsqueue.models import Campaign, Notice, Status
from smsqueue.queue import events
from smsqueue.queue.models import JobRow
from tests.domain_fixtures import fated
from tests.domain_workers import Scripted, at_once

SENDER = Sender(worker_id=1, token="t" * 32, gateway="scripted", sender="us")


def in_the_air(office, campaign, room=None):
    """Mark all of a campaign's recipients, or the first, as being sent, as a worker does."""

    def start(session):
        mine = session.get_one(Campaign, campaign.id)
        stopping.start(session, mine, now())
        changes = Changes()
        began = intents.start(
            session, mine, (1, mine.total), SENDER, changes, portion=Portion(room or mine.total), now=now()
        )
        changes.write(session, mine.id)
        return began

    return office.store.write(start)


def record(office, campaign, *answers):
    """Write down answers, as a worker does."""

    def write(session):
        changes = Changes()
        journal.record(session, session.get_one(Campaign, campaign.id), answers, changes, now=now())
        changes.write(session, campaign.id)

    office.store.write(write)


def close(office, campaign):
    """Close the campaign if it can be closed."""
    return office.store.write(lambda session: completion.close(session, campaign.id))


def test_a_hundred_simultaneous_finishes_close_once_with_one_notice_and_one_mail(office):
    campaign = office.launched(100, slice_rows=1)
    intents = in_the_air(office, campaign)
    closed = []

    def finish(intent):
        record(office, campaign, Answer(intent, Sent(intent.outgoing.reference)))
        closed.append(close(office, campaign))

    errors = at_once([partial(finish, intent) for intent in intents])

    assert errors == [None] * 100
    assert closed.count(True) == 1
    assert office.reload(campaign).status == Status.COMPLETED
    assert (len(office.notices()), office.jobs("mail.notice")) == (1, 1)


def test_a_campaign_with_somebody_still_in_the_air_is_not_closed(office):
    campaign = office.launched(2)
    intents = in_the_air(office, campaign)
    record(office, campaign, Answer(intents[0], Sent("r")))

    assert not close(office, campaign)

    assert office.reload(campaign).finished_at is None


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Sent("r"), Status.COMPLETED),
        (Unknown("lost"), Status.COMPLETED),
        (Rejected("bad", "a bad number"), Status.FAILED),
        (Deferred(20_000, "unreachable", "away"), Status.FAILED),
    ],
)
def test_a_campaign_has_failed_when_nothing_was_accepted_or_unknown(office, outcome, status):
    campaign = office.launched(1)
    (intent,) = in_the_air(office, campaign)
    record(office, campaign, Answer(intent, outcome))

    close(office, campaign)

    campaign = office.reload(campaign)
    assert campaign.status == status
    assert (campaign.error == completion.NOTHING_WENT) is (status == Status.FAILED)


def test_whoever_should_have_closed_it_may_die_for_any_worker_closes_it_later(office):
    campaign, other = office.launched(1), office.launched(1)
    (intent,) = in_the_air(office, campaign)
    record(office, campaign, Answer(intent, Sent("r")))

    with office.store.reading() as session:
        found = completion.open_without_rows(session)
    closed = [office.store.write(lambda session, id_=id_: completion.close(session, id_)) for id_ in found]

    assert closed == [True]
    assert office.reload(campaign).status == Status.COMPLETED
    assert office.reload(other).status == Status.PENDING
    with office.store.reading() as session:
        assert completion.open_without_rows(session) == []


def test_notice_and_mail_are_written_in_the_transaction_that_closes(office):
    campaign = office.launched(1)
    (intent,) = in_the_air(office, campaign)
    record(office, campaign, Answer(intent, Sent("r")))

    def close_and_fail(session):
        assert completion.close(session, campaign.id)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        office.store.write(close_and_fail)

    assert (office.reload(campaign).finished_at, office.notices(), office.jobs("mail.notice")) == (None, [], 0)


def test_the_mail_of_a_campaign_is_sent_once(office, crew):
    campaign = office.launched(fated("07", "80"))

    crew.finish(office)

    assert [notice.data["campaign"] for notice in crew.mails.sent] == [str(campaign.uuid)]


def test_a_notice_tells_the_numbers_as_they_were_at_the_end(office, crew):
    campaign = office.launched(fated("08", "09", "80", "93"))

    crew.finish(office)

    (notice,) = office.notices()
    assert (notice.type, notice.notifiable_type, notice.notifiable_id) == (
        "campaign.completed",
        "user",
        office.user.id,
    )
    assert notice.data == {
        "campaign": str(campaign.uuid),
        "name": "Sale",
        "status": "completed",
        "error": None,
        "total": 4,
        "accepted": 2,
        "undelivered": 0,
        "failed": 1,
        "opted_out": 0,
        "unknown": 1,
        "success_rate": 50.0,
        "charged": 4,
        "returned": 1,
        "held": 1,
    }


@pytest.mark.parametrize(("fate", "notices"), [("10", 0), ("80", 1), ("93", 1)])
def test_a_single_sms_is_worth_a_notice_only_when_it_did_not_surely_go_out(office, crew, fate, notices):
    office.launch(office.single(*fated(fate)))

    crew.finish(office)

    assert len(office.notices()) == len(crew.mails.sent) == notices


def test_a_job_that_runs_again_after_the_end_changes_nothing(office, make_crew):
    campaign = office.launched(3)
    (job,) = office.rows(JobRow)
    crew = make_crew(gateway := Scripted())
    crew.finish(office)
    ended = office.reload(campaign)

    office.execute(sa.insert(JobRow).values({**values_of(job), "attempts": 1}))
    crew.drain()

    again = office.reload(campaign)
    assert (again.status, again.finished_at, again.counts) == (ended.status, ended.finished_at, ended.counts)
    assert (len(gateway.calls), len(office.notices()), office.jobs(), office.failed_jobs()) == (3, 1, 0, [])


def values_of(job):
    """Read a job's row, to have it once more."""
    return {column.name: getattr(job, column.name) for column in JobRow.__table__.columns}


def test_the_end_is_told_as_an_event_with_the_counts(office, crew):
    campaign = office.launched(fated("11"))
    heard = []
    end = events.on(lambda event, facts: heard.append((event, facts)))

    crew.finish(office)
    end()

    (facts,) = [facts for event, facts in heard if event == "campaign.ended"]
    assert (facts["campaign_id"], facts["status"], facts["sent"]) == (campaign.id, "completed", 1)
    assert not [row for row in office.rows(Notice) if "+1" in str(row.data)]
