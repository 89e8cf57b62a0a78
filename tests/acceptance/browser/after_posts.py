"""Pages that answer what was done on another one: refused, changed meanwhile, asked once more, or simply done."""

from collections.abc import Callable

from playwright.sync_api import FilePayload, Page, expect

from tests.acceptance.browser.doing import button, main, press, sees
from tests.acceptance.browser.refusing import spend
from tests.acceptance.browser.views import View, at, unknown


def _bends(selector: str, value: str, then: Callable[[Page], None]) -> Callable[[Page], None]:
    """Send a page as it was before something changed."""

    def bend(page: Page) -> None:
        main(page).locator(selector).evaluate("(field, value) => { field.value = value; }", value)
        then(page)

    return bend


def _sends(words: str) -> Callable[[Page], None]:
    """Press Send on a review, and read why nothing is sent."""

    def send(page: Page) -> None:
        page.locator("form[action$='/confirm'] button").click()
        expect(main(page)).to_contain_text(words)

    return send


def _forgets_to_say_again(page: Page) -> None:
    page.get_by_label("Number of recipients").fill("60")
    _sends("say that they shall get it again")(page)
    expect(page.locator("#again-error")).to_be_visible()


def _is_asked_anew(page: Page) -> None:
    page.get_by_label("All ").check()
    press(page, "Count as sent")
    expect(page.get_by_role("heading", level=1)).to_have_text("Count 2 messages as sent?")
    _bends("[name=count]", "1", lambda page: press(page, "Count as sent"))(page)
    expect(main(page)).to_contain_text("Nothing was done yet")


def _asks_the_gateway(page: Page) -> None:
    page.get_by_label("All ").check()
    press(page, "Ask again")
    expect(page.locator(".flashes")).to_contain_text("The gateway is asked about 7 messages")


def _retries_what_was_shown(page: Page) -> None:
    press(page, "Send ")
    expect(main(page)).to_contain_text("by now. Nothing was sent or charged.")


def _retries(typed: str, words: str) -> Callable[[Page], None]:
    """Type a number of recipients, and read why nothing is sent again."""

    def retry(page: Page) -> None:
        page.get_by_label("Number of recipients").fill(typed)
        press(page, "Send ")
        expect(main(page)).to_contain_text(words)

    return retry


def _takes_the_column_of_names(page: Page) -> None:
    page.get_by_label("Numbers are taken from the column").select_option("name")
    press(page, "Use this column")
    expect(main(page)).to_contain_text("Perhaps the numbers are in another column")


def _forgets_the_name(page: Page) -> None:
    page.get_by_label("Text", exact=True).fill("Hello")
    file: FilePayload = {"name": "customers.csv", "mimeType": "text/csv", "buffer": b"name,phone\nAnn,(201) 555-0124\n"}
    page.get_by_label("Choose a file").set_input_files(file)
    press(page, "Check and review")
    expect(page.get_by_label("Column with the numbers")).to_be_visible()


def _adds(page: Page) -> None:
    page.get_by_label("Phone number").fill("(201) 555-0123")
    page.get_by_label("Note").fill("On the phone")
    press(page, "Send it no more texts")
    expect(page.locator(".flashes")).to_contain_text("gets no more texts of your team")


def _takes_off(page: Page) -> None:
    main(page).locator("details summary").first.click()
    main(page).get_by_label("Why may it be texted again?").first.fill("They asked for it")
    button(page, "Take it off the list").first.click()
    expect(page.locator(".flashes")).to_contain_text("may be texted again")


def _sends_too_much(page: Page) -> None:
    page.get_by_label("Note").evaluate("(field) => { field.removeAttribute('maxlength'); }")
    _bends("[name=note]", "x" * 2_000_000, lambda page: press(page, "Send it no more texts"))(page)
    expect(page.get_by_role("heading", level=1)).to_have_text("That is too big")


def _refused(name: str, words: str) -> View:
    """Have a campaign of the strict team refused at Send."""
    return View("bulk.review", at(name, "/review"), "strict", do=_sends(words))


AFTER_POSTS = {
    "conflict": View("bulk.review", at("draft", "/review"), do=_bends("[name=token]", "x", _sends("Open the review"))),
    "review, same list": View("bulk.review", at("draft", "/review"), do=_forgets_to_say_again),
    "review, over the cap": _refused("over the cap", "Your team may text 20 recipients a day"),
    "review, closed country": _refused("closed country", "Your team may not text France (1)"),
    "review, time is over": _refused("too late", "is over: choose a later time"),
    "review, other price": _refused("other price", "when you looked and is 2 now"),
    "retry, wrong count": View(
        "again.ask", at("all failed", "/retry"), "strict", do=_retries("25", "You typed 25: type 26")
    ),
    "retry, over the cap": View(
        "again.ask", at("all failed", "/retry"), "strict", do=_retries("26", "Your team may text 20 recipients a day")
    ),
    "review, spent meanwhile": View(
        "bulk.review", at("spent", "/review"), "strict", meanwhile=spend, do=_sends("credits missing")
    ),
    "review, other column": View("bulk.review", at("two columns", "/review"), "strict", do=_takes_the_column_of_names),
    "new, file kept": View("bulk.new", "/sms/campaigns/new", "newcomer", do=_forgets_the_name),
    "retry, changed": View(
        "again.ask", at("strict failed", "/retry"), "strict", do=_bends("[name=count]", "1", _retries_what_was_shown)
    ),
    "unknown, changed meanwhile": View("unknowns.show", unknown("completed"), do=_is_asked_anew),
    "unknown, can be asked": View("unknowns.show", unknown("processing"), do=sees("Asks the gateway at once")),
    "unknown, asked": View("unknowns.show", unknown("processing"), do=_asks_the_gateway),
    "opt-outs, added": View("opt_outs.index", "/opt-outs", "newcomer", do=_adds),
    "opt-outs, removed": View("opt_outs.index", "/opt-outs", do=_takes_off),
    "413": View("opt_outs.index", "/opt-outs", do=_sends_too_much),
}
