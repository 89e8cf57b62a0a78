"""The examples of docs/queue.md run, and its list of events is what the engine says."""

import ast
import re
import sys
from pathlib import Path
from types import ModuleType

from tests.architecture import source

PAGE = source.DOCS / "queue.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ROW = re.compile(r"^\| `([a-z]+\.[a-z_]+)` \| (.+) \|$", re.MULTILINE)


def program(text: str) -> str:
    """Join the page's blocks of code into one program, each at its lines of the page."""
    lines = [""] * text.count("\n")
    for block in BLOCK.finditer(text):
        first = text[: block.start(1)].count("\n")
        code = block[1].splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines)


def test_the_examples_run_from_top_to_bottom(tmp_path, monkeypatch):
    text = PAGE.read_text(encoding="utf-8")
    assert len(BLOCK.findall(text)) >= 10
    monkeypatch.chdir(tmp_path)
    module = ModuleType("examples_of_the_queue")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # dataclasses look there
    exec(compile(program(text), str(PAGE), "exec"), module.__dict__)
    assert Path("shop.db").exists()


def facts() -> dict[str, set[str]]:
    """Find every event of the engine with the names of its facts; of those given as `**facts` none are seen."""
    found: dict[str, set[str]] = {}
    for file in source.shipped():
        if "queue" in file.parts:
            for call in source.calls(file):
                name = ast.unparse(call.func).rpartition(".")[2]
                literals = [each.value for each in call.args if isinstance(each, ast.Constant)]
                if name in ("emit", "emit_once_committed") and literals:
                    found.setdefault(str(literals[0]), set()).update(each.arg for each in call.keywords if each.arg)
    return found


def test_every_event_of_the_engine_is_there_with_its_facts():
    rows = {name: set(re.findall(r"`(\w+)`", told)) for name, told in ROW.findall(PAGE.read_text(encoding="utf-8"))}
    assert rows.keys() == facts().keys()
    assert {name: given - rows[name] for name, given in facts().items() if given - rows[name]} == {}
