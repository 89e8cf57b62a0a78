"""The main job, from signing in to the mail that says how it went."""

import re
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from smsqueue.models import User
from tests.acceptance.browser.doing import confirm, main, press, sign_in, table, write_campaign, write_single
from tests.acceptance.browser.installation import Installation
from tests.domain_fixtures import fated, plain
from tests.outside import wait_until

pytestmark = [pytest.mark.databases("sqlite", "postgresql"), pytest.mark.timeout(240)]
TEXT = "Hi ((name)), our spring sale starts on Monday."
LATENCY_MS = 800  # 2,000 calls by 16 to 64 threads: half a minute, so about ten polls
WATCH = """() => {
  const tell = (kind, value) => window.tell(kind, String(value), performance.now());
  const bar = document.querySelector("progress.bar"), live = document.querySelector("[data-poll-live]");
  const report = () => { tell("bar", bar.value); tell("title", document.title); tell("live", live.textContent); };
  const all = { subtree: true, childList: true, characterData: true, attributes: true };
  new MutationObserver(report).observe(document, all);
}"""


@dataclass
class Seen:
    """What moved on a page while nobody touched it; kept here, since a reload empties the page's own memory."""

    values: dict[str, list[str]] = field(default_factory=lambda: {"bar": [], "title": [], "live": []})
    spoken_at: list[float] = field(default_factory=list)
    loads: int = 0

    def watch(self, context: BrowserContext, page: Page) -> None:
        """Begin to look at the campaign's page that is open."""
        context.expose_function("tell", self._tell)
        page.on("load", self._loaded)
        page.evaluate(WATCH)

    def _tell(self, kind: str, value: str, at: float) -> None:
        if value and value not in self.values[kind][-1:]:
            self.values[kind].append(value)
            if kind == "live":
                self.spoken_at.append(at)

    def _loaded(self, _page: Page) -> None:
        self.loads += 1


def test_from_signing_in_to_the_mail(place: Installation, open_window: Any) -> None:
    user = place.hire(20_000)
    window = open_window(place.url)
    page = window.page
    sign_in(page, user)
    send_a_single_sms(page)
    review_a_campaign(page)
    assert place.outside is not None
    place.outside.settings(latency_ms=LATENCY_MS)
    seen = watch_it_to_the_end(window.context, page)
    moved(seen)
    look_at_notifications(page)
    look_at_the_ledger(page)
    read_the_mail(place, user, page)
    assert place.audit()[0] == 0


def send_a_single_sms(page: Page) -> None:
    page.get_by_role("link", name="Send SMS").click()
    page.get_by_label("Phone number").fill("(201) 555-0123")
    page.get_by_label("Text").press_sequentially("It’s here", delay=0)
    counter = page.locator("[data-counter-shown]")
    expect(counter).to_contain_text(
        "9 characters · 1 SMS segment · Unicode · 1 credit per recipient (estimate) · 61 left"
    )
    page.get_by_role("button", name="Replace ’ with '").click()
    expect(counter).to_contain_text("9 characters · 1 SMS segment · GSM-7")
    expect(page.locator("[data-counter-spoken]")).to_contain_text("GSM-7")
    press(page, "Check and review")
    expect(main(page)).to_contain_text("+1 201-555-0123, United States")
    expect(page.get_by_role("row", name="Balance after")).to_contain_text("19,999")
    confirm(page)
    expect(page.locator(".status-line")).to_contain_text("Completed")
    expect(main(page)).to_contain_text("1 of 1 done, 100 %")


def review_a_campaign(page: Page) -> None:
    good = [*plain(1997), *fated("80", "82", "83")]
    lines = [f"Ann {row};{number}" for row, number in enumerate(good)]
    spoilt = ["Bob;4.47E+11", "Eve;call me", "Dan;12345", f"Ann again;{good[0][2:]}", f"Ann once more;1 {good[1][2:]}"]
    write_campaign(page, "Spring sale", TEXT, "name;phone\n" + "\n".join(lines + spoilt))
    expect(main(page).locator(".counts")).to_contain_text(re.compile(r"2,000\s+can be sent"))
    expect(main(page).locator(".counts")).to_contain_text(re.compile(r"2\s+duplicates merged"))
    expect(main(page).locator(".counts")).to_contain_text(re.compile(r"3\s+need fixing"))
    expect(main(page)).to_contain_text("Hi Ann 0, our spring sale starts on Monday.")
    assert [row[:2] for row in table(page)] == [["2,002", "4.47E+11"], ["2,003", "call me"], ["2,004", "12345"]]
    with page.expect_download() as download:
        page.get_by_role("link", name="Download all 3 with reasons").click()
    rows = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    assert download.value.suggested_filename == "bad-rows.csv"
    assert [row.split(",")[:2] for row in rows[1:]] == [
        ['"2002"', '"4.47E+11"'],
        ['"2003"', '"call me"'],
        ['"2004"', '"12345"'],
    ]


def watch_it_to_the_end(context: BrowserContext, page: Page) -> Seen:
    expect(main(page).get_by_role("button", name="Send 2,000 messages for 2,000 credits")).to_be_visible()
    confirm(page)
    seen = Seen()
    seen.watch(context, page)
    expect(page.locator(".status-line")).to_contain_text("Completed", timeout=150_000)
    expect(page.locator("[data-poll-ended]")).to_contain_text("Completed: 100 %. 1,997 sent, 3 failed.")
    expect(page.locator("[data-poll]")).to_have_count(0)
    expect(page).to_have_title("Spring sale – " + page.title().split(" – ", 1)[1])
    return seen


def moved(seen: Seen) -> None:
    assert seen.loads == 1, "the page is loaded again when the campaign ends, once"
    assert len(set(seen.values["bar"])) >= 8, seen.values["bar"]
    assert [float(value) for value in seen.values["bar"]] == sorted(float(value) for value in seen.values["bar"])
    assert len([title for title in seen.values["title"] if re.match(r"\d+ % – Spring sale", title)]) >= 8
    assert seen.values["live"], "somebody who does not see the bar hears how far it is"
    assert all(later - earlier >= 15_000 for earlier, later in pairwise(seen.spoken_at))


def look_at_notifications(page: Page) -> None:
    bell = page.locator("a.bell")
    expect(bell).to_contain_text("1 new")
    bell.click()
    expect(main(page)).to_contain_text(
        "1,997 of 2,000 accepted (99.8 %) · 3 not sent · 2,000 credits charged, 3 credited back"
    )
    page.get_by_role("button", name="Mark all as read").click()
    expect(page.locator("a.bell")).not_to_contain_text("new")
    page.get_by_role("link", name="Spring sale").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Spring sale")
    page.locator(".counts").get_by_role("link", name="failed").click()
    expect(page.get_by_role("heading", name="Recipients: failed")).to_be_visible()
    assert [row[2] for row in table(page)] == ["Failed"] * 3


def look_at_the_ledger(page: Page) -> None:
    page.get_by_role("link", name="Balance: 18,002 credits").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Credits")
    rows = [(row[1], row[3]) for row in table(page)]
    returned = [amount for words, amount in rows if words == "Credited back: Spring sale"]
    assert sum(int(amount.replace("+", "")) for amount in returned) == 3
    assert ("Charged: Spring sale", "−2,000") in rows
    assert rows[-1] == ("Credits granted: for a test", "+20,000")
    assert table(page)[0][4] == "18,002"


def read_the_mail(place: Installation, user: User, page: Page) -> None:
    outside, campaign = place.outside, place.campaigns(user)[-1]
    assert outside is not None
    wait_until(lambda: outside.mails(user.email), 30)
    mail = outside.mails(user.email)[0]
    link = f"{place.url}/sms/campaigns/{campaign.uuid}"
    assert "Spring sale" in mail["subject"]
    assert "1,997" in mail["text"]
    assert "1,997" in mail["html"]
    assert link in mail["text"]
    assert f'href="{link}"' in mail["html"]
    page.goto(link)
    expect(page.get_by_role("heading", level=1)).to_have_text("Spring sale")


def test_all_of_it_works_without_scripts(place: Installation, open_window: Any) -> None:
    user = place.hire(100)
    page = open_window(place.url, java_script_enabled=False).page
    sign_in(page, user)
    write_single(page, "(201) 555-0123", "Hello")
    expect(main(page)).to_contain_text("+1 201-555-0123, United States")
    confirm(page)
    write_campaign(page, "Spring sale", TEXT, "name,phone\n" + "\n".join(f"Ann,{number}" for number in plain(20)))
    confirm(page)
    expect(page.locator(".status-line")).to_contain_text("Completed")
    expect(main(page)).to_contain_text("20 of 20 done, 100 %")
    page.goto("/notifications")
    expect(main(page)).to_contain_text("20 of 20 accepted (100.0 %)")
    assert place.movements(user) == [("grant", 100), ("charge", -1), ("charge", -20)]
