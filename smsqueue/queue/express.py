"""PostgreSQL: the common case of finishing and claiming, in one statement that is a transaction of its own."""

import secrets
from collections.abc import Sequence
from typing import Any

from smsqueue.db import Database
from smsqueue.queue.claim import Claim

# It claims nothing, and leaves all to the general way, unless what comes first in the first queue that holds anything
# is plain: due, of a priority whose jobs are in no group, and claimed by nobody before. Past the dead entries of jobs
# that were just done it goes once, in `picked`: they are many, and gone only after the next vacuum.
_EXCHANGE = """
WITH gone AS (
    DELETE FROM jobs WHERE id = ANY(%(done)s::bigint[]) AND claim_token = %(done_token)s RETURNING id
), lane AS MATERIALIZED (
    SELECT coalesce((
        SELECT name FROM unnest(%(before_last)s::text[]) WITH ORDINALITY AS asked (name, place), LATERAL (
            SELECT FROM jobs WHERE queue = name AND reserved_at IS NULL ORDER BY queue, priority LIMIT 1
        ) AS waiting ORDER BY place LIMIT 1
    ), %(last)s::text) AS queue
), picked AS MATERIALIZED (
    SELECT id, priority, group_key, available_at,
        attempts = 0 AND NOT unique_waiting AND group_key = ''
        AND available_at <= (extract(epoch FROM statement_timestamp()) * 1000000)::bigint AS is_plain
    FROM jobs WHERE queue = (SELECT queue FROM lane) AND reserved_at IS NULL
    ORDER BY queue, priority, group_key, available_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), front AS MATERIALIZED (
    SELECT priority, is_plain FROM picked ORDER BY priority, group_key, available_at, id LIMIT 1
), grouped AS MATERIALIZED (
    SELECT FROM jobs WHERE queue = (SELECT queue FROM lane) AND priority = (SELECT priority FROM front)
    AND reserved_at IS NULL AND group_key > '' ORDER BY queue, priority, group_key LIMIT 1
)
UPDATE jobs SET attempts = 1, worker_id = %(worker)s, claim_token = %(token)s,
    reserved_at = (extract(epoch FROM statement_timestamp()) * 1000000)::bigint
WHERE id = ANY(ARRAY(
    SELECT id FROM picked WHERE is_plain AND priority = (SELECT priority FROM front)
    AND (SELECT is_plain FROM front) AND NOT EXISTS (SELECT FROM grouped)
))
RETURNING id, uuid, queue, kind, payload, attempts, priority, available_at, created_at, exceptions, reserved_at,
    claim_token
"""


def exchange(
    database: Database, done: Sequence[Claim], worker_id: int, queues: Sequence[str], limit: int
) -> list[Claim]:
    """Delete finished jobs of one token, and take the first ones of these queues: none, when that is not so plain."""
    parameters = {
        "done": [held.id for held in done],
        "done_token": done[0].token if done else "",
        "before_last": list(queues[:-1]),
        "last": queues[-1],
        "limit": limit,
        "worker": worker_id,
        "token": secrets.token_hex(16),
    }
    rows: list[Any] = list(database.at_once(_EXCHANGE, parameters).all())
    return sorted((Claim(*row) for row in rows), key=lambda held: (held.available_at, held.id))
