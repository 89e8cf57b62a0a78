"""Every setting, command and event is documented, and what the documents point at exists."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from smsqueue.app import create_app
from smsqueue.config import Settings
from smsqueue.core.environment import options
from tests.architecture import source

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(#[^)]*)?\)")
TEST = re.compile(r"`(tests/[\w./-]+?)(?:::(\w+))?`")
DOCUMENTS = sorted([*source.DOCS.rglob("*.md"), *source.ROOT.glob("*.md")])


def read(name: str) -> str:
    """Read a page of docs/."""
    return (source.DOCS / name).read_text(encoding="utf-8")


def commands(group: click.Group, before: str) -> Iterator[tuple[str, click.Command]]:
    """Walk through a group and give each command with all its words."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, f"{before} {name}")
        else:
            yield f"{before} {name}", command


@pytest.fixture
def sms_commands(make_settings):
    """Every command below `flask sms`."""
    group = create_app(make_settings()).cli.commands["sms"]
    assert isinstance(group, click.Group)
    return dict(commands(group, "flask sms"))


def events() -> set[str]:
    """Find the names of all events that the code emits, at once or when the transaction is committed."""
    places = {"emit": 0, "emit_once_committed": 1}
    return {
        str(name.value)
        for file in source.shipped()
        for call in source.calls(file)
        if (place := places.get(ast.unparse(call.func).rpartition(".")[2])) is not None
        and isinstance(name := (*call.args, None, None)[place], ast.Constant)
    }


def test_every_setting_has_a_line_with_its_default():
    lines = read("configuration.md").splitlines()
    missing = [
        f"| `{option.name}` | {option.shown_default or 'none'} | {option.about} |"
        for option in options(Settings).values()
        if not any(f"`{option.name}`" in line and option.shown_default in line for line in lines)
    ]
    assert not missing, "docs/configuration.md lacks:\n" + "\n".join(missing)


def test_no_setting_is_documented_that_does_not_exist():
    known = {option.name for option in options(Settings).values()}
    named = {name for page in DOCUMENTS for name in re.findall(r"`(SMS_[A-Z_]+)`", page.read_text(encoding="utf-8"))}
    assert not named - known


def test_every_command_is_in_the_operators_book(sms_commands):
    book = read("operations.md")
    missing = [name for name in sms_commands if name not in book]
    assert not missing, "docs/operations.md lacks:\n" + "\n".join(missing)


def test_every_command_shows_an_example(sms_commands):
    silent = [name for name, command in sms_commands.items() if "flask sms" not in (command.help or "")]
    assert not silent, "no example in --help:\n" + "\n".join(silent)


def test_every_event_is_documented():
    book = read("operations.md")
    missing = sorted(event for event in events() if f"`{event}`" not in book)
    assert not missing, "docs/operations.md lacks:\n" + "\n".join(missing)


def test_the_document_map_names_only_tests_that_exist():
    named = TEST.findall(read("document-map.md"))
    assert named, "docs/document-map.md names no test"
    missing = [f"{path}::{name}" for path, name in named if not is_there(source.ROOT / path, name)]
    assert not missing, "\n".join(missing)


def is_there(file: Path, name: str) -> bool:
    """Say whether a test stands in a file."""
    return file.exists() and (not name or any(each.function.name == name for each in source.functions(file)))


def test_links_between_documents_lead_somewhere():
    broken = [
        f"{page.relative_to(source.ROOT)} -> {target}"
        for page in DOCUMENTS
        for target, _ in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)
