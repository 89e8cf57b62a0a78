"""The wheel holds the whole program, and the program runs from it."""

import configparser
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from smsqueue import __version__
from tests.architecture import source

SHOW_PAGE = """
import smsqueue
from smsqueue.app import create_app
answer = create_app().test_client().get("/login", follow_redirects=True)
print(smsqueue.__file__, answer.status_code, "stylesheet" in answer.text)
"""


def run(*command: str, cwd: Path, **environ: str) -> str:
    """Run a command away from the checkout and return what it printed."""
    inherited = {
        name: value for name, value in os.environ.items() if not name.startswith(("SMS_", "DATABASE", "FLASK"))
    }
    done = subprocess.run(
        command, cwd=cwd, env={**inherited, **environ}, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built without a network from a copy of what is shipped."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.cfg", "README.md"):
        shutil.copy(source.ROOT / name, copy)
    for name in ("smsqueue", "templates", "migrations"):
        shutil.copytree(source.ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    built = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "-w", str(built), ".", cwd=copy)
    return next(built.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """A folder that the wheel alone is installed in."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "install", "--no-deps", "--no-index", "--target", str(folder), str(wheel), cwd=folder)
    return folder


def files_on_disk() -> set[str]:
    """Name every file of the program as it must be called in the wheel."""
    places = {
        source.PACKAGE: "smsqueue",
        source.TEMPLATES: "smsqueue/templates",
        source.MIGRATIONS: "smsqueue/migrations",
    }
    return {
        f"{place}/{file.relative_to(folder)}"
        for folder, place in places.items()
        for file in folder.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts and file.name != "README"
    }


def test_packages_in_setup_cfg_are_the_ones_on_disk():
    layout = configparser.ConfigParser()
    layout.read(source.ROOT / "setup.cfg")
    listed = set(layout["options"]["packages"].split())
    on_disk = {".".join(file.parent.relative_to(source.ROOT).parts) for file in source.PACKAGE.rglob("__init__.py")}
    assert listed == on_disk | {"smsqueue.templates", "smsqueue.migrations"}


def test_the_version_is_said_once():
    about = tomllib.loads((source.ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert about["project"]["version"] == __version__


def test_the_wheel_holds_every_file(wheel):
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert inside == files_on_disk()


def test_the_database_is_made_and_a_page_shown_from_the_wheel(installed, tmp_path):
    environ = {"PYTHONPATH": str(installed), "SMS_INSTANCE": str(tmp_path / "instance")}
    run(sys.executable, "-m", "smsqueue", "db", "upgrade", cwd=tmp_path, **environ)
    assert (tmp_path / "instance" / "smsqueue.db").exists()
    shown = run(sys.executable, "-c", SHOW_PAGE, cwd=tmp_path, **environ)
    assert shown.split() == [str(installed / "smsqueue" / "__init__.py"), "200", "True"]


def test_a_worker_runs_from_the_wheel(installed, tmp_path):
    environ = {"PYTHONPATH": str(installed), "SMS_INSTANCE": str(tmp_path / "instance")}
    run(sys.executable, "-m", "smsqueue", "db", "upgrade", cwd=tmp_path, **environ)
    run(sys.executable, "-m", "smsqueue", "sms", "work", cwd=tmp_path, **environ)
