"""Whatever waits has one sentence: why, since when, who can end it; the same on the page, in JSON and in `explain`."""

import json
import re
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from smsqueue.cli.group import sms
from smsqueue.core.clock import now
from smsqueue.domain import brake, breaker
from smsqueue.domain.why import at
from smsqueue.models import Campaign, GatewayState, Rate, Recipient, Status
from smsqueue.queue import control, workers
from smsqueue.queue.models import JobRow, WorkerRow
from tests.integration.web.parts import words_of
from tests.web import page_of

EARLIER = now() - timedelta(minutes=7)
LATER = now() + timedelta(hours=3)


@pytest.fixture
def explain(app):
    """Ask the command."""

    def explain(campaign, *options):
        answer = app.test_cli_runner().invoke(sms, ["explain", str(campaign.uuid), "--json", *options])
        return json.loads(answer.stdout)["reasons"]

    return explain


def change(store, model, **values):
    """Change all rows of a table behind the program's back."""
    store.write(lambda session: session.execute(sa.update(model).values(values)))


def work(store, **values):
    """Let a worker live that takes texts."""
    worker_id = store.write(lambda session: workers.register(session, ["sms"], lease_seconds=60))
    if values:
        change(store, WorkerRow, **values)
    return worker_id


def put_off(store, until, code, error):
    """Let nobody be sent to before a time."""
    work(store)
    change(store, Recipient, not_before=until, code=code, error=error, updated_at=EARLIER)
    change(store, JobRow, available_at=JobRow.available_at + 10**10)
    change(store, Campaign, status=Status.PROCESSING, started_at=EARLIER)


def waits_for_nobody(store):
    """No worker is there."""


def waits_for_a_signal(store):
    """The only worker was paused by a signal."""
    work(store, is_paused=True, pid=4711)


def waits_for_its_turn(store):
    """A worker is there, and busy with something else."""
    values = {"queue": "sms", "payload": "{}", "uuid": "u", "kind": "k", "attempts": 1, "available_at": 1}
    values |= {"reserved_at": 1, "created_at": 1, "worker_id": work(store)}
    store.write(lambda session: session.add(JobRow(**values)))


def is_next(store):
    """A worker is there, and will see it."""
    work(store)


def waits_for_an_operator(store):
    """Somebody has paused the queue."""
    work(store)
    store.write(lambda session: control.pause(session, "sms", author="ben", reason="new tariff."))


def waits_for_a_time_of_an_operator(store):
    """Somebody has paused the queue for a while."""
    work(store)
    store.write(lambda session: control.pause(session, seconds=1800))


def waits_for_a_paused_gateway(store):
    """Somebody has paused the gateway."""
    work(store)
    store.write(lambda session: breaker.pause(session, "simulated", "ben", "moves house.", now()))


def waits_for_a_gateway_that_is_away(store):
    """Its breaker is open."""
    work(store)
    state = GatewayState(name="simulated", failures=10, opened_at=EARLIER, reason="no answer in time.")
    store.write(lambda session: session.add(state))


def waits_for_the_morning(store):
    """It is night where all of them are."""
    put_off(store, LATER, "hours", "It is night in Japan: waits for 08:00-21:00 there.")


def waits_for_hours_that_never_come(store):
    """The clocks of their country are too far apart."""
    put_off(store, brake.FOR_EVER, "let_go_hours", "It is night in Russia: waits for 08:00-09:00 there.")


def waits_for_somebody_to_let_go(store):
    """The brake holds them."""
    put_off(store, brake.FOR_EVER, "brake", "Held: the same words went to this number 2 times within an hour.")


def waits_for_another_try(store):
    """The gateway has put them off."""
    put_off(store, LATER, "throttled", "too many requests.")


def waits_for_the_rate(store):
    """A worker has it in hand, and the gateway takes little."""
    change(store, JobRow, reserved_at=1, worker_id=work(store))
    change(store, Campaign, status=Status.PROCESSING, started_at=EARLIER)
    store.write(lambda session: session.add(Rate(name="gateway:simulated", per_second=0.01, due_us=0)))


def waits_for_a_rate_that_was_lowered(store):
    """The gateway has asked for less."""
    waits_for_the_rate(store)
    change(store, Rate, throttled_at=EARLIER)


def is_paused(store):
    """Somebody of the team has paused it."""
    change(store, Campaign, status=Status.PAUSED, paused_at=EARLIER)


def is_scheduled(store):
    """Its time is still to come."""
    change(store, Campaign, status=Status.SCHEDULED, scheduled_for=LATER, time_zone="Europe/Paris")


def waits_for_its_first_ten(store):
    """The rest waits for the answers to the first."""
    work(store)
    change(store, Campaign, status=Status.PROCESSING, first_ten=True, started_at=now(), total=13)
    change(store, Recipient, row=Recipient.row + 10)


def waits_in_vain_for_its_first_ten(store):
    """The first ten have not told enough."""
    waits_for_its_first_ten(store)
    change(store, Campaign, started_at=EARLIER)


CAUSES = {
    waits_for_nobody: ("No worker is running", "as soon as an operator has started one"),
    waits_for_a_signal: ("A signal has paused every worker", "an operator lets a worker go on"),
    waits_for_its_turn: ("workers are busy with what came earlier or is more urgent", "when they come to it"),
    is_next: ("Next in line since", "a worker begins at its next look"),
    waits_for_an_operator: (", by ben: new tariff.", "It goes on when an operator ends that."),
    waits_for_a_time_of_an_operator: (", by an operator.", "or earlier when an operator ends that."),
    waits_for_a_paused_gateway: (
        "Gateway simulated is paused since",
        "It goes on when an operator lets the gateway be used again.",
    ),
    waits_for_a_gateway_that_is_away: ("(no answer in time).", "every few seconds, and sending goes on by itself."),
    waits_for_the_morning: ("It is night in Japan: waits for 08:00-21:00 there", f"by itself on {at(LATER)}."),
    waits_for_hours_that_never_come: ("It is night in Russia", "Only somebody who cancels ends that; else it is"),
    waits_for_somebody_to_let_go: (
        ": the same words went to this number 2 times within an hour.",
        "It waits until somebody of the team lets it go, or cancels; else it is credited back on ",
    ),
    waits_for_another_try: ("(too many requests)", f"It is tried again by itself on {at(LATER)}."),
    waits_for_the_rate: ("0.01 segments a second.", "It goes on by itself, with at least 5 min to go."),
    waits_for_a_rate_that_was_lowered: ("for it asked for less.", "It goes on by itself, with at least 5 min to go."),
    is_paused: ("Paused since", "Nothing is sent until somebody resumes it."),
    is_scheduled: ("Scheduled since", "It starts by itself on "),
    waits_for_its_first_ten: ("The first 10 go alone", "somebody can send the rest before, or cancel."),
    waits_in_vain_for_its_first_ten: ("are not enough to go on", "somebody can send the rest, or cancel."),
}
"""What the sentence says of the cause, and of who or what ends it."""


@pytest.mark.databases("sqlite", "postgresql", "mariadb")
@pytest.mark.parametrize("cause", CAUSES)
def test_page_json_and_command_say_the_same_of_whatever_a_campaign_waits_for(member, launched, store, explain, cause):
    cause(store)
    says, who = CAUSES[cause]
    address = f"/sms/campaigns/{launched.uuid}"

    why = member.get(f"{address}/status").json["why"]
    answer = member.get(address)
    _open, told, *others = explain(launched)
    (of_row,) = explain(launched, "--row", "2")

    boxes = [" ".join(box.get_text(" ").split()) for box in page_of(answer).select("[data-poll-html=live] .notice")]
    row = words_of(answer, "#recipients tbody tr:nth-child(2)")
    assert says in why["text"]
    assert who in why["who"]
    assert why["text"].endswith(why["who"])
    assert at(datetime.fromisoformat(why["since"])) in why["text"]
    assert len(boxes) == 1
    assert why["text"] in boxes[0]
    assert told["sentence"] == of_row["sentence"] == why["text"]
    assert told["since"] == of_row["since"]
    assert all(other["sentence"].startswith("Held by worker ") for other in others)
    assert why["text"] in row
    assert not re.search(r"\.\W*\.", why["text"])
