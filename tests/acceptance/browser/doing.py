"""What a person does in the browser, in the words of the pages."""

import re
from collections.abc import Callable, Sequence

from playwright.sync_api import FilePayload, Locator, Page, expect

from smsqueue.models import User
from tests.factories import PASSWORD


def main(page: Page) -> Locator:
    """Find what a page is about."""
    return page.locator("main")


def press(page: Page, name: str) -> None:
    """Press the button in the main part whose words begin so."""
    button(page, name).click()


def button(page: Page, name: str) -> Locator:
    """Find the button in the main part whose words begin so."""
    return main(page).get_by_role("button", name=re.compile(f"^{re.escape(name)}"))


def sees(words: str) -> Callable[[Page], None]:
    """Wait until the main part of a page says this."""
    return lambda page: expect(main(page)).to_contain_text(words)


def sign_in(page: Page, user: User) -> None:
    """Sign in, and land on the list of campaigns."""
    page.goto("/")
    fill_sign_in(page, user)
    expect(page.get_by_role("heading", level=1)).to_have_text("Campaigns")


def fill_sign_in(page: Page, user: User) -> None:
    """Fill the sign-in form and send it."""
    page.get_by_label("E-mail address").fill(user.email)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    press(page, "Sign in")


def write_single(page: Page, number: str, text: str) -> None:
    """Write a single SMS and go to its review."""
    page.get_by_role("link", name="Send SMS").click()
    page.get_by_label("Phone number").fill(number)
    page.get_by_label("Text").fill(text)
    press(page, "Check and review")
    expect(page.get_by_role("heading", level=1)).to_have_text("Review your SMS")


def write_campaign(page: Page, name: str, text: str, content: str, filename: str = "customers.csv") -> None:
    """Write a campaign to the rows of a file and go to its review."""
    page.goto("/sms/campaigns/new")
    page.get_by_label("Name").fill(name)
    page.get_by_label("Text", exact=True).fill(text)
    file: FilePayload = {"name": filename, "mimeType": "text/csv", "buffer": content.encode()}
    page.get_by_label("Choose a file").set_input_files(file)
    press(page, "Check and review")
    expect(page.get_by_role("heading", level=1)).to_contain_text(f"Review “{name}”")


def confirm(page: Page) -> None:
    """Press Send on a review, with the number typed where it is asked for, and land on the campaign's page."""
    asked = page.get_by_label("Number of recipients")
    if asked.count():
        asked.fill(button(page, "Send ").inner_text().split()[1])
    press(page, "Send ")
    page.wait_for_url(re.compile(r"/sms/campaigns/[0-9a-f-]+$"))


def table(page: Page) -> list[list[str]]:
    """Read the rows of the page's first table, with single spaces."""
    rows: Sequence[Locator] = page.locator("main table.cards").first.locator("tbody tr").all()
    return [[" ".join(cell.split()) for cell in row.locator("th, td").all_inner_texts()] for row in rows]
