"""Every page and its main states: where it is, who looks at it, and what is done before it is looked at."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime

from playwright.sync_api import FilePayload, Page, expect

from tests.acceptance.browser.after_posts import AFTER_POSTS
from tests.acceptance.browser.doing import main, press, sees
from tests.acceptance.browser.showroom import Showroom
from tests.acceptance.browser.views import View, at, single, unknown

NOT_PAGES = {
    "static": "files",
    "callbacks.hear": "nothing",
    "health.healthz": "JSON",
    "campaigns.status": "JSON",
    "queue_status.poll": "JSON",
    "bulk.bad_rows": "CSV",
    "closing.download": "CSV",
}
"""What else answers to GET, and with what."""


def _decides(what: str) -> Callable[[Page], None]:
    """Choose all unknown messages, and press a button that asks once more."""

    def decide(page: Page) -> None:
        page.get_by_label(re.compile("^All ")).check()
        press(page, what)
        expect(page.get_by_role("heading", level=1)).to_contain_text("?")

    return decide


def _decides_about_nobody(page: Page) -> None:
    press(page, "Count as sent")
    expect(page.locator(".flashes")).to_contain_text("Choose at least one")


def _sends_nothing(page: Page) -> None:
    press(page, "Check and review")
    expect(page.locator("#error-summary")).to_be_focused()


def _sends_nonsense(page: Page) -> None:
    page.get_by_label("Phone number").fill("4.47E+11")
    page.get_by_label("Text").fill("Ж" * 700)
    expect(page.locator(".counter-over")).to_be_visible()
    _sends_nothing(page)


def _types_dear_characters(page: Page) -> None:
    page.get_by_label("Text", exact=True).fill("“It’s ((name))’s” – ça coûte 5 € 😀")
    expect(page.locator("[data-counter-costly]")).to_contain_text("These characters need Unicode")


def _gives_two_lists(page: Page) -> None:
    page.get_by_label("Name").fill("Twice")
    page.get_by_label("Text", exact=True).fill("Hello")
    page.get_by_label("Or paste numbers").fill("(201) 555-0123")
    file: FilePayload = {"name": "customers.csv", "mimeType": "text/csv", "buffer": b"name,phone\nAnn,(201) 555-0124\n"}
    page.get_by_label("Choose a file").set_input_files(file)
    _sends_nothing(page)


def _signs_in_wrongly(page: Page) -> None:
    page.get_by_label("E-mail address").fill("nobody@example.com")
    page.get_by_label("Password", exact=True).fill("nothing to see")
    press(page, "Sign in")
    expect(page.locator("#error-summary")).to_be_focused()


def _forgets(page: Page) -> None:
    page.get_by_label("E-mail address").fill("nobody@example.com")
    press(page, "Send the link")
    expect(page.locator(".flashes")).to_contain_text("nobody@example.com")


def _chooses_short_password(page: Page) -> None:
    for field in page.locator("main input[type=password]").all():
        field.fill("short")
    page.locator("main form button[type=submit]").click()
    expect(page.locator("#error-summary")).to_be_focused()


def _opens_menus(page: Page) -> None:
    page.locator("details.menu summary").click()
    for details in main(page).locator("details").all():
        details.locator("summary").click()


def _loses_session(page: Page) -> None:
    page.get_by_label("Phone number").fill("(201) 555-0123")
    page.get_by_label("Text").fill("Hello")
    page.context.clear_cookies(name="smsqueue")
    press(page, "Check and review")
    expect(page.get_by_role("heading", level=1)).to_have_text("You were signed out before this arrived")


def _presses_old_button(page: Page) -> None:
    page.context.clear_cookies(name="smsqueue")
    page.get_by_role("button", name="Dark").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("The page was open for too long")


def _pauses_without_reason(page: Page) -> None:
    press(page, "Pause the queue")
    expect(page.locator("#error-summary")).to_be_focused()


def _sends_a_form_too_late(page: Page) -> None:
    page.get_by_label("Reason").fill("Typed before it began")
    page.locator("form[action$='/pause']").evaluate("(form) => { form.action = '/sms/send'; }")
    press(page, "Pause the queue")
    expect(page.get_by_role("button", name="Show my form again")).to_be_visible()


def _chooses_what_is_over(page: Page) -> None:
    page.get_by_label("At a time").check()
    page.get_by_label("Day", exact=True).fill("2020-01-01")
    page.get_by_label("Time", exact=True).fill("09:00")
    page.get_by_text("More options").click()
    page.get_by_label("Sending hours").fill("9 to 5")
    _sends_nothing(page)
    expect(page.locator("#time-error")).to_contain_text("is over")


def _chooses_an_hour_that_is_there_twice(page: Page) -> None:
    today = datetime.now(UTC)
    year = today.year + (f"{today:%m-%d}" > "10-20")
    sunday = next(day for day in range(25, 32) if date(year, 10, day).weekday() == 6)
    page.get_by_label("At a time").check()
    page.get_by_label("Day", exact=True).fill(f"{year}-10-{sunday}")
    page.get_by_label("Time", exact=True).fill("02:30")
    _sends_nothing(page)
    expect(page.get_by_label("The later one: 02:30 in Europe/Paris (UTC+1)")).to_be_visible()


def _types_the_wrong_count(page: Page) -> None:
    page.get_by_label("Number of recipients").fill("61")
    main(page).locator("form[action$='/confirm'] button").click()
    expect(page.locator("#count-error")).to_contain_text("You typed 61")


def _adds_nothing(page: Page) -> None:
    press(page, "Send it no more texts")
    expect(page.locator("#error-summary")).to_be_focused()


def _takes_off_without_reason(page: Page) -> None:
    main(page).locator("details summary").first.click()
    main(page).get_by_role("button", name="Take it off the list").first.click()
    expect(page.locator("#error-summary")).to_be_focused()


def _asks_to_cancel(page: Page) -> None:
    page.get_by_text("Cancel this campaign…").click()
    expect(page.get_by_role("button", name="Stop sending")).to_be_visible()


def _asks_to_send_rest(page: Page) -> None:
    page.get_by_text("Send the rest…").click()
    expect(page.get_by_role("button", name="Send the rest now")).to_be_visible()


VIEWS = {
    "sign in": View("security.login", "/login", "stranger"),
    "sign in, wrong": View("security.login", "/login", "stranger", do=_signs_in_wrongly),
    "forgotten": View("security.forgot_password", "/reset", "stranger"),
    "forgotten, sent": View("security.forgot_password", "/reset", "stranger", do=_forgets),
    "new password": View("security.reset_password", Showroom.reset_path, "stranger"),
    "new password, short": View("security.reset_password", Showroom.reset_path, "stranger", do=_chooses_short_password),
    "new password, old link": View("security.reset_password", "/reset/nothing", "stranger"),
    "password": View("security.change_password", "/password"),
    "password, short": View("security.change_password", "/password", do=_chooses_short_password),
    "start": View("home.index", "/"),
    "single": View("compose.single", "/sms/send"),
    "single, wrong": View("compose.single", "/sms/send", do=_sends_nonsense),
    "single, dear": View("compose.single", "/sms/send", do=_types_dear_characters),
    "single, review": View("compose.review", single("single")),
    "single, poor": View("compose.review", single("poor single"), "unlucky"),
    "new": View("bulk.new", "/sms/campaigns/new", "newcomer"),
    "new, empty": View("bulk.new", "/sms/campaigns/new", do=_sends_nothing),
    "new, two lists": View("bulk.new", "/sms/campaigns/new", do=_gives_two_lists),
    "new, changed": View(
        "bulk.new",
        lambda showroom: f"/sms/campaigns/new?draft={showroom.found['draft'].uuid}",
        do=_types_dear_characters,
    ),
    "new, time is over": View("bulk.new", "/sms/campaigns/new", do=_chooses_what_is_over),
    "new, time is there twice": View(
        "bulk.new", "/sms/campaigns/new", "newcomer", do=_chooses_an_hour_that_is_there_twice
    ),
    "single, time is over": View("compose.single", "/sms/send", do=_chooses_what_is_over),
    "review, scheduled": View("bulk.review", at("scheduled draft", "/review"), do=sees("would not be sent at all")),
    "review, some wait": View("bulk.review", at("waiting draft", "/review"), do=sees("Not everybody gets it at once")),
    "review, never open": View(
        "bulk.review", at("never open", "/review"), "strict", do=sees("Nothing can be sent at these sending hours")
    ),
    "review, wrong count": View("bulk.review", at("draft", "/review"), do=_types_the_wrong_count),
    "held": View("campaigns.show", at("held")),
    "team": View("team.show", "/team"),
    "team, no cap": View("team.show", "/team", "newcomer"),
    "review": View("bulk.review", at("draft", "/review")),
    "review, nobody": View("bulk.review", at("nobody", "/review")),
    "review, too dear": View("bulk.review", at("dear", "/review")),
    "checking": View("bulk.review", at("checking", "/review")),
    "checking, no worker": View("bulk.review", at("checking", "/review"), has_worker=False),
    "campaigns": View("campaigns.index", "/sms/campaigns"),
    "campaigns, none": View("campaigns.index", "/sms/campaigns", "newcomer"),
    "campaigns, end": View("campaigns.index", "/sms/campaigns?before=1"),
    "pending": View("campaigns.show", at("pending")),
    "pending, no worker": View("campaigns.show", at("pending"), has_worker=False),
    "processing": View("campaigns.show", at("processing")),
    "processing, menus": View("campaigns.show", at("processing"), do=_opens_menus),
    "processing, single": View("campaigns.show", at("sent single")),
    "completed": View("campaigns.show", at("completed")),
    "completed, unknown ones": View("campaigns.show", at("completed", "?state=unknown"), do=_opens_menus),
    "completed, page 2": View("campaigns.show", at("completed", "?after=50")),
    "failed": View("campaigns.show", at("failed")),
    "failed, many": View("campaigns.show", at("many failed"), do=sees("Retry what failed…")),
    "cancelled": View("campaigns.show", at("cancelled")),
    "scheduled": View("campaigns.show", at("scheduled"), do=_asks_to_cancel),
    "paused": View("campaigns.show", at("paused"), do=_asks_to_cancel),
    "waits for its gateway": View(
        "campaigns.show", at("waiting"), wish="gateways", do=sees("Gateway simulated cannot be reached since")
    ),
    "waits for the night's end": View("campaigns.show", at("night"), do=sees("It is night in United States")),
    "waits at the gateway's rate": View("campaigns.show", at("processing"), wish="rate", do=sees("segments a second")),
    "first ten": View("campaigns.show", at("first ten"), do=_asks_to_send_rest),
    "first ten, refused": View("campaigns.show", at("stopped")),
    "cancelled, none failed": View("campaigns.show", at("cancelled", "?state=failed")),
    "unknown": View("unknowns.index", "/sms/unknown"),
    "unknown, none": View("unknowns.index", "/sms/unknown", "newcomer"),
    "unknown, end": View("unknowns.index", "/sms/unknown?before=1"),
    "unknown, one campaign": View("unknowns.show", unknown("processing")),
    "unknown, page 2": View("unknowns.show", unknown("processing", "?after=1000")),
    "unknown, all known": View("unknowns.show", unknown("failed")),
    "unknown, nobody chosen": View("unknowns.show", unknown("completed"), do=_decides_about_nobody),
    "unknown, again?": View("unknowns.show", unknown("completed"), do=_decides("Send again")),
    "unknown, as sent?": View("unknowns.show", unknown("completed"), do=_decides("Count as sent")),
    "unknown, as not sent?": View("unknowns.show", unknown("processing"), do=_decides("Count as not sent")),
    "unknown, another team's": View("unknowns.show", unknown("completed"), "newcomer", status=404),
    "completed, found by digits": View("campaigns.show", at("completed", "?number=0101"), do=_opens_menus),
    "completed, no such number": View("campaigns.show", at("completed", "?number=99999999")),
    "sheet": View("closing.show", at("pending", "/sheet")),
    "sheet, adds up": View("closing.show", at("settled", "/sheet"), do=sees("Everything adds up")),
    "sheet, problems": View("closing.show", at("completed", "/sheet")),
    "retry": View("again.ask", at("strict failed", "/retry"), "strict", do=sees("Send 2 messages again for 2 credits")),
    "retry, nobody": View("again.ask", at("cancelled", "/retry")),
    "retry, poor": View("again.ask", at("poor failed", "/retry"), "unlucky"),
    "clone": View("bulk.review", at("clone", "/review")),
    "credits": View("credits.index", "/credits", do=lambda page: main(page).locator("summary").click()),
    "credits, none": View("credits.index", "/credits", "newcomer"),
    "credits, end": View("credits.index", "/credits?before=1"),
    "notifications": View("notices.index", "/notifications"),
    "notifications, none": View("notices.index", "/notifications", "newcomer"),
    "inbox": View("inbox.index", "/inbox"),
    "inbox, none": View("inbox.index", "/inbox", "newcomer"),
    "inbox, end": View("inbox.index", "/inbox?before=1"),
    "inbox, nothing found": View("inbox.index", "/inbox?search=999999"),
    "opt-outs": View("opt_outs.index", "/opt-outs"),
    "opt-outs, none": View("opt_outs.index", "/opt-outs", "newcomer"),
    "opt-outs, end": View("opt_outs.index", "/opt-outs?page=99"),
    "opt-outs, found": View("opt_outs.index", "/opt-outs?search=0101"),
    "opt-outs, nothing found": View("opt_outs.index", "/opt-outs?search=999999"),
    "opt-outs, nothing added": View("opt_outs.index", "/opt-outs", do=_adds_nothing),
    "opt-outs, no reason": View("opt_outs.index", "/opt-outs", do=_takes_off_without_reason),
    "queues": View("queue_status.show", "/sms/queue/status"),
    "queues, no worker": View("queue_status.show", "/sms/queue/status", has_worker=False),
    "queues, paused": View("queue_status.show", "/sms/queue/status", wish="pause"),
    "queues, gateways in trouble": View("queue_status.show", "/sms/queue/status", wish="gateways"),
    "queues, no reason": View("queue_status.show", "/sms/queue/status", do=_pauses_without_reason),
    "queues, down": View("queue_status.show", "/sms/queue/status", wish="maintenance"),
    "pending, paused": View("campaigns.show", at("pending"), wish="pause"),
    "down": View("home.index", "/", "newcomer", status=503, wish="maintenance"),
    "down, typed": View("queue_status.show", "/sms/queue/status", wish="maintenance", do=_sends_a_form_too_late),
    "403": View("queue_status.show", "/sms/queue/status", "newcomer", status=403),
    "404": View("", "/nowhere", status=404),
    "404, stranger": View("", "/nowhere", "stranger", status=404),
    "404, another team's": View("campaigns.show", at("completed"), "newcomer", status=404),
    "405": View("", at("completed", "/cancel"), status=405),
    "signed out": View("compose.single", "/sms/send", do=_loses_session, has_dead_session=True),
    "400": View("credits.index", "/credits", do=_presses_old_button, has_dead_session=True),
    "500": View("campaigns.show", at("broken"), "unlucky", status=500),
    **AFTER_POSTS,
}
