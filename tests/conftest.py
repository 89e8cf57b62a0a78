"""What all rings share: databases, settings, the browser."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from sqlalchemy.orm import Session

from smsqueue.config import Settings
from smsqueue.db import Database, build_engine
from tests import browser
from tests.databases import Databases, MissingDatabase, Target, kept_engine

DATABASES = pytest.StashKey[Databases]()
CHROMIUM = pytest.StashKey[str]()
STOPPED = 3  # exit code of a run that could not begin


def pytest_sessionstart(session: pytest.Session) -> None:
    """Look which databases there are; CI, and whoever names one, will not have it left out in silence."""
    strict = bool(os.environ.get("CI") or os.environ.get("SMSQUEUE_TEST_STRICT"))
    try:
        session.config.stash[DATABASES] = Databases.look_around(strict=strict)
    except MissingDatabase as error:
        pytest.exit(str(error), returncode=STOPPED)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that uses a database once on each."""
    if "database_kind" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("databases")
        wanted = marker.args if marker else ()
        metafunc.parametrize("database_kind", metafunc.config.stash[DATABASES].chosen(wanted))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the tests that wait for processes and browsers: the many short ones fill the gaps to the end."""
    items.sort(key=lambda item: "acceptance" not in item.path.parts)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Refuse in the first seconds when a browser is needed and cannot be had."""
    if any("chromium" in getattr(item, "fixturenames", ()) for item in session.items):
        try:
            session.config.stash[CHROMIUM] = browser.find_or_install()
        except browser.NoBrowser as error:
            pytest.exit(str(error), returncode=STOPPED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say at the end which databases the tests ran on."""
    if DATABASES in config.stash:
        terminalreporter.write_line(f"databases: {config.stash[DATABASES].summary()}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the servers that were started."""
    if DATABASES in config.stash:
        config.stash[DATABASES].stop()


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Databases:
    """All databases of this run: `.ready("postgresql")` and `.empty("sqlite")` make a fresh one and return its URL."""
    return request.config.stash[DATABASES]


@pytest.fixture
def database(databases: Databases, database_kind: str) -> Target:
    """A database with all tables and no rows, on each kind in turn; `.kind` and `.url`."""
    return databases.emptied(database_kind)


@pytest.fixture
def database_url(databases: Databases, database_kind: str) -> str:
    """The URL of a fresh database with all tables, on each kind in turn, for tests that start processes."""
    return databases.ready(database_kind)


@pytest.fixture
def empty_database_url(databases: Databases, database_kind: str) -> str:
    """The URL of a fresh database without tables, on each kind in turn, for tests of migrations."""
    return databases.empty(database_kind)


@pytest.fixture
def store(database: Target) -> Iterator[Database]:
    """The program's own way to `database`: `.reading()`, `.write(use_case)`."""
    store = Database(kept_engine(database.url).execution_options())  # listeners to this one are its own
    yield store
    store.dispose()


@pytest.fixture
def keep_engine(database: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let applications that are built on `database` use its kept engine."""

    def build(url: str) -> sa.Engine:
        return kept_engine(url).execution_options() if url == database.url else build_engine(url)

    monkeypatch.setattr("smsqueue.extensions.build_engine", build)


@pytest.fixture
def session(store: Database) -> Iterator[Session]:
    """A session that may write; what is not committed is rolled back."""
    writing = store.engine.execution_options(immediate=True)
    with Session(writing, expire_on_commit=False) as session:
        yield session


@pytest.fixture
def make_settings(tmp_path: Path) -> Callable[..., Settings]:
    """Read settings as from an environment: `make_settings(DATABASE_URL=..., SMS_LEASE="10")`."""

    def make(**environ: str) -> Settings:
        settings = Settings.from_env({"SMS_INSTANCE": str(tmp_path / "instance"), **environ})
        settings.make_folders()
        return settings

    return make


@pytest.fixture(scope="session")
def chromium(request: pytest.FixtureRequest) -> Iterator[Browser]:
    """The running Chromium."""
    with sync_playwright() as playwright:
        path = request.config.stash[CHROMIUM]
        running = playwright.chromium.launch(executable_path=path, args=browser.arguments())
        yield running
        running.close()


@pytest.fixture
def make_context(chromium: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Open a fresh profile: `make_context(java_script_enabled=False)`; closed at the end."""
    opened: list[BrowserContext] = []

    def make(**options: object) -> BrowserContext:
        opened.append(chromium.new_context(**options))  # type: ignore[arg-type]  # whatever Playwright knows
        return opened[-1]

    yield make
    for context in opened:
        context.close()


@pytest.fixture
def page(make_context: Callable[..., BrowserContext]) -> Page:
    """A page in a fresh profile."""
    return make_context().new_page()
