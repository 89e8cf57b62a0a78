"""Every page in every main state: for all eyes and ears, on narrow and wide screens, under the strict policy."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.acceptance.browser.doing import sign_in
from tests.acceptance.browser.installation import Installation
from tests.acceptance.browser.pages import NOT_PAGES, VIEWS
from tests.acceptance.browser.showroom import Showroom
from tests.acceptance.browser.views import View
from tests.acceptance.browser.windows import Window, Windows
from tests.databases import Databases
from tests.outside import ROOT

COLOURS = """() => [...document.querySelectorAll("header *, main *")].map((element) => {
  const { color, backgroundColor, borderColor, colorScheme } = getComputedStyle(element);
  return `${element.tagName} ${color} ${backgroundColor} ${borderColor} ${colorScheme}`;
})"""
WIDTHS = (320, 768, 1280)
MAILS = {f"mail/{kind}.{part}" for kind in ("campaign_ended", "reset") for part in ("txt", "subject.txt", "html")}
MAILS |= {"mail/_campaign.html"}
"""Rendered in tests/integration/test_mail.py."""
PICTURES = os.environ.get("SCREENSHOTS", "")
"""A folder to keep a picture of each page in, for a human look."""


@dataclass
class Findings:
    """What is wrong with one page."""

    by_theme: dict[str, list[str]] = field(default_factory=dict)
    by_width: dict[int, list[str]] = field(default_factory=dict)
    noises: list[str] = field(default_factory=list)
    status: int = 0


@dataclass
class Gallery:
    """Looks at each page once, and keeps what it found."""

    showroom: Showroom
    windows: Windows
    _open: dict[str, Window] = field(default_factory=dict)
    _found: dict[str, Findings] = field(default_factory=dict)

    def look(self, name: str) -> Findings:
        """Look at a page in both themes and at all widths."""
        if name not in self._found:
            self._found[name] = self._look_at(name, VIEWS[name])
        return self._found[name]

    def window(self, who: str) -> Window:
        """Open a window of this person, signed in."""
        if who not in self._open:
            self._open[who] = window = self.windows.open(self.showroom.place.url)
            window.allow("the server responded with a status of")
            if who != "stranger":
                sign_in(window.page, getattr(self.showroom, who))
        return self._open[who]

    def _look_at(self, name: str, view: View) -> Findings:
        window, found = self.window(view.who), Findings()
        self.showroom.let_workers_live(alive=view.has_worker)
        self.showroom.let_operators_ask(view.wish)
        self.showroom.break_campaign("broken", broken=view.status == 500)
        noises = len(window.problems)
        response = window.page.goto(view.path(self.showroom))
        found.status = response.status if response else 0
        if view.meanwhile:
            view.meanwhile(self.showroom)
        if view.do:
            view.do(window.page)
        for theme in ("light", "dark"):
            window.page.emulate_media(color_scheme=theme)
            found.by_theme[theme] = window.axe()
            self._keep_picture(window, f"{name}-{theme}")
        for width in WIDTHS:
            found.by_width[width] = window.overflow(width)
            if width != WIDTHS[-1]:
                self._keep_picture(window, f"{name}-{width}")
        found.noises = window.problems[noises:]
        if view.has_dead_session:
            self._open.pop(view.who)
        return found

    def _keep_picture(self, window: Window, name: str) -> None:
        if PICTURES:
            Path(PICTURES).mkdir(parents=True, exist_ok=True)
            path = Path(PICTURES) / f"{re.sub(r'[^a-z0-9]+', '-', name)}.png"
            window.page.screenshot(path=path, full_page=True)


@pytest.fixture(scope="module")
def gallery(chromium: Browser, databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gallery]:
    """One of everything, without a worker, and windows to look at it."""
    folder = tmp_path_factory.mktemp("showroom")
    settings = {"SIMULATED_LOOKUP": "on", "RECORDED_TEMPLATES": str(folder / "templates.txt")}
    place = Installation(folder, databases.ready("sqlite"), settings=settings)
    windows = Windows(chromium)
    try:
        place.start_web("tests.acceptance.browser.recorded:app")
        yield Gallery(Showroom(place), windows)
    finally:
        windows.close()
        place.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", VIEWS)
def test_page_is_for_everybody(gallery: Gallery, name: str, theme: str) -> None:
    problems = gallery.look(name).by_theme[theme]
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("name", VIEWS)
def test_page_fits_every_screen(gallery: Gallery, name: str) -> None:
    problems = {width: wide for width, wide in gallery.look(name).by_width.items() if wide}
    assert not problems


@pytest.mark.parametrize("name", VIEWS)
def test_page_keeps_to_the_policy_and_to_this_host(gallery: Gallery, name: str) -> None:
    found = gallery.look(name)
    assert found.status == VIEWS[name].status
    assert not found.noises, "\n".join(found.noises)


def test_no_page_is_left_out(gallery: Gallery) -> None:
    routes = gallery.showroom.app.url_map
    answering = {rule.endpoint for rule in routes.iter_rules() if "GET" in (rule.methods or ())}
    matcher = routes.bind("127.0.0.1")
    for view in VIEWS.values():
        if view.endpoint:
            path = view.path(gallery.showroom).partition("?")[0]
            assert matcher.match(path, method="GET")[0] == view.endpoint
    assert answering - {view.endpoint for view in VIEWS.values()} == set(NOT_PAGES)


def test_no_template_is_left_out(gallery: Gallery) -> None:
    for name in VIEWS:
        gallery.look(name)
    names = set(gallery.showroom.app.jinja_env.list_templates())
    ours = {name for name in names if (ROOT / "templates" / name).is_file()}
    shown = set((gallery.showroom.place.folder / "templates.txt").read_text(encoding="utf-8").split())
    assert ours - shown == MAILS


def test_choice_of_colours_looks_like_the_systems_own(gallery: Gallery) -> None:
    window = gallery.windows.open(gallery.showroom.place.url, color_scheme="dark")
    window.page.goto("/login")
    automatic = window.page.evaluate(COLOURS)
    for theme, scheme in (("Dark", "light"), ("Light", "dark")):
        window.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # a literal
        window.page.get_by_role("button", name=theme).click()
        expect(window.page.locator(f"html[data-bs-theme={theme.lower()}]")).to_be_attached()
        window.page.mouse.move(0, 0)
        assert (window.page.evaluate(COLOURS) == automatic) == (theme == "Dark")
    assert not window.problems
