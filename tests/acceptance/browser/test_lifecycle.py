"""A running campaign in people's hands: paused, resumed and cancelled on its page, while a real worker sends it."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from smsqueue.models import User
from tests.acceptance.browser.doing import button, confirm, main, press, sign_in, write_campaign
from tests.acceptance.browser.installation import Installation
from tests.domain_fixtures import plain
from tests.outside import wait_until

pytestmark = [pytest.mark.databases("sqlite", "postgresql"), pytest.mark.timeout(240)]
LATENCY_MS = 1500
ROWS = 900


def launch(place: Installation, page: Page, user: User) -> None:
    """Send a campaign that takes half a minute."""
    assert place.outside is not None
    place.outside.settings(latency_ms=LATENCY_MS)
    sign_in(page, user)
    content = "name;phone\n" + "\n".join(f"Ann {row};{number}" for row, number in enumerate(plain(ROWS)))
    write_campaign(page, "Spring sale", "Hi ((name))", content)
    confirm(page)


def sent(place: Installation, user: User) -> int:
    """Count whom the gateway has taken, as the campaign's counters say."""
    return place.campaigns(user)[-1].sent


def is_quiet(place: Installation, user: User) -> bool:
    """Say whether nothing is with the gateway."""
    return place.campaigns(user)[-1].sending == 0


def status(page: Page) -> Any:
    """Find the line that says how the campaign stands."""
    return page.locator(".status-line")


def test_pause_resume_and_cancel_on_the_page(place: Installation, open_window: Any) -> None:
    user = place.hire(5000)
    page = open_window(place.url).page
    launch(place, page, user)
    wait_until(lambda: sent(place, user) > 20, 60)
    colleague = open_window(place.url).page
    sign_in(colleague, user)
    colleague.goto(page.url)
    expect(button(colleague, "Pause sending")).to_be_visible()

    press(page, "Pause sending")
    expect(status(page)).to_contain_text("Paused")
    expect(main(page)).to_contain_text("Nothing is sent until somebody resumes it. What it had left")
    wait_until(lambda: is_quiet(place, user), 30)
    stands = sent(place, user)
    expect(status(colleague)).to_contain_text("Paused")  # by its poll, without a reload
    expect(button(colleague, "Pause sending")).to_have_count(0)

    press(colleague, "Resume sending")
    expect(status(colleague)).to_contain_text("Processing")
    wait_until(lambda: sent(place, user) > stands, 60)
    page.get_by_text("Cancel this campaign…").click()
    press(page, "Stop sending")
    expect(status(page)).to_contain_text("Cancelled")
    wait_until(lambda: place.campaigns(user)[-1].finished_at is not None, 30)

    (campaign,) = place.campaigns(user)
    assert stands < campaign.sent < ROWS
    assert campaign.sent + campaign.cancelled == ROWS
    assert place.balance(user) == 5000 - campaign.sent
    assert place.audit()[0] == 0


def test_pause_and_resume_work_without_scripts(place: Installation, open_window: Any) -> None:
    user = place.hire(5000)
    page = open_window(place.url, java_script_enabled=False).page
    launch(place, page, user)

    press(page, "Pause sending")
    expect(status(page)).to_contain_text("Paused")
    press(page, "Resume sending")
    expect(main(page)).to_contain_text("goes on where it stopped")
    page.get_by_text("Cancel this campaign…").click()
    press(page, "Stop sending")
    expect(status(page)).to_contain_text("Cancelled")
    wait_until(lambda: place.campaigns(user)[-1].finished_at is not None, 30)
