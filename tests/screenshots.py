"""`make screenshots`: the picture in the README, taken of a campaign that is really being sent."""

import re
import tempfile
from pathlib import Path

from playwright.sync_api import Page, expect, sync_playwright

from tests import browser
from tests.acceptance.browser.doing import confirm, sign_in, write_campaign
from tests.acceptance.browser.installation import Installation
from tests.databases import Databases
from tests.domain_fixtures import fated, plain
from tests.outside import ROOT, Outside

PICTURE = ROOT / "docs" / "screenshots" / "campaign.png"
LARGEST = 150 * 1024
SIZE = {"width": 1280, "height": 800}
TEXT = "Hi ((name)), our spring sale starts on Monday. Show this text and take 20 % off."
PARTLY = re.compile(r"\d{3,} of 2,000 done, [45]\d %.* left")


def main() -> None:
    """Start everything on an empty database, send a campaign and take its picture on the way."""
    databases = Databases(kinds=("sqlite",))
    with tempfile.TemporaryDirectory() as folder, Outside(Path(folder), latency_ms=120) as outside:
        place = Installation(Path(folder), databases.ready("sqlite"), outside)
        try:
            place.start_web()
            place.start_worker()
            take(place)
        finally:
            place.close()
            databases.stop()
    size = PICTURE.stat().st_size
    print(f"{PICTURE.relative_to(ROOT)}: {size / 1024:.0f} KiB")
    if size > LARGEST:
        raise SystemExit(f"This is too big for a README: at most {LARGEST // 1024} KiB.")


def take(place: Installation) -> None:
    """Sign in, send, and wait for the middle."""
    user = place.hire(20_000, team="Flowers", email="ann@flowers.example")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser.find_or_install(), args=browser.arguments())
        context = chromium.new_context(base_url=place.url, viewport=SIZE, color_scheme="light")  # type: ignore[arg-type]
        page = context.new_page()
        sign_in(page, user)
        send(page)
        expect(page.locator(".bar-note")).to_have_text(PARTLY, timeout=90_000)
        page.reload()  # the list, too, as it is now
        PICTURE.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=PICTURE)
        chromium.close()


def send(page: Page) -> None:
    """Send to 2,000 people, a few of whom cannot be reached."""
    numbers = plain(1992)
    for row, number in enumerate(fated(*["82"] * 8)):
        numbers.insert(7 + 90 * row, number)
    rows = "\n".join(f"Ann {row},{number}" for row, number in enumerate(numbers))
    write_campaign(page, "Spring sale", TEXT, f"name,phone\n{rows}")
    confirm(page)


if __name__ == "__main__":
    main()
