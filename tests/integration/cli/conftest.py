"""Fixtures of the commands' tests."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import Result
from flask import Flask

from smsqueue.app import create_app
from smsqueue.cli.group import sms
from smsqueue.cli.services import build_registry, build_services
from smsqueue.config import Settings
from smsqueue.domain.jobs import QUEUES
from smsqueue.extensions import db
from smsqueue.queue.testing import drain
from tests.databases import Target
from tests.factories import factory

__all__ = ["factory"]


@pytest.fixture
def make_cli_app(
    database: Target, keep_engine: None, make_settings: Callable[..., Settings]
) -> Iterator[Callable[..., Flask]]:
    """Build the application on `database`; texts go to a file."""
    made: list[Flask] = []

    def make(**environ: str) -> Flask:
        app = create_app(make_settings(**{"DATABASE_URL": database.url, "SMS_GATEWAY": "log", **environ}))
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def app(make_cli_app: Callable[..., Flask]) -> Flask:
    """The application."""
    return make_cli_app()


@pytest.fixture
def run(app: Flask) -> Callable[..., Result]:
    """Run `flask sms …` and expect an exit code: `run("audit", "--json", code=1)`."""
    return runner_of(app)


def runner_of(app: Flask) -> Callable[..., Result]:
    """Return what runs commands of `app`."""

    def run(*words: str, code: int = 0, **options: str) -> Result:
        result = app.test_cli_runner().invoke(sms, words, **options)
        said = f"{result.stdout}{result.stderr}"
        assert result.exit_code == code, f"{result.exit_code}: {said} {result.exc_info}"
        return result

    return run


@pytest.fixture
def work(app: Flask, store) -> Callable[[], None]:
    """Run all jobs that are ready."""

    def work() -> None:
        with app.app_context():
            services = build_services()
            try:
                drain(store, build_registry(services), QUEUES)
            finally:
                services.close()

    return work


@pytest.fixture
def ann(factory):
    """A person with 100 credits to spend, in Britain."""
    return factory.user("ann@example.org", team=factory.team("Front", balance=100, country="GB"))


@pytest.fixture
def csv(tmp_path) -> Callable[[str], str]:
    """Write a list and return its path."""

    def write(content: str) -> str:
        file = tmp_path / "guests.csv"
        file.write_text(content, encoding="utf-8")
        return str(file)

    return write
