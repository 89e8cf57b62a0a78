"""The balance, in the header and on its page, and the ledger behind it."""

from smsqueue.domain import credits
from tests.web import main_of, page_of, text_of, value_of


def rows(page):
    """Return the cells of the table of movements."""
    return [
        [" ".join(cell.get_text(" ").split()) for cell in row.select("td, th")]
        for row in page_of(page).select("tbody tr")
    ]


def test_balance_stands_on_the_page_and_in_the_header(member):
    page = member.get("/credits")
    assert "Can be spent 1,000 credits" in main_of(page)
    assert text_of(page, "a.balance") == "Balance: 1,000 credits"


def test_movements_are_listed_newest_first_with_the_balance_after_each(member, user, store):
    store.write(lambda session: credits.grant(session, user.team_id, 500, reason="May", by=user.id))
    found = rows(member.get("/credits"))
    assert [row[1:] for row in found] == [
        ["Credits granted: May", user.email, "+500", "1,500"],
        ["Credits granted: for a test", "smsqueue", "+1,000", "1,000"],
    ]


def test_older_movements_are_a_page_away(member, user, store):
    def grant_many(session):
        for number in range(60):
            credits.grant(session, user.team_id, 1, reason=f"grant {number}")

    store.write(grant_many)
    first = member.get("/credits")
    older = value_of(first, "a[rel=next]", "href")
    second = member.get(older)
    assert len(rows(first)) == 50
    assert len(rows(second)) == 11
    assert rows(second)[-1][3:] == ["+1,000", "1,000"]
    assert page_of(second).select_one("a[rel=next]") is None


def test_other_teams_movements_are_not_shown(member, factory):
    factory.team("Rivals", balance=77)
    assert [row[3] for row in rows(member.get("/credits"))] == ["+1,000"]


def test_page_says_so_when_nothing_has_moved(make_visitor, factory):
    visitor = make_visitor()
    visitor.sign_in(factory.user().email)
    assert "No movements yet" in main_of(visitor.get("/credits"))
