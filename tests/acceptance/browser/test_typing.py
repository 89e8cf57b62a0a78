"""What is typed: counted as it will be charged, never lost, and never taken for anything but text."""

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from smsqueue.models import User
from tests.acceptance.browser.doing import confirm, fill_sign_in, main, press, sign_in, write_campaign
from tests.acceptance.browser.installation import Installation
from tests.domain_fixtures import plain
from tests.outside import wait_until

pytestmark = pytest.mark.databases("sqlite")
VECTORS = Path(__file__).parents[2] / "vectors" / "segments.json"
MEASURE = """async (texts) => {
  const { measure } = await import("/static/segments.js");
  return texts.map((text) => measure(text));
}"""
SNIPPETS = (
    "<script>pwned=1</script>",
    '"><img src=x onerror=pwned=1>',
    "'><svg/onload=pwned=1>",
    "</textarea></title></script><script>pwned=1</script>",
    "<iframe srcdoc='<script>parent.pwned=1</script>'>",
    "<a href=javascript:pwned=1>x</a>",
    "{{7*7}}{%debug%}${7*7}((name))",
    "<!--<b><details open ontoggle=pwned=1>",
    "<style>*{display:none}</style><base href=//evil.example>",
    "&lt;script&gt;pwned=1&lt;/script&gt;\u2028\u202e",
)
INTRUDERS = "script:not([src]), [onerror], [onload], [ontoggle], iframe, base, main style, [href^='javascript:']"


def test_counter_counts_as_the_server_does(place: Installation, open_window: Any) -> None:
    page = open_window(place.url).page
    page.goto("/login")
    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))
    counted = page.evaluate(MEASURE, [vector["text"] for vector in vectors])
    pairs = zip(vectors, counted, strict=True)
    different = [
        (vector, got) for vector, got in pairs if any(got[key] != vector[key] for key in vector if key != "text")
    ]
    assert len(vectors) >= 300
    assert not different


@pytest.mark.parametrize("snippet", SNIPPETS)
def test_markup_that_people_type_is_shown_and_never_run(place: Installation, open_window: Any, snippet: str) -> None:
    user = place.hire(100, team=f"{snippet}"[:80])
    page = open_window(place.url).page
    sign_in(page, user)
    rows = f'name;phone;"{snippet.replace(chr(34), chr(34) * 2)}"\n{"x"};{plain(1)[0]};1\n'
    bad = f'x;"{snippet.replace(chr(34), chr(34) * 2)}";2\n'
    write_campaign(page, snippet, f"Hi {snippet.replace('((name))', '')}", rows + bad, filename=f"{snippet}.csv")
    is_only_text(page, snippet)
    page.get_by_role("link", name="Change the text").click()
    expect(page.get_by_label("Name")).to_have_value(snippet)
    is_only_text(page)
    page.go_back()
    confirm(page)
    wait_until(lambda: place.campaigns(user)[0].finished_at, 20)
    page.reload()
    is_only_text(page, snippet)
    for address in ("/sms/campaigns", "/notifications", "/credits"):
        page.goto(address)
        is_only_text(page, snippet)


def is_only_text(page: Page, shown: str = "") -> None:
    assert page.locator(INTRUDERS).count() == 0
    assert page.evaluate("'pwned' in window") is False
    if shown:
        assert shown in str(page.locator("main").text_content())


def renew_session(page: Page, user: User) -> None:
    """Sign out and in again in another tab: the forms that are open carry a token of the old session."""
    other = page.context.new_page()
    page.context.clear_cookies(name="smsqueue")
    sign_in(other, user)
    other.close()


def test_single_sms_comes_back_filled_when_its_page_was_open_for_too_long(
    place: Installation, open_window: Any
) -> None:
    user, window = place.hire(10), open_window(place.url)
    page = window.page
    window.allow("status of 400")
    sign_in(page, user)
    page.goto("/sms/send")
    page.get_by_label("Phone number").fill("(201) 555-0123")
    page.get_by_label("Text").fill("A long, long story")
    renew_session(page, user)
    press(page, "Check and review")
    expect(page.locator("#error-summary")).to_contain_text("Nothing was lost")
    expect(page.get_by_label("Phone number")).to_have_value("(201) 555-0123")
    expect(page.get_by_label("Text")).to_have_value("A long, long story")
    press(page, "Check and review")
    expect(page.get_by_role("heading", level=1)).to_have_text("Review your SMS")


def test_campaign_comes_back_filled_when_its_page_was_open_for_too_long(place: Installation, open_window: Any) -> None:
    user, window = place.hire(10), open_window(place.url)
    page = window.page
    window.allow("status of 400")
    sign_in(page, user)
    page.goto("/sms/campaigns/new")
    page.get_by_label("Name").fill("Spring sale")
    page.get_by_label("Text", exact=True).fill("A long, long story")
    page.get_by_label("Or paste numbers").fill("(201) 555-0123\n(201) 555-0124")
    renew_session(page, user)
    press(page, "Check and review")
    expect(page.locator("#error-summary")).to_contain_text("Nothing was lost")
    expect(page.get_by_label("Name")).to_have_value("Spring sale")
    expect(page.get_by_label("Or paste numbers")).to_have_value("(201) 555-0123\n(201) 555-0124")
    press(page, "Check and review")
    expect(main(page)).to_contain_text("A long, long story")


def test_text_is_kept_when_the_session_is_over(place: Installation, open_window: Any) -> None:
    user, window = place.hire(10), open_window(place.url)
    page = window.page
    window.allow("status of 40[01]")
    sign_in(page, user)
    page.goto("/sms/send")
    page.get_by_label("Phone number").fill("(201) 555-0123")
    page.get_by_label("Text").fill("A long, long story")
    page.context.clear_cookies(name="smsqueue")
    press(page, "Check and review")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Sign in").click()
    fill_sign_in(opened.value, user)
    expect(opened.value.get_by_role("heading", level=1)).to_have_text("Campaigns")
    press(page, "I have signed in")
    expect(page.get_by_label("Text")).to_have_value("A long, long story")
    press(page, "Check and review")
    expect(page.get_by_role("heading", level=1)).to_have_text("Review your SMS")


def test_sign_in_works_again_after_its_page_was_open_for_too_long(place: Installation, open_window: Any) -> None:
    user, window = place.hire(), open_window(place.url)
    window.allow("status of 400")
    window.page.goto("/login")
    window.context.clear_cookies()
    fill_sign_in(window.page, user)
    expect(window.page.locator("#error-summary")).to_contain_text("Nothing was lost")
    expect(window.page.get_by_label("E-mail address")).to_have_value(user.email)
    fill_sign_in(window.page, user)
    expect(window.page.get_by_role("heading", level=1)).to_have_text("Campaigns")
