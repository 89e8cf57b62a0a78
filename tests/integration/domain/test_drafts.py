"""Drafts: what is refused and where, what is checked and stored, what a person is shown before confirming."""

from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.core.phones import BadNumber
from smsqueue.domain import drafts, reviewing, sheets
from smsqueue.domain.checking import BadText, Rules
from smsqueue.domain.errors import BadDraft, NotFound
from smsqueue.models import Campaign, Recipient, SkippedRow, Upload
from tests.domain_fixtures import RULES, Office
from tests.domain_workers import at_once

MIXED = "name,phone\nAnn,201-555-0101\nBob,nonsense\nCyd,(201) 555-0102\n\nDee,+1 201 555 0101\nEve,\n"


def draft(office, **changed):
    """Write a draft from the form's fields."""
    values = {"name": "Sale", "text": "Hello", "column": None, "replace": None, "rules": RULES, **changed}
    content = values.pop("content", MIXED).encode()

    def write(session):
        upload = drafts.save_upload(session, office.team.id, "list.csv", content)
        sheet = sheets.read(content)
        return drafts.draft_bulk(session, user=office.user, upload=upload, sheet=sheet, **values)

    return office.store.write(write)


def check(office, campaign):
    reviewing.check_rows(office.store, campaign.id, RULES)
    return office.reload(campaign)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"name": "  "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"column": 7}, "column"),
        ({"column": -1}, "column"),
    ],
)
def test_what_is_wrong_is_told_by_field_and_nothing_is_stored(office, changed, field):
    with pytest.raises(BadDraft) as refused:
        draft(office, **changed)

    assert refused.value.field == field
    assert not office.rows(Campaign)


@pytest.mark.parametrize(
    ("text", "code"), [("  ", "empty"), ("x" * 1531, "too_long"), ("Hi ((nmae))", "unknown_placeholder")]
)
def test_a_text_that_nobody_could_get_is_refused(office, text, code):
    with pytest.raises(BadText) as refused:
        draft(office, text=text)

    assert refused.value.code == code
    assert not office.rows(Campaign)


def test_the_column_with_the_numbers_is_guessed(office):
    assert draft(office).column == 1
    assert draft(office, column=0).column == 0


def test_rows_are_stored_good_bad_and_duplicate_with_the_spreadsheets_row_numbers(office):
    campaign = check(office, draft(office))

    assert [(row.row, row.source_row, row.number) for row in office.recipients(campaign)] == [
        (1, 2, "+12015550101"),
        (2, 4, "+12015550102"),
    ]
    skipped = [(row.source_row, row.cell, row.duplicate) for row in office.rows(SkippedRow)]
    assert skipped == [(3, "nonsense", False), (6, "+1 201 555 0101", True), (7, "", False)]
    assert office.rows(SkippedRow)[1].problem == "The same number as in row 2: sent once"
    assert (campaign.total, campaign.bad, campaign.duplicates, campaign.checked_rows) == (2, 2, 1, 5)
    assert campaign.countries == {"US": 2}
    assert campaign.checked_at is not None


def test_bad_rows_are_paged_and_all_skipped_rows_can_be_read_in_order(office):
    campaign = check(office, draft(office))

    with office.store.reading() as session:
        first = drafts.skipped(session, campaign, None, 1)
        rest = drafts.skipped(session, campaign, first[-1].source_row, 10)
        everything = list(drafts.iter_skipped(session, campaign))

    assert [row.source_row for row in (*first, *rest)] == [3, 7]
    assert [row.source_row for row in everything] == [3, 6, 7]


def test_checking_again_starts_anew(office):
    campaign = draft(office)

    check(office, campaign)
    again = check(office, campaign)

    assert (again.total, len(office.rows(Recipient)), len(office.rows(SkippedRow))) == (2, 2, 3)


def test_many_rows_are_stored_chunk_by_chunk_and_their_numbers_have_no_gap(office):
    content = "phone\n" + "\n".join(f"+1201555{number:04d}" for number in range(2500))
    campaign = check(office, draft(office, content=content))

    with office.store.reading() as session:
        rows = list(session.scalars(sa.select(Recipient.row).order_by(Recipient.row)))
    assert rows == list(range(1, campaign.total + 1))
    assert campaign.total + campaign.bad == campaign.checked_rows == 2500


def test_a_check_of_a_draft_that_was_changed_meanwhile_ends_quietly(office):
    campaign = draft(office)
    old = reviewing.Tally()
    draft(office, replace=campaign.uuid, content="phone\n+12015550177\n")

    with pytest.raises(reviewing.Superseded):
        reviewing._store(office.store, campaign.id, campaign.token, [], old)
    check(office, campaign)

    assert [row.number for row in office.rows(Recipient)] == ["+12015550177"]


@pytest.mark.parametrize("gone", ["launched", "discarded", "without its list"])
def test_there_is_nothing_to_check_in_what_is_no_draft_any_more(office, gone):
    campaign = office.draft(2)
    if gone == "launched":
        office.launch(campaign)
    elif gone == "discarded":
        office.store.write(lambda session: drafts.discard(session, campaign.id))
    else:
        office.execute(sa.update(Campaign).values(upload_id=None))

    reviewing.check_rows(office.store, campaign.id, RULES)

    assert len(office.rows(Recipient)) == (0 if gone == "discarded" else 2)


def test_writing_over_a_draft_keeps_its_address_and_renews_its_token(office):
    before = check(office, draft(office))

    after = draft(office, replace=before.uuid, name="Other", text="Bye")

    assert (after.id, after.uuid, after.name, after.text) == (before.id, before.uuid, "Other", "Bye")
    assert after.token != before.token
    assert (after.checked_at, after.total, after.price, office.rows(Recipient)) == (None, 0, 0, [])


@pytest.mark.parametrize("which", ["unknown", "launched", "another team's"])
def test_what_is_no_draft_of_ours_is_not_written_over(office, store, which):
    other = office.launched(1) if which == "launched" else office.draft(1)
    writer = Office.open(store, "Neighbours", 0) if which == "another team's" else office
    uuid = uuid4() if which == "unknown" else other.uuid

    new = draft(writer, replace=uuid)

    assert new.uuid != other.uuid
    assert office.reload(other).total == 1


def test_a_quote_adds_up_what_confirming_would_send_and_cost(office):
    content = "phone,name\n+12015550101,Al\n+12015550102," + "x" * 170 + "\n+12015550103,B\n+12015550104,C\n"
    campaign = check(office, draft(office, content=content, text="Hi ((name))"))

    with office.store.reading() as session:
        quote = reviewing.quote(session, campaign)

    assert (quote.recipients, quote.segments_min, quote.segments_max, quote.segments_total) == (4, 1, 2, 5)
    assert (quote.price, quote.balance, quote.balance_after, quote.missing) == (5, 1000, 995, 0)
    assert [(example.row, example.text[:5]) for example in quote.examples] == [(2, "Hi Al"), (3, "Hi xx"), (4, "Hi B")]
    assert quote.countries == [("US", 4)]


def test_a_quote_shows_the_longest_message_and_what_is_missing(store):
    poor = Office.open(store, "Poor", 2)
    names = ["A", "B", "C", "x" * 170]
    content = "phone,name\n" + "\n".join(f"+120155501{number:02d},{name}" for number, name in enumerate(names))
    campaign = check(poor, draft(poor, content=content, text="Hi ((name))"))

    with store.reading() as session:
        quote = reviewing.quote(session, campaign)

    assert [example.row for example in quote.examples] == [2, 3, 4, 5]
    assert (quote.balance_after, quote.missing) == (-3, 3)


def test_one_sms_is_a_checked_draft_that_shows_no_number(office):
    campaign = office.single("(201) 555-0123", text="Hello\r\nworld")

    (recipient,) = office.recipients(campaign)
    assert (recipient.number, campaign.text, campaign.total, campaign.price) == (
        "+12015550123",
        "Hello\nworld",
        1,
        1,
    )
    assert "0123" not in campaign.name


@pytest.mark.parametrize("number", ["", "abc", "12", "+44 20 7946 0018"])
def test_one_sms_to_a_bad_number_is_refused(office, number):
    with pytest.raises(BadNumber):
        office.single(number)

    assert not office.rows(Campaign)


def test_one_sms_to_a_country_that_is_not_open_is_refused(office):
    rules = Rules("US", frozenset({"US"}), 10, 1)

    with pytest.raises(BadNumber, match="not among the countries"):
        office.store.write(
            lambda session: drafts.draft_single(
                session, user=office.user, number="+33612345678", text="Hi", rules=rules
            )
        )


def test_an_upload_belongs_to_its_team(office, store):
    neighbours = Office.open(store, "Neighbours", 0)
    upload = store.write(lambda session: drafts.save_upload(session, office.team.id, "x" * 300, b"+12015550101"))

    with store.reading() as session:
        assert drafts.find_upload(session, office.team.id, upload.uuid).content == b"+12015550101"
        with pytest.raises(NotFound):
            drafts.find_upload(session, neighbours.team.id, upload.uuid)


def test_drafts_and_lists_that_nobody_touched_for_a_day_are_purged(office):
    old, fresh, launched = office.draft(2), office.draft(2), office.launched(1)
    orphan = office.store.write(lambda session: drafts.save_upload(session, office.team.id, "", b"+12015550101"))
    yesterday = now() - timedelta(hours=25)
    for model in (Campaign, Upload):
        keep = model.id == (fresh.id if model is Campaign else fresh.upload_id)
        office.execute(sa.update(model).where(~keep).values(created_at=yesterday))

    purged = office.store.write(drafts.purge_old)

    assert purged == 1
    assert {campaign.id for campaign in office.rows(Campaign)} == {fresh.id, launched.id}
    assert {upload.id for upload in office.rows(Upload)} == {fresh.upload_id}
    assert orphan.id not in {upload.id for upload in office.rows(Upload)}
    assert old.id not in {row.campaign_id for row in office.rows(Recipient)}


def test_a_draft_that_is_checked_twice_at_once_is_never_half_full(office):
    campaign = office.unchecked("phone\n" + "\n".join(f"+1201555{number:04d}" for number in range(1500)))

    at_once([lambda: reviewing.check_rows(office.store, campaign.id, RULES)] * 2)
    after = check(office, campaign)

    assert after.total == len(office.rows(Recipient))
