"""Pages carry nothing from elsewhere, and nothing that the content security policy would have to forgive."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from tests.architecture import source

STATIC = source.PACKAGE / "web" / "static"
VENDOR = STATIC / "vendor"
PAGES = sorted(file for file in source.TEMPLATES.rglob("*.html") if "mail" not in file.parts)
FORBIDDEN = {
    "an address elsewhere": re.compile(r"""(src|href|action)\s*=\s*["']?(https?:)?//""", re.IGNORECASE),
    "an inline style": re.compile(r"\sstyle\s*=|<style", re.IGNORECASE),
    "an inline handler": re.compile(r"\son[a-z]+\s*=\s*[\"']", re.IGNORECASE),
    "a script address": re.compile(r"javascript:", re.IGNORECASE),
    "inline script": re.compile(r"<script(?![^>]*\bsrc=)[^>]*>", re.IGNORECASE),
    "unescaped data": re.compile(r"\|\s*safe\b|autoescape\s+false", re.IGNORECASE),
}


def lines_with(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    """List the lines that a pattern is found in."""
    return [
        f"{file.relative_to(source.ROOT)}:{number} {line.strip()}"
        for file in files
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line)
    ]


def test_vendored_files_are_the_ones_in_the_manifest():
    manifest = json.loads((VENDOR / "manifest.json").read_text(encoding="utf-8"))
    files = [file for file in VENDOR.rglob("*") if file.is_file() and file.name != "manifest.json"]
    found = {str(file.relative_to(VENDOR)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    assert found == {name: about["sha256"] for name, about in manifest.items()}


def test_vendored_files_name_their_version_and_licence():
    manifest = json.loads((VENDOR / "manifest.json").read_text(encoding="utf-8"))
    assert manifest
    for name, about in manifest.items():
        assert about.get("version"), name
        assert about.get("licence"), name


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_page_holds(what):
    assert PAGES
    found = lines_with(FORBIDDEN[what], PAGES)
    assert not found, f"{what}:\n" + "\n".join(found)


def test_our_scripts_write_text_and_never_markup_made_of_data():
    scripts = [file for file in STATIC.rglob("*.js") if VENDOR not in file.parents]
    found = lines_with(re.compile(r"\beval\(|document\.write|new Function|insertAdjacentHTML"), scripts)
    assert not found, "\n".join(found)


def test_our_styles_load_nothing_from_elsewhere():
    styles = [file for file in STATIC.rglob("*.css") if VENDOR not in file.parents]
    found = lines_with(re.compile(r"@import|url\(\s*[\"']?(https?:)?//", re.IGNORECASE), styles)
    assert not found, "\n".join(found)


def test_python_never_marks_data_as_markup():
    found = lines_with(re.compile(r"\bMarkup\(|render_template_string"), sorted(source.PACKAGE.rglob("*.py")))
    assert not found, "\n".join(found)
