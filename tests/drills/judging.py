"""Judges a drill by the simulator's own log and by plain SQL; shares no code with the sender."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
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
STATES = sa.text(
    "SELECT state, count(*) AS rows_, sum(price) AS price FROM sms_recipients WHERE campaign_id = :id GROUP BY state"
)
CAMPAIGN = sa.text("SELECT * FROM sms_campaigns WHERE id = :id")
BALANCE = sa.text("SELECT balance FROM accounts WHERE name = :name")
CROOKED = sa.text("SELECT transaction_id FROM ledger_entries GROUP BY transaction_id HAVING sum(amount) <> 0")
ACCEPTED = {"sent", "delivered", "undelivered"}
CREDITED = {"failed", "cancelled", "expired", "suppressed"}
HELD = {"queued", "sending", "unknown"}
SILENT = {"lost reply", "taken and cut", "taken and hanging", "nonsense", "error", "error 500", "cut", "read and cut"}
"""Fates of calls after which nobody can know whether the text was taken."""
REFUSED = {"not a number", "opted out", "landline", "country off"}


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
    refused: int = 0
    """The gateway refused their numbers; credited."""
    not_sent: list[str] = field(default_factory=list)
    """Given up, expired or cancelled, and credited."""
    unknown: int = 0
    silent: int = 0
    """Calls whose answer was lost, or told nothing."""
    unexplained: list[str] = field(default_factory=list)
    contradictions: list[str] = field(default_factory=list)
    """Told the gateway took it, when it did not; or credited, although it did."""
    books: list[str] = field(default_factory=list)
    """What does not add up: states, counters, escrow, ledger."""


def log_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of messages that the simulator took."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def refused_lines(log: Path) -> list[dict[str, Any]]:
    """Read the lines of calls that the simulator did not take."""
    return log_lines(log.with_name(f"{log.stem}.refused{log.suffix}"))


def moment(value: datetime | str | None) -> datetime:
    """Read a time of any database, or of the log; no time is the end of all times."""
    if value is None:
        return datetime.max.replace(tzinfo=UTC)
    read = datetime.fromisoformat(value) if isinstance(value, str) else value
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def judge(log: Path, engine: sa.Engine, campaigns: Sequence[int], kills: Sequence[Kill]) -> Findings:
    """Compare what the gateway took with what the database believes, recipient by recipient."""
    lines, refusals = log_lines(log), refused_lines(log)
    with engine.connect() as connection:
        rows = connection.execute(RECIPIENTS, {"campaigns": list(campaigns)}).all()
        attempts = {(row.recipient_id, row.number): row for row in connection.execute(ATTEMPTS)}
        books = [problem for id_ in campaigns for problem in wrong_books(connection, id_)]
    taken = Counter(line["to"] for line in lines if not line["again"])
    silent = {line["reference"] for line in (*lines, *refusals) if line["fate"] in SILENT}
    refused = {line["to"] for line in refusals if line["fate"] in REFUSED}
    findings = Findings(accepted=taken.total(), silent=len(silent), books=books)
    findings.accepted_twice = [number for number, count in taken.items() if count > 1]
    for row in rows:
        attempt = attempts.get((row.id, row.attempts))
        if row.state == "failed" and row.number in refused and row.number not in taken:
            findings.refused += 1
            continue
        _judge_recipient(findings, row, attempt, is_taken=row.number in taken)
        if row.state == "unknown" and not _is_explained(attempt, silent, kills):
            findings.unexplained.append(f"{row.id}: {attempt}")
    return findings


def taken_but_unknown(log: Path, engine: sa.Engine, campaign: int) -> int:
    """Count the recipients of whom only the gateway knows that it took their text."""
    taken = {line["to"] for line in log_lines(log)}
    with engine.connect() as connection:
        rows = connection.execute(RECIPIENTS, {"campaigns": [campaign]}).all()
    return sum(row.state == "unknown" and row.number in taken for row in rows)


def wrong_books(connection: sa.Connection, campaign_id: int) -> Iterator[str]:
    """Say what does not add up: recipients, the campaign's counters, the escrow, or a transaction of the ledger."""
    campaign = connection.execute(CAMPAIGN, {"id": campaign_id}).one()._mapping
    states = {row.state: row for row in connection.execute(STATES, {"id": campaign_id})}
    price = {state: int(row.price) for state, row in states.items()}
    for state in ACCEPTED | CREDITED | HELD:
        counted = states[state].rows_ if state in states else 0
        if campaign[state] != counted:
            yield f"campaign {campaign_id} counts {campaign[state]} {state}, and {counted} rows are"
    held = sum(price.get(state, 0) for state in HELD)
    escrow = connection.execute(BALANCE, {"name": f"escrow:{campaign_id}"}).scalar()
    if (escrow or 0) != held:
        yield f"the escrow of campaign {campaign_id} holds {escrow}, and its undecided texts cost {held}"
    if campaign["charged"] - campaign["returned"] - campaign["spent"] != held:
        yield f"campaign {campaign_id}: charged - returned - spent is not {held}"
    for row in connection.execute(CROOKED):
        yield f"ledger transaction {row.transaction_id} is not 0 in sum"


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
        reason = attempt.reason if attempt else "no attempt"
        findings.contradictions.append(f"{row.id} is {row.state} ({reason}), and the gateway took it")


def _is_explained(attempt: Any, silent: set[str], kills: Sequence[Kill]) -> bool:
    """Say whether the answer was lost, or the attempt had begun and was open when its worker was killed."""
    if attempt is None or attempt.reference in silent:
        return attempt is not None
    began, ended = moment(attempt.started_at), moment(attempt.ended_at)
    return any(attempt.worker_id in kill.worker_ids and began <= kill.until and kill.at <= ended for kill in kills)
