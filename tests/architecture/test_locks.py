"""The locks pin everything by hash, agree with each other and with pyproject.toml, and name no server."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.architecture import source

PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)
LOCKS = ("requirements.lock", "requirements-dev.lock")
BENCH = "requirements-bench.lock"


def text(lock: str) -> str:
    """Read a lock."""
    return (source.ROOT / lock).read_text(encoding="utf-8")


def pins(lock: str) -> dict[str, str]:
    """Read which version a lock pins for each package."""
    return {canonicalize_name(name): version for name, version in PIN.findall(text(lock))}


def wanted(*extras: str) -> list[Requirement]:
    """Read what pyproject.toml asks for."""
    project = tomllib.loads((source.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for extra in extras for line in project["optional-dependencies"][extra])]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(("lock", "extras"), [(LOCKS[0], ("mysql",)), (LOCKS[1], ("mysql", "dev"))])
def test_a_lock_pins_what_the_project_asks_for(lock, extras):
    pinned = pins(lock)
    missing = [str(each) for each in wanted(*extras) if canonicalize_name(each.name) not in pinned]
    assert not missing, f"run make lock: {missing}"
    wrong = [str(each) for each in wanted(*extras) if pinned[canonicalize_name(each.name)] not in each.specifier]
    assert not wrong, f"run make lock: {wrong}"


def test_both_locks_pin_the_same_versions():
    running, developing = (pins(lock) for lock in LOCKS)
    assert running.items() <= developing.items()


def test_the_benchmarks_lock_pins_what_its_group_asks_for():
    groups = tomllib.loads((source.ROOT / "pyproject.toml").read_text(encoding="utf-8"))["dependency-groups"]
    asked, pinned = [Requirement(line) for line in groups["bench"]], pins(BENCH)
    wrong = [str(each) for each in asked if pinned.get(canonicalize_name(each.name), "0") not in each.specifier]
    assert not wrong, f"run make lock: {wrong}"


@pytest.mark.parametrize("lock", [*LOCKS, BENCH])
def test_every_pin_has_a_hash_and_no_server_is_named(lock):
    for pin in re.split(r"\n(?=[\w])", text(lock)):
        assert "--hash=sha256:" in pin, pin.splitlines()[0]
    assert "://" not in text(lock)
    assert "--index" not in text(lock)
