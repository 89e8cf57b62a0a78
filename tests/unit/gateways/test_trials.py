"""What may be wrong with a gateway's set-up has a sentence each."""

import pytest

from smsqueue.gateways import GATEWAYS, trials
from smsqueue.gateways.base import Deferred, NotFound, Rejected, Report, Sent, Traits, Unknown
from smsqueue.gateways.http import Answer

URL = "https://sms.example.org/callbacks/twilio"
NAMES = sorted(set(GATEWAYS) - {"log"})


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (200, "takes a report that nobody has signed (HTTP 200): another program answers there."),
        (302, "redirects (HTTP 302), which gateways do not follow"),
        (400, "is its host among TRUSTED_HOSTS?"),
        (404, "does the proxy hand /callbacks on"),
        (502, "answers HTTP 502: is the web process running"),
        (503, "answers HTTP 503"),
    ],
)
def test_what_our_own_address_answers_is_judged(status, said):
    assert said in str(trials.of_probe(Answer(status, {}, b""), URL, Traits()))


@pytest.mark.parametrize(("status", "traits"), [(403, Traits()), (503, Traits(unsigned_status=503))])
def test_address_that_refuses_what_is_not_signed_is_right(status, traits):
    assert trials.of_probe(Answer(status, {}, b""), URL, traits) is None


def test_address_that_cannot_be_reached_is_told():
    away = Deferred(0, "unreachable", "The gateway cannot be reached (NameResolutionError).")
    assert "cannot be reached from here" in str(trials.of_probe(away, URL, Traits()))


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (
            Rejected("20003", "The credentials are wrong.", "account"),
            "our account or sender (20003): The credentials are",
        ),
        (Rejected("21610", "Opted out.", opted_out=True), "it has opted out there"),
        (Rejected("21211", "Not a number."), "this number or text (21211): Not a number."),
        (Deferred(30, "throttled", "Too fast."), "wants fewer texts now: Too fast. Try again in 30 s."),
        (Deferred(0, "unreachable", "Nobody there."), "`flask sms gateway try` looks at name, port and certificate."),
        (Unknown("No answer."), "may have taken the text or not: No answer. It is not sent again."),
        (Sent("x", is_partial=True), "took some parts of the text and refused others"),
    ],
)
def test_every_answer_but_a_whole_acceptance_has_a_sentence(outcome, said):
    assert said in str(trials.of_outcome(outcome, "twilio"))
    assert trials.of_outcome(Sent("x"), "twilio") is None


@pytest.mark.parametrize("name", NAMES)
def test_every_gateway_has_words_for_a_report_that_does_not_come(name):
    assert "its signature is wrong" in trials.of_silence("forged", name, URL, 60)
    assert "without a signature" in trials.of_silence("unsigned", name, URL, 60)
    silent = trials.of_silence("", name, URL, 60)
    assert silent.startswith("No report came within 60 s: ")
    assert "{url}" not in silent
    assert name in trials.SETTINGS


def test_reports_that_a_text_did_not_arrive_are_told():
    assert trials.of_report("delivered", "", "", "twilio") is None
    assert trials.of_report("sent", "", "", "twilio") is None
    told = trials.of_report("undelivered", "30003", "The phone was off.", "twilio")
    assert told == "twilio reports that the text was not delivered: undelivered (30003, The phone was off.)."


def test_a_look_up_must_know_what_was_taken():
    sent = Sent("SM1")
    assert trials.of_look_up(Sent("SM1"), sent, "twilio") is None
    assert "finds another text (SM2)" in str(trials.of_look_up(Sent("SM2"), sent, "twilio"))
    assert "does not find the text that twilio took" in str(trials.of_look_up(NotFound(), sent, "twilio"))
    assert "gives no clear answer: off" in str(trials.of_look_up(Unknown("off"), sent, "twilio"))
    assert trials.of_look_up(NotFound(), Unknown("No answer."), "twilio") is None
    assert trials.of_fetch(Report(state="sent")) is None
    assert "cannot be asked for: off" in str(trials.of_fetch(Unknown("off")))
