"""How drills of sending end: one line `RESULT {…}` each, and all of them in one at the end of the run."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tests.drills.judging import Findings, Kill

SUMS = "kills accepted accepted_twice left_waiting unknown unknown_bound unknown_unexplained contradictions".split()
told: list[dict[str, Any]] = []
"""What the drills of this run have said."""


def tell(name: str, findings: Findings, audit_code: int, *, bound: int = 0, **more: Any) -> None:
    """Print the result of a drill as one line of JSON; `bound` is the most that may be unknown in it."""
    result = {
        "drill": name,
        "at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "accepted": findings.accepted,
        "accepted_twice": len(findings.accepted_twice),
        "left_waiting": len(findings.left_waiting),
        "refused": findings.refused,
        "not_sent": len(findings.not_sent),
        "unknown": findings.unknown,
        "unknown_bound": bound,
        "unknown_unexplained": len(findings.unexplained),
        "silent_answers": findings.silent,
        "contradictions": len(findings.contradictions),
        "ledger_clean": audit_code == 0 and not findings.books,
    }
    result |= {key: round(value, 1) if isinstance(value, float) else value for key, value in more.items()}
    told.append(result)
    print(f"\nRESULT {json.dumps(result)}")


def check(findings: Findings, audit: tuple[int, str]) -> None:
    """Nobody was sent to twice, nobody was forgotten, each unknown has its reason, and the books are right."""
    assert findings.accepted_twice == []
    assert findings.left_waiting == []
    assert findings.unexplained == []
    assert findings.contradictions == []
    assert findings.books == []
    assert audit[0] == 0, audit[1]


def show_kill(kill: Kill, *, whole: bool) -> None:
    """Print one kill."""
    who = "worker and parent" if whole else "worker"
    print(f"{kill.at:%H:%M:%S.%f} SIGKILL {who}, pid {kill.pid}: {kill.in_window} rows in sending")


def in_one_line(results: Sequence[dict[str, Any]]) -> str:
    """Sum up the drills of a run."""
    sums = {key: sum(result.get(key, 0) for result in results) for key in SUMS}
    return json.dumps(
        sums | {"ledger_clean": all(result["ledger_clean"] for result in results), "drills": len(results)}
    )
