"""Installations that the browser tests share, and windows to look at them."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browser.installation import Installation
from tests.acceptance.browser.windows import OpenWindow, Windows
from tests.databases import Databases
from tests.outside import Outside

Installations = dict[str, Installation]
expect.set_options(timeout=20_000)


@pytest.fixture(scope="package")
def installations(databases: Databases) -> Iterator[Installations]:
    """Every installation that was started, by the kind of its database."""
    started: Installations = {}
    yield started
    for each in started.values():
        each.close()
        if each.outside:
            each.outside.kill()


@pytest.fixture
def place(
    installations: Installations,
    databases: Databases,
    database_kind: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Installation]:
    """Web server, worker and outside world on a database of each kind."""
    if database_kind not in installations:
        folder = tmp_path_factory.mktemp(database_kind)
        outside = Outside(folder).start()
        installations[database_kind] = started = Installation(folder, databases.ready(database_kind), outside)
        started.start_web()
        started.start_worker()
    found = installations[database_kind]
    yield found
    assert found.outside
    found.outside.settings(latency_ms=0, down=False)


@pytest.fixture
def open_window(chromium: Browser) -> Iterator[OpenWindow]:
    """Open windows; no page in them may break the policy, ask other hosts or write an error to the console."""
    windows = Windows(chromium)
    yield windows.open
    problems = windows.close()
    assert not problems, "\n".join(problems)
