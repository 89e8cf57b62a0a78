"""A bulk campaign before it is sent: the form, the check of its rows, the review, the one confirm."""

import csv
import io

import pytest
import sqlalchemy as sa

from smsqueue.domain import credits, drafts
from smsqueue.models import Campaign, Recipient, Status, Upload
from smsqueue.queue.models import JobRow
from tests.integration.web.parts import attribute, part, words_of
from tests.web import Visitor, main_of, page_of

pytestmark = pytest.mark.databases("sqlite", "postgresql")
words_only = pytest.mark.databases("sqlite")
GOOD = "Name;Mobile\nAna;+1 201 555 0123\nBob;+1 201 555 0124\n"
MIXED = "Name;Mobile\nAna;+1 201 555 0123\nBob;4.47E+11\nCid;(201) 555-0123\n;+1 201 555 0125\n"


def send_form(member, content=None, filename="customers.csv", **fields):
    """Send the form of a campaign, with a file when there is content."""
    data = {"name": "Spring sale", "text": "Hi ((name))", **fields}
    if content is not None:
        data["file"] = (io.BytesIO(content if isinstance(content, bytes) else content.encode()), filename)
    answer = member.post("/sms/campaigns/new", data, content_type="multipart/form-data")
    answer.request.input_stream.close()  # the test client keeps a large body in a file
    return answer


def review_of(member, content=GOOD, **fields):
    """Make a draft and return the address of its review."""
    answer = send_form(member, content, **fields)
    assert answer.status_code == 303, main_of(answer)
    return answer.location


def confirm(member, review, token=None):
    """Press the button of the review."""
    token = token or attribute(member.get(review), "input[name=token]")
    return member.post(review.replace("/review", "/confirm"), {"token": token})


def error_at(answer, name):
    """Return what stands at a field that is wrong, and make sure that the summary leads there."""
    page = page_of(answer)
    field = part(page, f"[name={name}]")
    assert page.select_one(f'.error-summary a[href="#{name}"]'), main_of(answer)
    assert field.get("aria-invalid") == "true"
    return words_of(page, f"#{name}-error")


def test_review_counts_and_shows_bad_rows_with_the_spreadsheets_number(member):
    page = page_of(member.get(review_of(member, MIXED)))
    counts = [" ".join(count.get_text(" ").split()) for count in page.select(".counts li")]
    assert counts == ["1 can be sent", "1 duplicate merged", "2 need fixing"]
    rows = [[cell.get_text(strip=True) for cell in row.find_all(["th", "td"])] for row in page.select("tbody tr")]
    assert rows[0][:2] == ["3", "4.47E+11"]
    assert "format the column as text" in rows[0][2]
    assert rows[1][0] == "5"
    assert "((name))" in rows[1][2]
    assert words_of(page, "[data-focus]") == "Upload a corrected file"


def test_review_shows_real_texts_segments_cost_and_countries(member):
    content = "Name;Mobile\nAna;+12015550123\n" + "Ω" * 80 + ";+447400123456\n"
    page = main_of(member.get(review_of(member, content)))
    assert "Hi Ana" in page
    assert "+44 7400 123456, United Kingdom" in page
    assert "1 to 1" not in page
    assert "Segments in all 2" in page
    assert "Balance now 1,000 This costs − 2 Balance after 998" in page
    assert "United States 1, United Kingdom 1" in page
    assert "Send 2 messages for 2 credits" in page


def test_pasted_numbers_are_a_list_too(member):
    page = main_of(member.get(review_of(member, None, text="Hello", pasted="201 555 0123\r\n201 555 0124")))
    assert "2 can be sent" in page
    assert "the pasted rows" in page


def test_all_problems_are_told_at_once_and_everything_typed_comes_back(member):
    answer = send_form(member, None, name=" ", text="", pasted="")
    assert answer.status_code == 422
    assert words_of(answer, "title").startswith("Error: ")
    assert "name" in error_at(answer, "name")
    assert "text" in error_at(answer, "text")
    assert "paste their numbers" in error_at(answer, "file")


def test_file_need_not_be_chosen_again_after_an_error(member, store):
    answer = send_form(member, GOOD, text="Hi ((nmae))")
    assert "((nmae))" in error_at(answer, "text")
    assert "Name, Mobile" in error_at(answer, "text")
    assert "customers.csv , 2 rows, read as UTF-8, separator ;" in main_of(answer)
    page = page_of(answer)
    assert words_of(page, "select[name=column] option[selected]") == "Mobile"
    upload = attribute(page, "input[name=upload]")
    review = review_of(member, None, upload=upload, column="1")
    assert "2 can be sent" in main_of(member.get(review))
    with store.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Upload)) == 1


@words_only
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "picture"),
        (b"Name;Mobile\nA\x00na;+12015550123\n", "NUL"),
        (b"Name;Mobile\n", "read as headings"),
        (b"+12015550123\n" * 100_001, "100,000"),
        (b"x" * (10 * 1024 * 1024 + 1), "10 MiB"),
    ],
    ids=["empty", "picture", "nul", "only headings", "too many rows", "too big"],
)
def test_file_that_cannot_be_read_is_explained_and_the_text_comes_back(member, content, words):
    answer = send_form(member, content, text="My long text")
    assert answer.status_code == 422
    assert words in error_at(answer, "file")
    assert words_of(answer, "textarea[name=text]") == "My long text"


@words_only
def test_utf_16_with_tabs_as_excel_saves_it(member):
    page = main_of(member.get(review_of(member, "Name\tMobile\nZoé\t+12015550123\n".encode("utf-16"))))
    assert "Hi Zoé" in page
    assert "read as UTF-16" in page
    assert "separator tab" in page


def test_a_file_and_pasted_numbers_ask_which(member):
    answer = send_form(member, GOOD, text="Hello", pasted="201 555 0199")
    assert answer.status_code == 422
    page = page_of(answer)
    assert [choice["value"] for choice in page.select("input[name=use]")] == ["file", "pasted"]
    upload = attribute(page, "input[name=upload]")
    review = review_of(member, None, text="Hello", pasted="201 555 0199", upload=upload, use="pasted")
    assert "1 can be sent" in main_of(member.get(review))


def test_another_teams_upload_is_not_taken(member, make_visitor, factory):
    upload = attribute(send_form(member, GOOD, name=""), "input[name=upload]")
    stranger = make_visitor()
    stranger.sign_in(factory.user(team=factory.team(balance=5)).email)
    answer = send_form(stranger, None, upload=upload)
    assert "Choose a file" in error_at(answer, "file")


def test_column_can_be_changed_on_the_review(member):
    content = "Office,Mobile\n+12015550101,+12015550102\n"
    review = review_of(member, content, text="Hello")
    before = attribute(member.get(review), "select option[selected]")
    answer = member.post(review.replace("/review", "/column"), {"column": str(1 - int(before))})
    assert answer.status_code == 303
    page = page_of(member.get(answer.location))
    assert attribute(page, "select option[selected]") != before
    assert "1 can be sent" in main_of(member.get(answer.location))


def test_change_link_brings_the_form_back_filled_and_replaces_the_draft(member, store):
    review = review_of(member)
    uuid = review.split("/")[3]
    form = page_of(member.get(f"/sms/campaigns/new?draft={uuid}"))
    assert attribute(form, "input[name=name]") == "Spring sale"
    assert words_of(form, "textarea[name=text]") == "Hi ((name))"
    hidden = {name: attribute(form, f"input[name={name}]") for name in ("draft", "upload")}
    assert review_of(member, None, text="Bye", column="1", **hidden) == review
    with store.reading() as session:
        assert session.scalars(sa.select(Campaign)).one().text == "Bye"


def test_pasted_rows_come_back_on_change(member):
    uuid = review_of(member, None, text="Hello", pasted="201 555 0123").split("/")[3]
    form = page_of(member.get(f"/sms/campaigns/new?draft={uuid}"))
    assert words_of(form, "textarea[name=pasted]") == "201 555 0123"


def test_bad_rows_download_reads_in_excel_and_calculates_nothing(member):
    content = "Name;Mobile\nA;=1+1\nB;@SUM(A1)\nC;-1\nD;+44 20 7946 0018\nE;+cmd\n"
    answer = member.get(review_of(member, content, text="Hello").replace("/review", "/bad-rows.csv"))
    assert answer.mimetype == "text/csv"
    assert answer.data.startswith(b"\xef\xbb\xbf")
    rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert [row[:2] for row in rows[1:]] == [
        ["2", "'=1+1"],
        ["3", "'@SUM(A1)"],
        ["4", "'-1"],
        ["5", "44 20 7946 0018"],
        ["6", "'+cmd"],
    ]
    assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in rows for cell in row)


def test_duplicates_download_names_the_row_that_is_sent_to(member):
    address = review_of(member, MIXED).replace("/review", "/bad-rows.csv?duplicates=1")
    rows = list(csv.reader(io.StringIO(member.get(address).data.decode("utf-8-sig"))))
    assert [row[0] for row in rows[1:]] == ["4"]
    assert "row 2" in rows[1][2]


def test_confirm_charges_queues_and_leads_to_the_campaign(member, user, store):
    review = review_of(member)
    answer = confirm(member, review)
    assert (answer.status_code, answer.location) == (303, review.replace("/review", ""))
    with store.reading() as session:
        assert session.scalars(sa.select(Campaign)).one().status == Status.PENDING
        assert session.scalars(sa.select(JobRow.kind)).all() == ["sms.send-bulk"]
        assert credits.balance(session, user.team_id) == 998


def test_double_click_reload_and_repeated_post_are_one_campaign(member, user, store):
    review = review_of(member)
    token = attribute(member.get(review), "input[name=token]")
    answers = [confirm(member, review, token) for _ in range(3)]
    assert {(answer.status_code, answer.location) for answer in answers} == {(303, review.replace("/review", ""))}
    assert member.get(review).status_code == 303
    with store.reading() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(JobRow)) == 1
        assert credits.balance(session, user.team_id) == 998


@pytest.mark.parametrize("kind", ["forged", "other draft's"])
def test_wrong_token_is_refused(member, user, store, kind):
    review = review_of(member)
    other = review_of(member, name="Another")
    token = attribute(member.get(other), "input[name=token]") if kind != "forged" else "made-up"
    answer = confirm(member, review, token)
    assert answer.status_code == 409
    assert "Nothing was sent" in main_of(answer)
    with store.reading() as session:
        assert credits.balance(session, user.team_id) == 1000


def test_page_of_a_draft_changed_meanwhile_confirms_nothing(member):
    review = review_of(member)
    token = attribute(member.get(review), "input[name=token]")
    member.post(review.replace("/review", "/column"), {"column": "1"})
    assert confirm(member, review, token).status_code == 409


def test_too_few_credits_say_how_many_are_missing_and_how_to_get_them(make_visitor, factory):
    poor = make_visitor()
    poor.sign_in(factory.user(team=factory.team(balance=1)).email)
    page = main_of(poor.get(review_of(poor)))
    assert "1 credit missing" in page
    assert "Ask an operator" in page
    assert "Send 2 messages" not in page


def test_credits_spent_by_somebody_else_meanwhile_leave_a_draft(make_visitor, factory, store):
    team = factory.team(balance=3)
    ana, bob = make_visitor(), make_visitor()
    ana.sign_in(factory.user(team=team).email)
    bob.sign_in(factory.user(team=team).email)
    review, other = review_of(ana), review_of(bob)
    token = attribute(ana.get(review), "input[name=token]")
    assert confirm(bob, other).status_code == 303
    answer = confirm(ana, review, token)
    assert answer.status_code == 422
    assert "1 credit missing" in main_of(answer)
    with store.reading() as session:
        assert session.scalars(sa.select(Campaign.status).order_by(Campaign.id)).all() == ["draft", "pending"]


@pytest.mark.parametrize("kind", ["bulk", "single"])
def test_price_changed_since_the_review_is_shown_and_asked_again(make_app, member, user, store, kind):
    data = {"number": "201 555 0123", "text": "Hello"}
    review = review_of(member) if kind == "bulk" else member.post("/sms/send", data).location
    token = attribute(member.get(review), "input[name=token]")
    dearer = Visitor(make_app(SMS_CREDITS_PER_SEGMENT="3").test_client())
    dearer.sign_in(user.email)
    action = review.replace("/review", "/confirm") if kind == "bulk" else f"{review}/confirm"
    answer = dearer.post(action, {"token": token})
    assert answer.status_code == 422
    count = 2 if kind == "bulk" else 1
    assert "The price was" in words_of(answer, ".error-summary")
    assert f"This costs − {3 * count}" in main_of(answer)
    again = dearer.post(
        attribute(answer, "form:has(input[name=token])", "action"), {"token": attribute(answer, "input[name=token]")}
    )
    assert again.status_code == 303
    with store.reading() as session:
        assert credits.balance(session, user.team_id) == 1000 - 3 * count


def test_nothing_to_send_has_no_button(member):
    page = main_of(member.get(review_of(member, "Mobile\nabc\n", text="Hello")))
    assert "There is nobody to send to yet" in page
    assert "Send 0" not in page


def test_long_list_is_checked_by_a_job_and_the_page_waits(member, store, monkeypatch):
    monkeypatch.setattr(drafts, "INLINE_ROWS", 1)
    review = review_of(member)
    answer = member.get(review)
    assert "Checking the recipients" in main_of(answer)
    page = page_of(answer)
    assert attribute(page, "progress", "max") == "2"
    assert page.select_one("noscript meta[http-equiv=refresh]")
    with store.reading() as session:
        assert session.scalars(sa.select(JobRow.kind)).all() == ["sms.check-rows"]
    status = member.get(attribute(page, "[data-poll]", "data-poll")).json
    assert (status["stop"], status["percent"], status["next_ms"]) == (False, 0, 3000)
    assert "0 of 2 rows checked" in status["html"]["checking"]


def test_confirming_a_draft_that_is_still_being_checked_sends_nothing(member, store, monkeypatch):
    monkeypatch.setattr(drafts, "INLINE_ROWS", 1)
    review = review_of(member)
    with store.reading() as session:
        token = session.scalars(sa.select(Campaign.token)).one()
    answer = confirm(member, review, token)
    assert answer.status_code == 422
    assert "Checking the recipients" in main_of(answer)


def test_draft_can_be_thrown_away(member, store):
    review = review_of(member)
    answer = member.post(review.replace("/review", "/discard"))
    assert (answer.status_code, answer.location) == (303, "/sms/campaigns")
    assert member.get(review).status_code == 404
    with store.reading() as session:
        assert session.scalars(sa.select(Recipient)).all() == []


def test_another_teams_draft_is_not_found(member, make_visitor, factory):
    review = review_of(member)
    stranger = make_visitor()
    stranger.sign_in(factory.user(team=factory.team(balance=5)).email)
    for address in (review, review.replace("/review", "/bad-rows.csv"), f"/sms/campaigns/new?draft={review[15:51]}"):
        assert stranger.get(address).status_code == 404
    for step in ("confirm", "column", "discard"):
        assert stranger.post(review.replace("review", step), {"token": "x", "column": "0"}).status_code == 404


def test_expired_csrf_token_brings_the_form_back_filled(member, store):
    data = {"name": "Kept", "text": "Kept too", "pasted": "201 555 0123", "csrf_token": "old"}
    answer = member.client.post("/sms/campaigns/new", data=data)
    assert answer.status_code == 400
    page = page_of(answer)
    assert attribute(page, "input[name=name]") == "Kept"
    assert words_of(page, "textarea[name=pasted]") == "201 555 0123"
    with store.reading() as session:
        assert session.scalars(sa.select(Campaign)).all() == []


def test_a_hundred_thousand_pasted_numbers_fit_into_the_form(member):
    pasted = "\r\n".join(f"+1201555{number:04d}" for number in range(10_000)) + "\r\n" + "x" * 2_000_000
    answer = send_form(member, None, text="Hello", pasted=pasted)
    assert answer.status_code in (303, 422)
