"""What a claim costs with 1,000 and with 1,000,000 waiting jobs, and with 500,000 due tomorrow in front of 1,000.

Beside our own: Laravel's statement on Laravel's table and index, and the two shapes of index that stay flat, bare.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from statistics import median

import psycopg

from smsqueue.queue import claim as claims
from tests.bench.figures import say, show_limit
from tests.bench.queue.terms import Terms, plain
from tests.bench.stage import Stage

FEW, BACKLOG, TOMORROW, CLAIMS = 1_000, 1_000_000, 500_000, 40
NOW = "(extract(epoch FROM now()) * 1000000)::bigint"
DUE = f"{NOW} + CASE WHEN n <= %(later)s THEN 86400000000 ELSE -1000000 END"
# Of those due tomorrow, every other one would even be more urgent than all that are due now.
PRIORITY = "CASE WHEN n <= %(later)s AND n %% 2 = 0 THEN -1 ELSE 0 END"
FILL_OURS = f"""INSERT INTO jobs (uuid, queue, kind, payload, priority, attempts, available_at, created_at)
    SELECT gen_random_uuid()::text, 'default', 'bench.safe', '{{}}', {PRIORITY}, 0, {DUE}, {NOW}
    FROM generate_series(1, %(all)s) AS n"""


@dataclass(frozen=True, slots=True)
class Shape:
    """A table that a claim is made on: its index, and how a claim picks one row."""

    name: str
    index: str
    pick: str


SHAPES = (
    Shape(
        "laravel",
        "(queue)",
        """WHERE queue = 'default' AND ((reserved_at IS NULL AND available_at <= %(now)s) OR reserved_at <= 0)
        ORDER BY id""",
    ),
    Shape(
        "by_time",
        "(queue, available_at, id) WHERE reserved_at IS NULL",
        """WHERE queue = 'default' AND reserved_at IS NULL AND available_at <= %(now)s ORDER BY available_at, id""",
    ),
    Shape(
        "by_state",
        "(queue, priority, id) WHERE is_due",
        "WHERE queue = 'default' AND is_due ORDER BY priority, id",
    ),
)
TITLES = {
    "laravel": "bare, Laravel's table and index",
    "by_time": "bare, (queue, available_at, id)",
    "by_state": "bare, a state for those due",
}
TABLE = """CREATE TABLE {name} (id bigserial PRIMARY KEY, queue text NOT NULL, payload text NOT NULL,
    priority smallint NOT NULL, attempts smallint NOT NULL, reserved_at bigint, available_at bigint NOT NULL,
    is_due boolean NOT NULL)"""
FILL = f"""INSERT INTO {{name}} (queue, payload, priority, attempts, available_at, is_due)
    SELECT 'default', '{{{{}}}}', {PRIORITY}, 0, {DUE}, n > %(later)s FROM generate_series(1, %(all)s) AS n"""

Claim = Callable[[], float]


def measure(terms: Terms) -> dict[str, float | None]:
    """Time single claims, in turn in all three situations."""
    few, backlog, tomorrow = FEW, terms.of(BACKLOG), terms.of(TOMORROW)
    print(f"\nMilliseconds a claim takes: {few:,} waiting, {backlog:,} waiting, {tomorrow:,} due tomorrow in front")
    with ExitStack() as ends:
        situations = [
            _situation(ends, terms, rows, later) for rows, later in ((few, 0), (backlog, 0), (tomorrow + few, tomorrow))
        ]
        found = {name: _in_turn(terms, [each[name] for each in situations]) for name in situations[0]}
    for name, rounds in found.items():
        few_ms, many_ms, later_ms = (median(values) for values in zip(*rounds, strict=True))
        say(TITLES.get(name, name), f"{few_ms:>9.2f} {many_ms:>9.2f} {later_ms:>9.2f} ms")
    ours = found["smsqueue"]
    return {
        "claim_1m_vs_1k": show_limit("claim_1m_vs_1k", [many / few for few, many, _ in ours], 1.5, "×"),
        "claim_future_vs_1k": show_limit("claim_future_vs_1k", [later / few for few, _, later in ours], 2, "×"),
    }


def _situation(ends: ExitStack, terms: Terms, rows: int, later: int) -> dict[str, Claim]:
    """Fill a database; return how each kind of claim is made on it."""
    stage = ends.enter_context(Stage(terms.server.create()))
    connection = ends.enter_context(psycopg.connect(plain(stage.url), autocommit=True))
    facts = {"all": rows, "later": later}
    connection.execute(FILL_OURS, facts)
    connection.execute("VACUUM ANALYZE jobs")
    kinds: dict[str, Claim] = {"smsqueue": partial(_ours, stage)}
    for shape in SHAPES:
        connection.execute(TABLE.format(name=shape.name))
        connection.execute(FILL.format(name=shape.name), facts)
        connection.execute(f"CREATE INDEX ON {shape.name} {shape.index}")
        connection.execute(f"VACUUM ANALYZE {shape.name}")
        kinds[shape.name] = partial(_bare, connection, shape)
    connection.execute("CHECKPOINT")
    return kinds


def _in_turn(terms: Terms, claims_: list[Claim]) -> list[list[float]]:
    """Return each round's medians, one for each situation."""
    rounds = []
    for _ in range(terms.rounds):
        taken: list[list[float]] = [[] for _ in claims_]
        for _ in range(CLAIMS):
            for claim, values in zip(claims_, taken, strict=True):
                values.append(claim())
        rounds.append([median(values) for values in taken])
    return rounds


def _ours(stage: Stage) -> float:
    began = time.perf_counter()
    held = stage.database.write(lambda session: claims.claim(session, 1, "default", 1))
    taken = time.perf_counter() - began
    assert len(held) == 1
    assert stage.database.write(lambda session: claims.finish(session, held)) == 1
    return 1000 * taken


def _bare(connection: psycopg.Connection[tuple[int]], shape: Shape) -> float:
    now = time.time_ns() // 1000
    pick = f"SELECT id FROM {shape.name} {shape.pick} LIMIT 1 FOR UPDATE SKIP LOCKED"
    began = time.perf_counter()
    with connection.transaction():
        row = connection.execute(pick, {"now": now}).fetchone()
        assert row is not None
        reserve = f"UPDATE {shape.name} SET reserved_at = %s, attempts = attempts + 1, is_due = false WHERE id = %s"
        connection.execute(reserve, (now, row[0]))
    taken = time.perf_counter() - began
    connection.execute(f"DELETE FROM {shape.name} WHERE id = %s", row)
    return 1000 * taken
