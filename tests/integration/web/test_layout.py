"""The frame of every page."""

import pytest
import sqlalchemy as sa

from smsqueue.app import create_app
from smsqueue.config import BadSettings
from smsqueue.extensions import db
from tests.web import page_of, text_of


@pytest.fixture
def statements(app):
    """Record what the pages ask the database."""
    asked = []
    with app.app_context():
        sa.event.listen(db.engine, "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    return asked


def menu(page):
    """Return the entries of the main menu."""
    return [link.get_text() for link in page_of(page).select("nav.top-nav a")]


def test_title_names_page_team_and_program(member, visitor):
    assert text_of(member.get("/credits"), "title") == "Credits – Flowers – smsqueue"
    assert text_of(visitor.get("/login"), "title") == "Sign in – smsqueue"


def test_menu_has_what_a_person_may_open(member, operator, visitor):
    assert menu(member.get("/credits")) == ["Send SMS", "Campaigns", "Inbox", "Credits"]
    assert menu(operator.get("/credits")) == ["Send SMS", "Campaigns", "Inbox", "Credits", "Queue status"]
    assert menu(visitor.get("/login")) == []


def test_menu_says_where_one_is(member):
    current = page_of(member.get("/credits")).select("nav.top-nav a[aria-current=page]")
    assert [link.get_text() for link in current] == ["Credits"]


def test_footer_says_in_which_zone_times_are(visitor):
    assert "All times UTC" in text_of(visitor.get("/login"), "footer")


def test_frame_costs_four_small_queries(member, statements):
    member.get("/no-such-page")
    assert len([statement for statement in statements if statement.lstrip().startswith("SELECT")]) == 4


def test_style_sheets_ask_the_database_nothing(member, statements):
    with member.get("/static/app.css") as answer:
        assert answer.status_code == 200
    assert statements == []


def test_wrong_settings_stop_the_start_with_a_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("SMS_INSTANCE", str(tmp_path))
    monkeypatch.setenv("SMS_LEASE", "soon")
    with pytest.raises(SystemExit, match=r"SMS_LEASE \(soon\) must be a number") as stop:
        create_app()
    assert isinstance(stop.value.__cause__, BadSettings)
