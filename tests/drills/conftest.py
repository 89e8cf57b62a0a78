"""Ends a run of drills with one line that has them all."""

import pytest

from tests.drills import verdicts


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Sum up what the drills of sending have said."""
    if verdicts.told:
        terminalreporter.write_line(f"RESULT {verdicts.in_one_line(verdicts.told)}")
