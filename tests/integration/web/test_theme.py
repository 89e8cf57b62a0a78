"""Light, dark, or as the system has it."""

import re
from pathlib import Path

import pytest

from smsqueue.paths import PACKAGE
from smsqueue.web.statics import BOOTSTRAP
from smsqueue.web.theme import local_path
from tests.web import value_of

pytestmark = pytest.mark.databases("sqlite")
STATIC = Path(PACKAGE) / "web" / "static"


def test_choice_is_kept_and_written_by_the_server(visitor):
    assert value_of(visitor.get("/login"), "html", "data-bs-theme") == "auto"
    answer = visitor.post("/theme", {"theme": "dark", "next": "/login"})
    assert (answer.status_code, answer.location) == (303, "/login")
    assert value_of(visitor.get("/login"), "html", "data-bs-theme") == "dark"


def test_strange_choice_changes_nothing(visitor):
    visitor.post("/theme", {"theme": '"><script>'})
    visitor.client.set_cookie("theme", "pink")
    assert value_of(visitor.get("/login"), "html", "data-bs-theme") == "auto"


@pytest.mark.parametrize(
    "address",
    ["//evil.example", "/\\evil.example", "https://evil.example", "javascript:alert(1)", "/\t/evil.example", "", "x"],
)
def test_way_back_stays_on_this_site(address):
    assert local_path(address) == "/"


def test_way_back_may_be_any_page_of_ours():
    assert local_path("/credits?before=7") == "/credits?before=7"


def test_automatic_colours_hold_every_dark_rule_of_bootstrap_that_we_use():
    rules = re.findall(r"(?<=\})\[data-bs-theme=dark\][^{}]*\{[^{}]*\}", (STATIC / BOOTSTRAP).read_text())
    used = [rule for rule in rules if not re.search("accordion|navbar|carousel", rule)]
    kept = re.findall(r"\[data-bs-theme=auto\].*", (STATIC / "theme-auto.css").read_text())
    assert kept == [rule.replace("[data-bs-theme=dark]", "[data-bs-theme=auto]") for rule in used]


def test_our_own_dark_colours_are_the_same_chosen_or_automatic():
    styles = (STATIC / "app.css").read_text()
    chosen = re.findall(r'\n\[data-bs-theme="dark"\] \{(.*?)\}', styles, re.DOTALL)
    automatic = re.findall(r'\[data-bs-theme="auto"\] \{(.*?)\}', styles, re.DOTALL)
    assert len(chosen) == 1
    assert chosen[0].split() == automatic[0].split()
