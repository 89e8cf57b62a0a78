"""The references: bare psycopg loops, each a process of its own. `python -m tests.bench.queue.bare NAME URL COUNT`.

`limit` and `safe` work off the rows that smsqueue itself has stored in its own table, by the index that is there, so
that what differs is the program alone. `laravel` works off the same on Laravel's table, with its index; it does as
Laravel's database driver does: three statements and two commits a job. `limit` claims a hundred and deletes that
hundred, each by one statement that is a transaction of its own. `safe` claims a hundred and deletes each as soon as it
is done, again each by a transaction of its own. `lean` is `limit` on a table with the fewest columns and indexes that a
queue can have. Each prints a line of JSON: how many, the seconds by the database's clock, and the CPU time.
"""

import json
import secrets
import sys
import time
from collections.abc import Callable
from typing import Any

import psycopg

from tests.bench.references import laravel

Connection = psycopg.Connection[Any]
CLAIM = """UPDATE jobs SET reserved_at = %s, attempts = attempts + 1, worker_id = 1, claim_token = %s WHERE id IN (
    SELECT id FROM jobs WHERE queue = %s AND priority = 0 AND group_key = '' AND reserved_at IS NULL
    AND available_at <= %s ORDER BY available_at, id LIMIT 100 FOR UPDATE SKIP LOCKED) RETURNING id, payload"""
DELETE = "DELETE FROM jobs WHERE id = ANY(%s)"
DELETE_ONE = "DELETE FROM jobs WHERE id = %s"
LEAN_TABLE = """CREATE TABLE IF NOT EXISTS lean_jobs (id bigserial PRIMARY KEY, queue text NOT NULL,
    payload text NOT NULL, attempts smallint NOT NULL DEFAULT 0, reserved_at bigint, available_at bigint NOT NULL)"""
LEAN_INDEX = "CREATE INDEX IF NOT EXISTS ix_lean_jobs ON lean_jobs (queue, available_at, id) WHERE reserved_at IS NULL"
LEAN_FILL = "INSERT INTO lean_jobs (queue, payload, available_at) SELECT queue, payload, available_at FROM jobs"
LEAN_CLAIM = """UPDATE lean_jobs SET reserved_at = %s, attempts = attempts + 1 WHERE id IN (
    SELECT id FROM lean_jobs WHERE queue = %s AND reserved_at IS NULL AND available_at <= %s
    ORDER BY available_at, id LIMIT 100 FOR UPDATE SKIP LOCKED) RETURNING id, payload"""
LEAN_DELETE = "DELETE FROM lean_jobs WHERE id = ANY(%s)"
CLOCK = "SELECT extract(epoch FROM clock_timestamp())::float8"


def limit(connection: Connection) -> int:
    """Claim a hundred, delete a hundred."""
    done = 0
    while rows := _claim(connection):
        connection.execute(DELETE, ([row[0] for row in rows],))
        done += len(rows)
    return done


def safe(connection: Connection) -> int:
    """Claim a hundred, delete each by a commit of its own."""
    done = 0
    while rows := _claim(connection):
        for row in rows:
            connection.execute(DELETE_ONE, (row[0],))
        done += len(rows)
    return done


def lean(connection: Connection) -> int:
    """Claim a hundred, delete a hundred, on the leanest table."""
    done = 0
    while True:
        now = time.time_ns() // 1000
        rows = _decoded(connection.execute(LEAN_CLAIM, (now, "default", now)).fetchall())
        if not rows:
            return done
        connection.execute(LEAN_DELETE, ([row[0] for row in rows],))
        done += len(rows)


def _claim(connection: Connection) -> list[Any]:
    now = time.time_ns() // 1000
    return _decoded(connection.execute(CLAIM, (now, secrets.token_hex(16), "default", now)).fetchall())


def _decoded(rows: list[Any]) -> list[Any]:
    for row in rows:
        json.loads(row[1])
    return rows


def _prepare_lean(connection: Connection) -> None:
    for statement in (LEAN_TABLE, LEAN_INDEX, "TRUNCATE lean_jobs", LEAN_FILL, "VACUUM ANALYZE lean_jobs"):
        connection.execute(statement)


def _clock(connection: Connection) -> float:
    row = connection.execute(CLOCK).fetchone()
    assert row is not None
    return float(row[0])


REFERENCES: dict[str, Callable[[Connection], int]] = {"limit": limit, "safe": safe, "lean": lean}


def run(name: str, url: str, count: str) -> dict[str, float]:
    """Work off the jobs in the table; return the figures."""
    if name == "laravel":
        return {"count": int(count), **laravel(url, count)}
    with psycopg.connect(url, autocommit=True) as connection:
        if name == "lean":
            _prepare_lean(connection)
        began = _clock(connection)
        done = REFERENCES[name](connection)
        assert done == int(count), f"{done} of {count}"
        return {"count": done, "seconds": _clock(connection) - began}


def main(name: str, url: str, count: str) -> None:
    """Run one reference and print its figures."""
    cpu = time.process_time()
    found = run(name, url, count)
    print(json.dumps({**found, "cpu_seconds": time.process_time() - cpu}))


if __name__ == "__main__":
    main(*sys.argv[1:])
