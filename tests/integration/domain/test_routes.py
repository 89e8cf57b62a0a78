"""Who takes whose text, with real rows: by country, by team, and what may move to another gateway."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.domain.routing import Routes
from smsqueue.domain.senders import Senders
from smsqueue.gateways.base import Deferred, Unknown
from smsqueue.models import GatewayState, Recipient, State, Team
from smsqueue.queue import events
from tests.domain_fixtures import plain
from tests.domain_workers import Held, Scripted
from tests.outside import wait_until

AMERICAN, FRENCH, SWISS = "+12015550101", "+33612345678", "+41791234567"
EVERYWHERE = [AMERICAN, FRENCH, SWISS]
AWAY = {
    "name": "kannel",
    "failures": 10,
    "opened_at": now(),
    "probe_at": now() + timedelta(seconds=3600),
    "reason": "nobody there",
}


def gateways(*names):
    """Make gateways whose answers a test decides."""
    made = {name: Scripted() for name in names}
    for name, gateway in made.items():
        gateway.name = name
    return made


def staffed(make_crew, made, by_default, window="0", **by_country):
    """Hire workers that know these gateways and routes."""
    crew = make_crew(SMS_WINDOW=window)
    routes = Routes(tuple(by_default.split()), {country: tuple(names.split()) for country, names in by_country.items()})
    crew.services.__dict__["_senders"] = Senders(made, 4, routes)
    return crew


def who_sent(office, campaign):
    """Read by which gateways each number was tried, in that order."""
    numbers = {recipient.id: recipient.number for recipient in office.recipients(campaign)}
    tried: dict[str, list[str]] = {number: [] for number in numbers.values()}
    for attempt in office.attempts(campaign):
        tried[numbers[attempt.recipient_id]].append(attempt.gateway)
    return tried


def looks(crew, seconds):
    """How often slices are looked at in vain within so many seconds."""
    found: list[str] = []

    def hear(event, facts):
        found.extend([event] * (event == "job.released"))

    end = events.on(hear)
    crew.drain(daemon=True, max_time=seconds)
    end()
    return len(found)


def test_each_country_goes_its_own_way(office, make_crew):
    made = gateways("kannel", "twilio", "vonage")
    crew = staffed(make_crew, made, "twilio", FR="kannel twilio", CH="vonage")
    campaign = office.launched(EVERYWHERE)

    crew.finish(office)

    assert who_sent(office, campaign) == {AMERICAN: ["twilio"], FRENCH: ["kannel"], SWISS: ["vonage"]}
    assert [made[name].numbers for name in ("kannel", "twilio", "vonage")] == [[FRENCH], [AMERICAN], [SWISS]]


def test_a_teams_gateways_go_first(office, make_crew):
    made = gateways("kannel", "twilio", "vonage")
    crew = staffed(make_crew, made, "kannel", FR="kannel twilio", CH="kannel")
    office.execute(sa.update(Team).where(Team.id == office.team.id).values(gateways="vonage,twilio"))
    campaign = office.launched(EVERYWHERE)

    crew.finish(office)

    assert who_sent(office, campaign) == {AMERICAN: ["vonage"], FRENCH: ["twilio"], SWISS: ["kannel"]}


def test_what_was_surely_not_taken_goes_to_the_second_once_the_first_is_given_up(office, make_crew):
    made = gateways("kannel", "twilio")
    made["kannel"].answer = lambda _outgoing: Deferred(0, "unreachable", "Nobody is there.")
    crew = staffed(make_crew, made, "kannel twilio")
    campaign = office.launched(40)

    crew.finish(office)

    assert office.states(campaign) == {"sent": 40}
    assert len(made["twilio"].numbers) == 40
    tried = who_sent(office, campaign)
    assert all(names[-1] == "twilio" and set(names[:-1]) <= {"kannel"} for names in tried.values())
    assert sum(names.count("kannel") for names in tried.values()) >= 10


def test_what_nobody_can_tell_never_goes_to_the_second(office, make_crew):
    made = gateways("kannel", "twilio")
    made["kannel"].answer = lambda _outgoing: Unknown("It hung.")
    crew = staffed(make_crew, made, "kannel twilio")
    campaign = office.launched(40)

    crew.finish(office)

    assert set(made["kannel"].numbers).isdisjoint(made["twilio"].numbers)
    assert len(made["twilio"].numbers) > 0
    unknown = {each.number for each in office.recipients(campaign) if each.state == State.UNKNOWN}
    assert unknown == set(made["kannel"].numbers)
    assert all(len(names) == 1 for names in who_sent(office, campaign).values())


def test_a_paused_gateway_is_passed_over_and_used_again_when_it_is_resumed(office, make_crew):
    made = gateways("kannel", "twilio")
    crew = staffed(make_crew, made, "kannel twilio")
    office.execute(
        sa.insert(GatewayState).values(name="kannel", paused_at=sa.func.current_timestamp(), paused_by="ann")
    )
    first = office.launched([AMERICAN])
    crew.finish(office)
    office.execute(sa.delete(GatewayState))
    crew = staffed(make_crew, made, "kannel twilio")
    second = office.launched([FRENCH])

    crew.finish(office)

    assert who_sent(office, first) == {AMERICAN: ["twilio"]}
    assert who_sent(office, second) == {FRENCH: ["kannel"]}


def test_a_country_without_a_gateway_waits_while_others_go(office, make_crew):
    made = gateways("kannel", "twilio")
    crew = staffed(make_crew, made, "twilio", FR="kannel")
    office.execute(
        sa.insert(GatewayState).values(name="kannel", paused_at=sa.func.current_timestamp(), paused_by="ann")
    )
    campaign = office.launched(EVERYWHERE)

    crew.drain()

    states = {each.number: each.state for each in office.recipients(campaign)}
    assert states == {AMERICAN: State.SENT, FRENCH: State.QUEUED, SWISS: State.SENT}
    office.execute(sa.delete(GatewayState))
    staffed(make_crew, made, "twilio", FR="kannel").finish(office)
    assert office.states(campaign) == {"sent": 3}


def test_slices_of_a_gateway_that_is_away_are_left_alone_though_one_that_nobody_uses_is_there(office, make_crew):
    crew = staffed(make_crew, gateways("kannel", "twilio"), "kannel")
    office.execute(sa.insert(GatewayState).values(AWAY))
    office.launched(100, slice_rows=2)

    assert looks(crew, seconds=4) <= 4


@pytest.mark.parametrize("window", ["0", "4"])
def test_who_waits_for_the_morning_keeps_nobody_from_another_gateway(office, make_crew, window):
    made = gateways("kannel", "twilio")
    crew = staffed(make_crew, made, "twilio", window=window, FR="kannel")
    campaign = office.launched([f"+3361234567{last}" for last in range(4)] + plain(4))
    french = sa.update(Recipient).where(Recipient.country == "FR")
    office.execute(french.values(not_before=now() + timedelta(hours=8)))

    crew.drain()

    assert sorted(made["twilio"].numbers) == plain(4)
    assert office.states(campaign) == {"queued": 4, "sent": 4}


def test_one_window_is_shared_by_a_gateway_that_hangs_and_one_that_answers(office, make_crew):
    made = gateways("kannel", "twilio")
    made["kannel"] = hanging = Held()
    hanging.name = "kannel"
    crew = staffed(make_crew, made, "twilio", window="4", FR="kannel")
    campaign = office.launched([f"+336123456{last}" for last in range(10, 20)] + plain(10))

    with_kannel_hanging = crew.start()
    wait_until(lambda: len(made["twilio"].numbers) == 10)
    assert 2 <= len(made["kannel"].numbers) < 10
    hanging.let_go()
    with_kannel_hanging.ended()

    crew.finish(office)
    assert office.states(campaign) == {"sent": 20}
