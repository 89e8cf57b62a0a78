"""What the other tests lean on: axe-core is the one that we took, and our windows do see what is wrong."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.acceptance.browser.installation import Installation
from tests.acceptance.browser.windows import Window, Windows

VENDOR = Path(__file__).parents[2] / "vendor"
BAD_PAGE = "<html lang=en><title>x</title><main><h1>x</h1><button></button><p style='width: 3000px'>wide</main>"


def test_axe_core_is_the_one_in_the_manifest() -> None:
    manifest = json.loads((VENDOR / "manifest.json").read_text(encoding="utf-8"))
    files = [file for file in VENDOR.rglob("*") if file.is_file() and file.name != "manifest.json"]
    found = {str(file.relative_to(VENDOR)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert found == {name: about["sha256"] for name, about in manifest.items()}


def test_bad_page_is_noticed(open_window: Any) -> None:
    window: Window = open_window("http://127.0.0.1:9")
    window.page.set_content(BAD_PAGE)
    assert [problem for problem in window.axe() if problem.startswith("button-name")]
    assert all(window.overflow(width) for width in (320, 1280))


@pytest.mark.databases("sqlite")
@pytest.mark.parametrize(
    ("does", "problem"),
    [
        # Which of the two words for it comes first is up to the browser.
        ("document.body.setAttribute('style', 'color: red')", "the policy forbids style-src|directive 'style-src"),
        (
            "document.body.append(Object.assign(new Image(), { src: 'http://127.0.0.2:9/x' }))",
            "request to|forbids img-src",
        ),
        ("console.error('oh no')", "oh no"),
        ("setTimeout(() => { throw new Error('oh dear'); })", "oh dear"),
    ],
)
def test_noisy_page_is_noticed(place: Installation, chromium: Browser, does: str, problem: str) -> None:
    windows = Windows(chromium)
    window = windows.open(place.url)
    window.page.goto("/login")
    with window.page.expect_event("console" if "Error(" not in does else "pageerror"):
        window.page.evaluate(f"() => {{ {does}; }}")
    found = windows.close()
    assert any(part in each for each in found for part in problem.split("|")), found
