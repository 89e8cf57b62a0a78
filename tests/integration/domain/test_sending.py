"""Sending through the simulator's gateway: what each answer makes of a recipient, and of the campaign."""

from datetime import timedelta

import pytest

from smsqueue.core.clock import now
from smsqueue.domain.completion import NOTHING_WENT
from smsqueue.gateways.base import Deferred, Rejected, Sent, Unknown
from smsqueue.models import Status
from smsqueue.queue.models import JobRow
from tests.domain_fixtures import fated, plain
from tests.domain_workers import Scripted


def taken(outside, office, campaign):
    """Read to whom the gateway took a text of this campaign, by its own log."""
    references = {attempt.reference for attempt in office.attempts(campaign)}
    return [line["to"] for line in outside.log_lines() if line["reference"] in references]


def outcomes(office, campaign):
    """Read the outcomes of a campaign's attempts, by recipient and number."""
    return [attempt.outcome for attempt in office.attempts(campaign)]


def test_everybody_is_sent_to_once_and_paid_for(office, crew, outside):
    campaign = office.launched(120, slice_rows=50)

    crew.finish(office)

    campaign = office.reload(campaign)
    assert (campaign.status, campaign.sent, campaign.spent, campaign.held) == (Status.COMPLETED, 120, 120, 0)
    assert sorted(taken(outside, office, campaign)) == sorted(plain(120))
    assert office.balance() == 880
    assert campaign.confirmed_at <= campaign.started_at <= campaign.finished_at


def test_each_gets_the_text_made_for_it(office, crew, outside):
    (zoe, adam) = fated("01", "02")

    office.launch(office.checked(f"phone,name\n{zoe},Zoë\n{adam},Adam\n", text="Hi ((name))"))
    crew.finish(office)

    texts = [outside.texts(to=number)[0] for number in (zoe, adam)]
    assert [(text["text"], text["encoding"]) for text in texts] == [("Hi Zoë", "ucs-2"), ("Hi Adam", "gsm-7")]


def test_a_single_sms_is_sent(office, crew, outside):
    campaign = office.launch(office.single(*fated("03")))

    crew.finish(office)

    assert office.reload(campaign).status == Status.COMPLETED
    assert len(taken(outside, office, campaign)) == 1


def test_refused_recipients_fail_with_the_gateways_reason_and_are_credited(office, crew, outside):
    campaign = office.launched(fated("80", "81", "82", "83", "04"))

    crew.finish(office)

    campaign = office.reload(campaign)
    assert [(row.state, row.code) for row in office.recipients(campaign)] == [
        ("failed", "not_a_number"),
        ("failed", "opted_out"),
        ("failed", "landline"),
        ("failed", "country_off"),
        ("sent", None),
    ]
    assert office.recipients(campaign)[0].error == "This is not a phone number."
    assert (campaign.status, campaign.returned, campaign.spent) == (Status.COMPLETED, 4, 1)
    assert office.balance() == 999
    assert len(taken(outside, office, campaign)) == 1


@pytest.mark.parametrize(("fate", "code"), [("84", "sender_not_allowed"), ("85", "no_credit")])
def test_a_refusal_of_our_account_stops_the_campaign_and_credits_the_rest(office, make_crew, outside, fate, code):
    crew = make_crew(SIMULATED_URL=outside.url, SMS_CONCURRENCY="1", SMS_WINDOW="1")
    campaign = office.launched([*fated("05", fate), *plain(10)], slice_rows=4)

    crew.finish(office)

    campaign = office.reload(campaign)
    assert (campaign.status, campaign.sent, campaign.failed) == (Status.FAILED, 1, 11)
    assert campaign.error.startswith(f"Stopped: the gateway refuses our account ({code}")
    assert {row.error for row in office.recipients(campaign)[2:]} == {campaign.error}
    assert office.balance() == 999
    assert len(taken(outside, office, campaign)) == 1


@pytest.mark.parametrize(("fate", "cause"), [("87", "throttled"), ("89", "unreachable")])
def test_what_was_surely_not_sent_is_put_back_for_later_and_spends_no_try(office, crew, fate, cause):
    campaign = office.launched(fated(fate))
    asked = now()

    crew.drain()

    (recipient,) = office.recipients(campaign)
    (job,) = office.rows(JobRow)
    assert (recipient.state, recipient.attempts, recipient.code) == ("queued", 1, cause)
    assert timedelta(seconds=0.9) < recipient.not_before - asked < timedelta(seconds=10)
    assert (job.attempts, job.reserved_at, office.reload(campaign).held) == (0, None, 1)
    assert job.available_at > asked.timestamp() * 1_000_000


@pytest.mark.parametrize("fate", ["87", "89"])
def test_what_was_put_back_is_delivered_later(office, crew, outside, fate):
    campaign = office.launched(fated(fate, "06"))

    crew.finish(office)

    assert outcomes(office, campaign) == ["deferred", "deferred", "sent", "sent"]
    assert office.reload(campaign).status == Status.COMPLETED
    assert len(taken(outside, office, campaign)) == 2


def test_a_single_sms_that_was_not_sent_is_put_back_too(office, crew):
    campaign = office.launch(office.single(*fated("89")))

    crew.drain()

    assert office.states(campaign) == {"queued": 1}
    crew.finish(office)
    assert office.states(campaign) == {"sent": 1}


def test_unclear_answers_leave_recipients_unknown_held_and_never_sent_again(office, crew, outside):
    campaign = office.launched(fated("90", "91", "92", "93", "94", "07"))

    crew.finish(office)
    crew.finish(office)

    campaign = office.reload(campaign)
    assert office.states(campaign) == {"unknown": 5, "sent": 1}
    assert outcomes(office, campaign) == ["unknown"] * 5 + ["sent"]
    assert (campaign.status, campaign.held, office.balance()) == (Status.COMPLETED, 5, 994)
    assert all(row.error for row in office.recipients(campaign)[:5])


def test_lost_replies_are_unknown_and_nobody_is_texted_twice(office, crew, outside):
    outside.settings(p_lost_reply=0.5)
    campaign = office.launched(60)

    crew.finish(office)

    campaign = office.reload(campaign)
    assert sorted(taken(outside, office, campaign)) == sorted(plain(60))
    assert campaign.unknown + campaign.sent == 60
    assert 0 < campaign.unknown < 60
    assert campaign.held == campaign.unknown


def test_a_mix_of_troubles_ends_with_everybody_decided_and_nobody_texted_twice(office, crew, outside):
    outside.settings(p_lost_reply=0.2, p_429=0.1, p_500=0.05, p_cut=0.05)
    campaign = office.launched(150, slice_rows=40)

    crew.finish(office)

    to = taken(outside, office, campaign)
    assert len(to) == len(set(to))
    assert set(office.states(campaign)) == {"sent", "unknown"}
    assert office.reload(campaign).held == office.states(campaign)["unknown"]


def test_a_gateway_that_stays_away_until_it_is_too_late_expires_and_credits_everybody(office, crew, outside):
    outside.settings(down=True)
    campaign = office.launched(6, validity_seconds=5)

    crew.finish(office)

    campaign = office.reload(campaign)
    assert office.states(campaign) == {"expired": 6}
    assert (campaign.status, campaign.error, campaign.returned) == (Status.FAILED, NOTHING_WENT, 6)
    assert office.recipients(campaign)[0].error.lower().startswith("not sent in time: ")
    assert office.balance() == 1000


def test_a_gateway_that_nobody_listens_at_delays_the_slice_as_a_whole(office, make_crew):
    crew = make_crew(SIMULATED_URL="http://127.0.0.1:1", SMS_CONCURRENCY="4", SMS_WINDOW="8")
    campaign = office.launched(60)

    crew.drain()

    (job,) = office.rows(JobRow)
    untouched = [row for row in office.recipients(campaign) if row.attempts == 0]
    assert office.states(campaign) == {"queued": 60}
    assert len(untouched) > 30  # calls in a row without a gateway end the stretch
    assert job.attempts == 0
    assert job.last_error.startswith("Gateway simulated cannot be reached since ")


def test_a_gateway_that_comes_back_gets_everything(office, crew, outside):
    outside.settings(down=True)
    campaign = office.launched(60, slice_rows=20)
    crew.drain()
    assert office.states(campaign) == {"queued": 60}
    outside.settings(down=False)

    crew.finish(office)

    assert sorted(taken(outside, office, campaign)) == sorted(plain(60))
    assert office.reload(campaign).status == Status.COMPLETED


def test_a_campaign_of_which_nothing_was_accepted_has_failed(office, crew):
    campaign = office.launched(fated("80", "82"))

    crew.finish(office)

    campaign = office.reload(campaign)
    assert (campaign.status, campaign.error) == (Status.FAILED, NOTHING_WENT)


def test_what_is_not_valid_any_more_is_not_sent(office, crew, outside):
    campaign = office.launched(3, validity_seconds=-1)

    crew.finish(office)

    assert office.states(campaign) == {"expired": 3}
    assert not taken(outside, office, campaign)


@pytest.mark.parametrize(
    "odd",
    [
        Deferred(float("nan"), "throttled", "later"),
        Deferred(1e300, "throttled", "later"),
        Deferred(1, "throttled", "half a letter \ud800"),
        Rejected("b\0d", "half a letter \ud800"),
        Unknown("half a letter \ud800"),
        Sent("r-1", 1, "\ud800"),
        Sent("r-1", 10**30),
        Sent("r-1", -1, "a\0b"),
        Sent("r\0", 1),
        None,
    ],
)
def test_one_odd_answer_loses_no_other(office, make_crew, odd):
    campaign = office.launched(8)
    to = office.recipients(campaign)[0].number

    crew = make_crew(Scripted(lambda outgoing: odd if outgoing.to == to else Sent(f"ok-{outgoing.reference}")))
    crew.drain()

    first, *others = [row.state for row in office.recipients(campaign)]
    fates = {Deferred: "queued", Rejected: "failed", Unknown: "unknown", Sent: "sent"}
    assert others == ["sent"] * 7
    assert first == fates.get(type(odd), "unknown")
