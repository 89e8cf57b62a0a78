"""Who may know whom: the contracts of setup.cfg, and an engine that could send invoices as well."""

import re
import subprocess
import sys

from tests.architecture import source

DOMAIN_WORDS = re.compile(r"\b\w*(sms(?!queue)|campaign|recipient|gateway|segment|http)\w*\b", re.IGNORECASE)
CHECK = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def test_import_contracts_are_kept():
    command = [sys.executable, "-c", CHECK, "--no-cache"]
    done = subprocess.run(command, cwd=source.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_contract_has_an_exception():
    rules = (source.ROOT / "setup.cfg").read_text(encoding="utf-8")
    assert "ignore_imports" not in rules
    assert "skip_descendants" not in rules


def test_the_queue_engine_speaks_of_rows_time_and_processes_only():
    found = [
        f"{file.relative_to(source.ROOT)}:{number} {line.strip()}"
        for file in sorted((source.PACKAGE / "queue").rglob("*.py"))
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if DOMAIN_WORDS.search(line.replace("flask sms ", ""))  # the command line's name
    ]
    assert not found, "\n".join(found)
