"""Judges a drill by the simulator's own log and by plain SQL; shares no code with the sender."""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

RECIPIENTS = sa.text(
    "SELECT id, number, state, attempts FROM sms_recipients WHERE campaign_id IN :campaigns ORDER BY id"
).bindparams(sa.bindparam("campaigns", expanding=True))
ATTEMPTS = sa.text(
    "SELECT recipient_id, number, reference, worker_id, outcome, reason, started_at, ended_at FROM sms_attempts"
)
ACCEPTED = {"sent", "delivered", "undelivered"}
CREDITED = {"failed", "cancelled", "expired", "suppressed"}


@dataclass(frozen=True, slots=True)
class Kill:
    """What was ended or frozen, a worker or the gateway: from just before to when it was so, and whom it hit."""

    at: datetime
    until: datetime
    worker_ids: frozenset[int]
    pid: int
    in_window: int
    """How many of its rows were in `sending` just before."""


@dataclass
class Findings:
    """What the log and the database say together."""

    accepted: int = 0
    accepted_twice: list[str] = field(default_factory=list)
    left_waiting: list[str] = field(default_factory=list)
    not_sent: list[str] = field(default_factory=list)
    """Given up, expired or cancelled, and credited."""
    unknown: int = 0
    lost_replies: int = 0
    unexplained: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    """Told the gateway took it, when it did not; or credited, although it did."""


def log_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of messages that the simulator took."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def moment(value: datetime | str | None) -> datetime:
    """Read a time of any database, or of the log; no time is the end of all times."""
    if value is None:
        return datetime.max.replace(tzinfo=UTC)
    read = datetime.fromisoformat(value) if isinstance(value, str) else value
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def judge(log: Path, engine: sa.Engine, campaigns: Sequence[int], kills: Sequence[Kill]) -> Findings:
    """Compare what the gateway took with what the database believes, recipient by recipient."""
    lines = log_lines(log)
    with engine.connect() as connection:
        rows = connection.execute(RECIPIENTS, {"campaigns": list(campaigns)}).all()
        attempts = {(row.recipient_id, row.number): row for row in connection.execute(ATTEMPTS)}
    taken = Counter(line["to"] for line in lines if not line["again"])
    lost = {line["reference"] for line in lines if line["fate"] == "lost reply"}
    findings = Findings(accepted=taken.total(), lost_replies=len(lost))
    findings.accepted_twice = [number for number, count in taken.items() if count > 1]
    for row in rows:
        attempt = attempts.get((row.id, row.attempts))
        _judge_recipient(findings, row, attempt, is_taken=row.number in taken)
        if row.state == "unknown" and not _is_explained(attempt, lost, kills):
            findings.unexplained.append(f"{row.id}: {attempt}")
    return findings


def _judge_recipient(findings: Findings, row: Any, attempt: Any, *, is_taken: bool) -> None:
    if row.state in ("queued", "sending"):
        findings.left_waiting.append(f"{row.id} is {row.state}")
    elif row.state == "unknown":
        findings.unknown += 1
    elif row.state in ACCEPTED and not is_taken:
        findings.contradictions.append(f"{row.id} is {row.state}, and the gateway never took it")
    elif row.state in CREDITED:
        findings.not_sent.append(f"{row.id} is {row.state}")
    if row.state in CREDITED and is_taken:
        findings.contradictions.append(f"{row.id} is {row.state} ({attempt.reason}), and the gateway took it")


def _is_explained(attempt: Any, lost: set[str], kills: Sequence[Kill]) -> bool:
    """Say whether the answer was lost, or the attempt had begun and was open when its worker was killed."""
    if attempt is None or attempt.reference in lost:
        return attempt is not None
    began, ended = moment(attempt.started_at), moment(attempt.ended_at)
    return any(attempt.worker_id in kill.worker_ids and began <= kill.until and kill.at <= ended for kill in kills)
