"""Fixtures of the domain's tests: an office on each database, the outside world, workers."""

from collections.abc import Callable, Iterator

import pytest
from sqlalchemy.exc import DBAPIError

from smsqueue.config import Settings
from smsqueue.db import Database, is_worth_repeating
from smsqueue.gateways.base import Gateway
from tests.domain_fixtures import Office
from tests.domain_workers import Crew, Held
from tests.outside import Outside, wait_until

AS_USUAL = {"fates": True, "latency_ms": 0, "down": False, "p_lost_reply": 0, "p_429": 0, "p_500": 0, "p_cut": 0}


@pytest.fixture
def office(store: Database) -> Iterator[Office]:
    """A team with a person and 1,000 credits; its books are audited after the test."""
    office = Office.open(store, "Office", 1000)
    yield office
    assert office.is_tampered or not office.problems()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    """The simulator in a process of its own, for all tests."""
    with Outside(tmp_path_factory.mktemp("outside")) as outside:
        yield outside


@pytest.fixture
def outside(world: Outside) -> Outside:
    """The simulator, with its settings as they are at the start."""
    world.settings(**AS_USUAL)
    return world


@pytest.fixture
def make_crew(store: Database, make_settings: Callable[..., Settings]) -> Iterator[Callable[..., Crew]]:
    """Hire workers for a gateway: `make_crew(Scripted(), SMS_WINDOW="4")`."""
    hired: list[Crew] = []

    def hire(gateway: Gateway | None = None, **environ: str) -> Crew:
        hired.append(Crew(store, make_settings(**environ), gateway))
        return hired[-1]

    yield hire
    for crew in hired:
        crew.services.close()


@pytest.fixture
def crew(make_crew: Callable[..., Crew], outside: Outside) -> Crew:
    """Workers who send through the simulator; a call may take 1 s."""
    return make_crew(SIMULATED_URL=outside.url, SMS_READ_TIMEOUT="1", SMS_CONNECT_TIMEOUT="1")


@pytest.fixture
def repeated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What a transaction was repeated for, as for a deadlock."""
    found: list[str] = []

    def noted(error: DBAPIError) -> bool:
        if is_worth_repeating(error):
            found.append(str(error.orig))
        return is_worth_repeating(error)

    monkeypatch.setattr("smsqueue.db.is_worth_repeating", noted)
    return found


@pytest.fixture
def held(office, make_crew):
    """A campaign of 20 with 2 calls in progress and 2 more intended: its gateway, and the worker's thread."""
    gateway = Held()
    campaign = office.launched(20, slice_rows=8)
    working = make_crew(gateway, SMS_CONCURRENCY="2", SMS_WINDOW="4").start()
    wait_until(lambda: len(gateway.calls) == 2)
    yield campaign, gateway, working
    gateway.let_go()
    working.ended()
