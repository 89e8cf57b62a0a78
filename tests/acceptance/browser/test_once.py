"""Impatient people: however often Send is pressed, there is one campaign and one charge; and Cancel stops it."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.acceptance.browser.doing import button, confirm, main, press, sign_in, write_campaign, write_single
from tests.acceptance.browser.installation import Installation
from tests.domain_fixtures import plain
from tests.outside import wait_until

pytestmark = pytest.mark.databases("sqlite", "postgresql")
TO_THREE = "phone\n" + "\n".join(plain(3))
SHOWN = re.compile(r"/sms/campaigns/[0-9a-f-]+$")


def clicks_twice(page: Page) -> None:
    button(page, "Send ").dblclick()


def presses_enter_twice(page: Page) -> None:
    button(page, "Send ").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")


def goes_back_and_sends_again(page: Page) -> None:
    confirm(page)
    page.go_back(wait_until="load")
    if SHOWN.search(page.url) is None:  # the browser kept the review in its memory
        button(page, "Send ").click()


def sends_from_two_tabs(page: Page) -> None:
    other = page.context.new_page()
    other.goto(page.url)
    confirm(page)
    confirm(other)
    other.close()


def loads_again_after_sending(page: Page) -> None:
    confirm(page)
    page.reload()


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
@pytest.mark.parametrize(
    "does",
    [clicks_twice, presses_enter_twice, goes_back_and_sends_again, sends_from_two_tabs, loads_again_after_sending],
)
def test_campaign_is_sent_and_charged_once(
    place: Installation, open_window: Any, does: Callable[[Page], None], *, scripts: bool
) -> None:
    user = place.hire(100)
    page = open_window(place.url, java_script_enabled=scripts).page
    sign_in(page, user)
    write_campaign(page, "Once", "Hello", TO_THREE)
    does(page)
    page.wait_for_url(SHOWN)
    expect(page.get_by_role("heading", level=1)).to_have_text("Once")
    wait_until(lambda: all(campaign.finished_at for campaign in place.campaigns(user)), 20)
    assert [campaign.sent for campaign in place.campaigns(user)] == [3]
    assert place.movements(user) == [("grant", 100), ("charge", -3)]


def test_single_sms_is_sent_and_charged_once(place: Installation, open_window: Any) -> None:
    user = place.hire(100)
    page = open_window(place.url).page
    sign_in(page, user)
    write_single(page, "(201) 555-0124", "Hello")
    clicks_twice(page)
    page.wait_for_url(SHOWN)
    expect(page.get_by_role("heading", level=1)).to_have_text("Single SMS to +••••••••124")
    assert len(place.campaigns(user)) == 1
    assert place.movements(user) == [("grant", 100), ("charge", -1)]


def test_cancel_in_the_middle_stops_and_credits_back(place: Installation, open_window: Any) -> None:
    user, outside = place.hire(1000), place.outside
    assert outside is not None
    outside.settings(latency_ms=400)
    page = open_window(place.url).page
    sign_in(page, user)
    write_campaign(page, "Too soon", "Hello", "phone\n" + "\n".join(plain(400)))
    confirm(page)
    wait_until(lambda: place.campaigns(user)[0].sent > 0, 20)
    page.locator("summary", has_text="Cancel this campaign").click()
    press(page, "Stop sending")
    expect(page.locator(".flashes")).to_contain_text("The campaign is cancelled. What had not left is credited back.")
    expect(page.locator(".status-line")).to_contain_text("Cancelled")
    expect(page.locator("[data-poll]")).to_have_count(0)
    campaign = place.campaigns(user)[0]
    assert (campaign.status, campaign.sent + campaign.cancelled) == ("cancelled", 400)
    assert 0 < campaign.sent < 400
    assert place.balance(user) == 1000 - campaign.sent
    expect(main(page).locator(".facts")).to_contain_text(f"{campaign.cancelled}")
    assert place.audit()[0] == 0
