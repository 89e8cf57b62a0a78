"""Why a campaign does not move: every sentence, in the state that it speaks of."""

from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain import explaining, why
from smsqueue.domain.jobs import QUEUES
from smsqueue.gateways.base import Deferred, Rejected, Sent, Unknown
from smsqueue.models import Campaign, Recipient
from smsqueue.queue import claim, failed, workers
from smsqueue.queue.models import FailedJob, JobRow
from tests.domain_workers import Held, Scripted
from tests.outside import wait_until

KINDS = ("sms.send-single", "sms.send-bulk", "sms.check-rows", "mail.notice")


@pytest.fixture
def ask(store):
    """Ask why a campaign does not move; the sentences."""
    return lambda campaign: [reason.sentence for reason in reasons(store, campaign)]


def reasons(store, campaign):
    """Ask why a campaign does not move."""
    with store.reading() as session:
        answer = explaining.explain(session, campaign.uuid, KINDS)
    assert answer is not None
    return answer.reasons


@pytest.fixture
def working(store):
    """A worker that listens on all queues."""
    return store.write(lambda session: workers.register(session, QUEUES, 60))


def test_no_such_campaign(store):
    with store.reading() as session:
        assert explaining.explain(session, uuid4(), KINDS) is None


def test_draft_that_nobody_has_confirmed(office, ask):
    assert ask(office.draft(2)) == ["A draft: nobody has confirmed it, so nothing is charged or sent"]


def test_draft_whose_rows_are_being_checked(office, ask):
    draft = office.draft(2)
    half = sa.update(Campaign).where(Campaign.id == draft.id).values(checked_at=None, checked_rows=1)
    office.execute(half)
    assert ask(draft) == ["A draft whose list is being checked: 1 of 2 rows are"]


def test_campaign_that_waits_for_a_worker(office, ask):
    campaign = office.launched(3, slice_rows=1)
    first, second = ask(campaign)
    assert first == "3 of 3 recipients are open (3 wait, 0 are being sent) in 3 jobs, of which workers hold 0"
    assert second.startswith("No worker is running that could do this, and it waits since ")


def test_only_the_campaigns_own_jobs_are_spoken_of(office, ask):
    """Ids that begin alike, and mails, are not its jobs."""
    campaigns = [office.launched(1) for _ in range(11)]
    single = office.launch(office.single())
    assert all("in 1 job, of" in ask(campaign)[0] for campaign in (*campaigns, single))


def test_campaign_whose_slices_workers_hold(office, store, ask, working):
    campaign = office.launched(3, slice_rows=1)
    store.write(lambda s: claim.claim(s, working, "sms", 2))
    first, *others = ask(campaign)
    assert first == "3 of 3 recipients are open (3 wait, 0 are being sent) in 3 jobs, of which workers hold 2"
    assert others[0].startswith(f"Held by worker {working} (")
    assert others[-1].startswith("Next in line: 1 worker, busy with 2 jobs")


def test_campaign_whose_calls_are_open(office, make_crew, ask):
    campaign, gateway = office.launched(2), Held()
    working = make_crew(gateway).start()
    wait_until(lambda: len(gateway.calls) == 2)
    first, second = ask(campaign)
    gateway.let_go()
    working.ended()
    assert first.startswith("2 of 2 recipients are open (0 wait, 2 are being sent) in 1 job, of which workers hold 1")
    assert second.startswith("Held by worker ")


def test_campaign_whose_gateway_cannot_be_reached(office, store, make_crew, ask):
    campaign = office.launched(2)
    make_crew(Scripted(lambda _: Deferred(30, "unreachable", "nobody answers")), SMS_CONCURRENCY="2").drain()
    store.write(lambda session: workers.register(session, QUEUES, 60))
    _, said = ask(campaign)
    assert said.startswith("The gateway did not take it for now (nobody answers), ")
    assert "It is tried again by itself on " in said


def test_one_of_a_campaigns_recipients(office, store, make_crew, ask, working):
    campaign = office.launched(3)
    make_crew(Scripted(lambda to: Rejected("bad", "no such number.") if to.to.endswith("00") else Sent("g"))).drain()
    night = "It is night in Japan: waits for 08:00-21:00 there."
    third = sa.update(Recipient).where(Recipient.row == 3)
    until = now() + timedelta(hours=9)
    office.is_tampered = True
    office.execute(third.values(state="queued", code="hours", error=night, not_before=until, updated_at=now()))

    def said(row):
        with store.reading() as session:
            answer = explaining.explain_row(session, campaign.uuid, row)
        return (answer.subject.rpartition(": ")[2], answer.reasons[0].sentence) if answer else None

    rows = [recipient.source_row for recipient in office.recipients(campaign)]
    ended = office.attempts(campaign)[0].ended_at
    assert said(rows[0]) == ("failed", f"no such number. Says gateway scripted, {why.at(ended)}")
    assert said(rows[1])[1].startswith("Sent. Says gateway scripted, ")
    assert said(rows[2])[1].startswith("It is night in Japan: waits for 08:00-21:00 there (since ")
    assert said(99) is None


def test_recipient_of_a_draft_waits_for_somebody_who_confirms_it(office, store):
    draft = office.draft(1)
    with store.reading() as session:
        answer = explaining.explain_row(session, draft.uuid, office.recipients(draft)[0].source_row)
    assert answer
    assert answer.reasons[0].sentence.startswith("A draft: nobody has confirmed it")


def test_campaign_that_gave_up_a_slice(office, store, make_crew, ask, working):
    campaign = office.launched(2, slice_rows=1)
    (held,) = store.write(lambda s: claim.claim(s, working, "sms", 1))
    crew, trace = make_crew(Scripted()), "Traceback\nOSError: disk"
    store.write(lambda s: failed.fail(s, crew.registry, held, "OSError: disk", trace))
    *_, given_up = ask(campaign)
    assert given_up.startswith("Given up at ")
    assert given_up.endswith(": OSError: disk")
    (row,) = office.failed_jobs()
    assert reasons(store, campaign)[-1].command == f"flask sms retry-failed {row.uuid}"
    crew.drain()
    ended, again = ask(campaign)
    assert ended.startswith("It has ended (1 sent, 1 failed): A part of the campaign was given up")
    assert again == given_up


def test_campaign_whose_jobs_are_gone(office, ask):
    """Somebody deleted rows by hand."""
    campaign = office.launched(2)
    office.execute(sa.delete(JobRow))
    only = "2 of 2 recipients are open (2 wait, 0 are being sent), and no job is left that would send them"
    assert ask(campaign) == [only]


def test_campaign_that_only_has_to_be_closed(office, ask):
    campaign = office.launched(1)
    office.is_tampered = True
    office.execute(sa.update(Campaign).values(queued=0))
    assert ask(campaign)[0] == "Nothing is left to send: a worker closes it within a minute"


@pytest.mark.parametrize(
    ("answer", "sentences"),
    [
        (lambda _: Sent("ok"), ["It has ended (1 sent)"]),
        (
            lambda _: Unknown("no answer"),
            [
                "It has ended (1 unknown)",
                "1 are unknown: nobody can tell yet; a gateway that can be asked is asked, then people decide",
            ],
        ),
    ],
    ids=["sent", "unknown"],
)
def test_campaign_that_has_ended(office, make_crew, ask, answer, sentences):
    campaign = office.launched(1)
    make_crew(Scripted(answer)).drain()
    assert ask(campaign) == sentences


def test_campaign_that_was_cancelled(office, ask):
    campaign = office.launched(1)
    office.cancel(campaign)
    assert ask(campaign) == ["It has ended (1 cancelled): Cancelled before it was sent."]
    assert office.rows(FailedJob) == []
