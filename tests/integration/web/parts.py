"""Looking into pages: one part, its text, its attribute."""

from bs4 import BeautifulSoup, Tag
from werkzeug.test import TestResponse

from tests.web import page_of


def part(page: TestResponse | BeautifulSoup, selector: str) -> Tag:
    """Return the first element that a CSS selector finds; there must be one."""
    soup = page if isinstance(page, BeautifulSoup) else page_of(page)
    found = soup.select_one(selector)
    assert found is not None, f"nothing matches {selector}"
    return found


def words_of(page: TestResponse | BeautifulSoup, selector: str) -> str:
    """Return the text of an element, with single spaces."""
    return " ".join(part(page, selector).get_text(" ").split())


def attribute(page: TestResponse | BeautifulSoup, selector: str, name: str = "value") -> str:
    """Return an attribute of an element."""
    return str(part(page, selector)[name])
