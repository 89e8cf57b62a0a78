"""What the contracts look at: the program's files and functions."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "smsqueue"
TEMPLATES = ROOT / "templates"
MIGRATIONS = ROOT / "migrations"
DOCS = ROOT / "docs"

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Found:
    """A function and where it stands."""

    file: Path
    function: Function
    is_public: bool

    @property
    def lines(self) -> int:
        """Its length, docstring and nested functions included."""
        return (self.function.end_lineno or self.function.lineno) - self.function.lineno + 1

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.function.lineno} {self.function.name}"


def shipped() -> list[Path]:
    """List every Python file that is part of the program."""
    return sorted([*PACKAGE.rglob("*.py"), *MIGRATIONS.rglob("*.py"), ROOT / "wsgi.py"])


def functions(file: Path) -> Iterator[Found]:
    """Find every function of a file, at any depth."""
    yield from _inside(file, ast.parse(file.read_text(encoding="utf-8")), is_public=True)


def calls(file: Path) -> Iterator[ast.Call]:
    """Find every call in a file."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return (node for node in ast.walk(tree) if isinstance(node, ast.Call))


def _inside(file: Path, parent: ast.AST, *, is_public: bool) -> Iterator[Found]:
    for node in ast.iter_child_nodes(parent):
        if isinstance(node, Function):
            public = is_public and not node.name.startswith("_")
            yield Found(file, node, public)
            yield from _inside(file, node, is_public=False)  # nobody else can call a nested one
        elif isinstance(node, ast.ClassDef):
            yield from _inside(file, node, is_public=is_public and not node.name.startswith("_"))
        else:
            yield from _inside(file, node, is_public=is_public)
