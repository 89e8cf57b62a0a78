"""The bell and its page."""

from uuid import uuid4

from tests.web import main_of, text_of


def bell(page):
    """Return what the bell in the header says."""
    return text_of(page, "a.bell")


def test_page_says_so_when_there_is_nothing(member):
    page = member.get("/notifications")
    assert "Nothing new" in main_of(page)
    assert bell(page) == "Notifications"


def test_unread_notices_are_counted_and_come_first(member, user, factory):
    factory.notice(user, name="Old news")
    member.post("/notifications/read")
    factory.notice(user, name="Spring sale", status="failed", error="The gateway refuses our account.")
    page = member.get("/notifications")
    text = main_of(page)
    assert bell(page) == "Notifications 1 new"
    assert text.index("Spring sale") < text.index("Earlier") < text.index("Old news")
    assert "8 of 10 accepted (80.0 %)" in text
    assert "The gateway refuses our account." in text


def test_who_was_not_delivered_to_is_counted_among_the_accepted(member, user, factory):
    factory.notice(user, accepted=93, total=620, success_rate=15.0, failed=524, undelivered=2, unknown=3)
    assert "93 of 620 accepted (15.0 %), 2 of them not delivered so far · 524 not sent · 3 unknown" in main_of(
        member.get("/notifications")
    )


def test_one_notice_is_marked_as_read(member, user, factory):
    first, second = factory.notice(user), factory.notice(user)
    assert member.post(f"/notifications/{first.id}/read").location == "/notifications"
    assert factory.reload(first).read_at is not None
    assert factory.reload(second).read_at is None


def test_opening_a_new_notice_reads_it_and_leads_to_its_campaign(member, user, factory):
    notice, campaign = factory.notice(user), uuid4()
    answer = member.post(f"/notifications/{notice.id}/read", {"campaign": str(campaign)})
    assert answer.location == f"/sms/campaigns/{campaign}"


def test_all_notices_are_marked_as_read_but_not_other_peoples(member, user, factory):
    mine, theirs = factory.notice(user), factory.notice(factory.user())
    member.post("/notifications/read")
    assert factory.reload(mine).read_at is not None
    assert factory.reload(theirs).read_at is None


def test_other_peoples_notices_are_not_found(member, factory):
    theirs = factory.notice(factory.user())
    assert member.post(f"/notifications/{theirs.id}/read").status_code == 404
    assert factory.reload(theirs).read_at is None


def test_markup_in_a_name_stays_text(member, user, factory):
    factory.notice(user, name="<script>alert(1)</script>")
    page = member.get("/notifications")
    assert "<script>alert" not in page.text
    assert "<script>alert(1)</script>" in main_of(page)
