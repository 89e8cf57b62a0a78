"""The web application under test, and visitors who use it like a browser without scripts."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from smsqueue.app import create_app
from smsqueue.config import Settings
from smsqueue.extensions import db
from smsqueue.models import User
from tests.databases import Target
from tests.factories import PASSWORD, Factory


class Visitor:
    """A browser profile: keeps cookies, and sends with each form what its page has hidden in it."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def get(self, address: str, **options: Any) -> TestResponse:
        """Open a page."""
        return self.client.get(address, **options)

    def post(self, address: str, data: dict[str, Any] | None = None, **options: Any) -> TestResponse:
        """Send a form with a good CSRF token."""
        return self.client.post(address, data={"csrf_token": self.token(), **(data or {})}, **options)

    def token(self) -> str:
        """Return the CSRF token of this visitor's session."""
        return value_of(self.client.get("/no-such-page"), "input[name=csrf_token]", "value")

    def sign_in(self, email: str, password: str = PASSWORD, **options: Any) -> TestResponse:
        """Fill the sign-in form and send it."""
        return self.post("/login", {"email": email, "password": password}, **options)

    def is_signed_in(self) -> bool:
        """Say whether pages for members open."""
        return self.get("/credits").status_code == 200


def page_of(response: TestResponse) -> BeautifulSoup:
    """Parse a page."""
    return BeautifulSoup(response.get_data(as_text=True), "html.parser")


def one(response: TestResponse, selector: str) -> Tag:
    """Find the element that must be on a page."""
    found = page_of(response).select_one(selector)
    assert found is not None, selector
    return found


def text_of(response: TestResponse, selector: str) -> str:
    """Return the text of an element, with single spaces."""
    return " ".join(one(response, selector).get_text(" ").split())


def value_of(response: TestResponse, selector: str, attribute: str) -> str:
    """Return an attribute of an element."""
    return str(one(response, selector)[attribute])


def main_of(response: TestResponse) -> str:
    """Return the text of a page's main part, with single spaces."""
    return text_of(response, "main")


@pytest.fixture
def make_app(
    database: Target, keep_engine: None, make_settings: Callable[..., Settings]
) -> Iterator[Callable[..., Flask]]:
    """Build the application on the test's database: `make_app(BASE_URL="https://sms.example")`."""
    made: list[Flask] = []

    def make(**environ: str) -> Flask:
        made.append(create_app(make_settings(DATABASE_URL=database.url, **environ)))
        return made[-1]

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def app(make_app: Callable[..., Flask]) -> Flask:
    """The application with its usual settings."""
    return make_app()


@pytest.fixture
def make_visitor(app: Flask) -> Callable[[], Visitor]:
    """Open a fresh browser profile."""
    return lambda: Visitor(app.test_client())


@pytest.fixture
def visitor(make_visitor: Callable[[], Visitor]) -> Visitor:
    """Somebody who is not signed in."""
    return make_visitor()


@pytest.fixture
def user(factory: Factory) -> User:
    """A person in a team with 1,000 credits."""
    return factory.user(team=factory.team("Flowers", balance=1000))


@pytest.fixture
def member(make_visitor: Callable[[], Visitor], user: User) -> Visitor:
    """`user`, signed in."""
    visitor = make_visitor()
    visitor.sign_in(user.email)
    return visitor


@pytest.fixture
def operator(make_visitor: Callable[[], Visitor], factory: Factory) -> Visitor:
    """An operator, signed in."""
    visitor = make_visitor()
    visitor.sign_in(factory.user(operator=True, team=factory.team("Operations")).email)
    return visitor
