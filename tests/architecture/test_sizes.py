"""The size budget: short functions, short files, no exceptions."""

import ast
import math
import re

from tests.architecture import source

FUNCTION_MEDIAN, FUNCTION_P90, FUNCTION_MOST = 8, 20, 40
FILE_MEDIAN, FILE_P90, FILE_MOST = 80, 200, 300
WAYS_OUT = re.compile(r"noqa\b.*\b(C901|PLR0917|PLC0415)\b|#\s*ruff:|#\s*mypy:|#\s*fmt:")


def percentile(numbers: list[int], share: float) -> int:
    """Return the smallest number that at least `share` of all do not exceed."""
    return sorted(numbers)[max(0, math.ceil(share * len(numbers)) - 1)]


def test_functions_are_short():
    found = [each for file in source.shipped() for each in source.functions(file)]
    too_long = [f"{each}: {each.lines} lines" for each in found if each.lines > FUNCTION_MOST]
    assert not too_long, "\n".join(too_long)
    lengths = [each.lines for each in found]
    assert percentile(lengths, 0.5) <= FUNCTION_MEDIAN
    assert percentile(lengths, 0.9) <= FUNCTION_P90


def test_files_are_short():
    lengths = {
        file: sum(1 for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
        for file in source.shipped()
    }
    too_long = [
        f"{file.relative_to(source.ROOT)}: {length} lines" for file, length in lengths.items() if length > FILE_MOST
    ]
    assert not too_long, "\n".join(too_long)
    assert percentile(list(lengths.values()), 0.5) <= FILE_MEDIAN
    assert percentile(list(lengths.values()), 0.9) <= FILE_P90


def test_public_functions_say_what_they_promise():
    silent = [
        str(each)
        for file in source.PACKAGE.rglob("*.py")
        for each in source.functions(file)
        if each.is_public and not ast.get_docstring(each.function)
    ]
    assert not silent, "without a docstring:\n" + "\n".join(silent)


def test_modules_say_what_they_are_for():
    silent = [
        str(file.relative_to(source.ROOT))
        for file in source.shipped()
        if not ast.get_docstring(ast.parse(file.read_text(encoding="utf-8")))
    ]
    assert not silent, "without a docstring:\n" + "\n".join(silent)


def test_nothing_is_exempt_from_the_budget():
    exempt = [
        f"{file.relative_to(source.ROOT)}:{number} {line.strip()}"
        for file in source.shipped()
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if WAYS_OUT.search(line)
    ]
    assert not exempt, "\n".join(exempt)
