"""How a page keeps itself fresh: never in vain, never for ever in silence. Its clock is moved, so nobody waits."""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Literal

import pytest
from playwright.sync_api import Page, Route, expect

from tests.acceptance.browser.doing import fill_sign_in, sign_in
from tests.acceptance.browser.installation import Installation
from tests.acceptance.browser.showroom import Showroom
from tests.acceptance.browser.windows import OpenWindow, Window
from tests.databases import Databases
from tests.outside import wait_until

STEP_MS, POLL_MS, MINUTE_MS = 500, 3400, 60_000
STATUS = re.compile(r"/status(\?|$)")
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
LISTEN = """() => {
  window.heard = [];
  const live = document.querySelector("[data-poll-live]");
  new MutationObserver(() => heard.push([performance.now(), live.textContent])).observe(live, { childList: true });
}"""


@pytest.fixture(scope="module")
def showroom(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Showroom]:
    """Campaigns that no worker moves."""
    place = Installation(tmp_path_factory.mktemp("polled"), databases.ready("sqlite"))
    try:
        place.start_web()
        yield Showroom(place)
    finally:
        place.close()


@pytest.fixture
def window(showroom: Showroom, open_window: OpenWindow) -> Window:
    """A window on a campaign that is being sent; its clock stands still."""
    window = open_window(showroom.place.url)
    sign_in(window.page, showroom.ann)
    window.page.clock.install()
    window.page.goto(showroom.path("processing"))
    window.page.clock.pause_at(window.page.evaluate("Date.now() / 1000 + 1"))
    return window


def poll(page: Page, ends: Literal["response", "requestfailed"] = "response") -> Any:
    """Let time pass until the next poll has its answer, or has failed; return that."""
    seen: list[Any] = []

    def note(what: Any) -> None:
        if STATUS.search(what.url):
            seen.append(what)

    def has_ended() -> bool:
        page.clock.run_for(STEP_MS)
        return bool(seen)

    page.on(ends, note)
    wait_until(has_ended, 20)
    page.remove_listener(ends, note)
    return seen[0]


def test_hidden_page_asks_nothing_and_asks_at_once_when_it_is_seen_again(window: Window) -> None:
    poll(window.page)
    window.page.evaluate(HIDE, True)
    before = window.polls()
    window.page.clock.run_for(10 * MINUTE_MS)
    assert window.polls() == before
    with window.page.expect_response(STATUS):
        window.page.evaluate(HIDE, False)
    assert window.polls() == before + 1


def test_paused_page_asks_nothing_until_it_is_resumed(window: Window) -> None:
    window.page.get_by_role("button", name="Pause updates").click()
    before = window.polls()
    window.page.clock.run_for(10 * MINUTE_MS)
    assert window.polls() == before
    with window.page.expect_response(STATUS):
        window.page.get_by_role("button", name="Resume updates").click()


def test_polls_set_no_cookies_and_say_when_nothing_has_changed(window: Window, showroom: Showroom) -> None:
    window.page.goto(showroom.path("pending"))
    answers = [poll(window.page) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 304, 304]
    assert not any("set-cookie" in answer.all_headers() for answer in answers)


def test_focus_and_selection_stay_while_numbers_change(window: Window, showroom: Showroom) -> None:
    page = window.page
    link = page.locator(".counts").get_by_role("link", name="waiting")
    link.focus()
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.status-line'))")
    showroom.change("processing", queued=9, sent=21)
    poll(page)
    expect(link).to_contain_text("9")
    expect(page.get_by_role("link", name="1 new result: show")).to_be_visible()
    expect(link).to_be_focused()
    assert "Messages are being sent." in page.evaluate("String(getSelection())")
    showroom.change("processing", queued=10, sent=20)


def test_page_says_that_the_server_is_away_and_goes_on_by_itself(window: Window, showroom: Showroom) -> None:
    page, stale = window.page, window.page.locator("[data-poll-stale]")
    window.allow("ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|Failed to load resource")
    poll(page)
    showroom.place.stop("web")
    try:
        for _ in range(6):
            poll(page, "requestfailed")
            expect(stale).to_contain_text(re.compile(r"Last updated \d\d:\d\d:\d\d, trying again"))
        expect(page.locator(".bar-note")).to_contain_text("45 of 60 done")
    finally:
        showroom.place.start_web()
    showroom.change("processing", queued=5, sent=25)
    poll(page)
    expect(stale).to_be_hidden()
    expect(page.locator(".bar-note")).to_contain_text("50 of 60 done")
    showroom.change("processing", queued=10, sent=20)


def test_page_of_an_ended_session_becomes_the_sign_in_page_and_leads_back(window: Window, showroom: Showroom) -> None:
    window.allow("status of 401")
    window.context.clear_cookies()
    window.page.clock.run_for(POLL_MS)
    expect(window.page.get_by_role("heading", level=1)).to_have_text("Sign in")
    fill_sign_in(window.page, showroom.ann)
    expect(window.page.get_by_role("heading", level=1)).to_have_text("Autumn sale")


def test_who_listens_is_told_at_most_four_times_a_minute(window: Window) -> None:
    page, asked = window.page, 0

    def answer(route: Route) -> None:
        nonlocal asked
        asked += 1
        facts: dict[str, Any] = {"percent": asked * 4 % 100, "say": f"{asked * 4} %", "html": {}, "stop": False}
        route.fulfill(
            body=json.dumps({**facts, "state": f"state {asked}", "next_ms": 3000}), content_type="application/json"
        )

    page.route(STATUS, answer)
    page.evaluate(LISTEN)
    for _ in range(24):
        poll(page)
    heard = page.evaluate("heard")
    times = [at for at, _ in heard]
    assert len(heard) >= 3, "each poll brings news, and some of it is told"
    assert all(later - earlier >= 15_000 for earlier, later in pairwise(times))


def test_page_is_loaded_again_once_when_the_campaign_ends(window: Window, showroom: Showroom) -> None:
    page, loads = window.page, []
    page.on("load", lambda _: loads.append(page.url))
    counts = {"queued": 0, "sending": 0, "sent": 35}
    showroom.change("processing", status="completed", finished_at=showroom.ann.created_at, **counts)
    page.clock.run_for(POLL_MS)
    expect(page.locator("[data-poll]")).to_have_count(0)
    page.clock.run_for(MINUTE_MS)
    expect(page.locator("[data-poll-ended]")).to_contain_text("Completed: 100 %.")
    assert len(loads) == 1
