"""PostgreSQL: the common case of finishing and claiming, in one statement that is a transaction of its own."""

import secrets
from collections.abc import Sequence
from typing import Any

from smsqueue.db import Database
from smsqueue.queue.claim import Claim

# It claims nothing, and leaves all to the general way, unless what comes first in the first queue that holds anything
# is plain: of a priority whose jobs are in no group, and claimed by nobody before. Each WITH is one look into the
# index, but for `picked`.
_EXCHANGE = """
WITH gone AS (
    DELETE FROM jobs WHERE id = ANY(%(done)s) AND claim_token = %(done_token)s RETURNING id
), lane AS MATERIALIZED (
    SELECT name, priority FROM unnest(%(queues)s::text[]) WITH ORDINALITY AS asked (name, place), LATERAL (
        SELECT priority FROM jobs WHERE queue = name AND reserved_at IS NULL ORDER BY queue, priority LIMIT 1
    ) AS waiting ORDER BY place LIMIT 1
), grouped AS MATERIALIZED (
    SELECT group_key FROM jobs WHERE queue = (SELECT name FROM lane) AND priority = (SELECT priority FROM lane)
    AND reserved_at IS NULL AND group_key > '' ORDER BY queue, priority, group_key LIMIT 1
), front AS MATERIALIZED (
    SELECT attempts = 0 AND NOT unique_waiting AS is_plain FROM jobs
    WHERE queue = (SELECT name FROM lane) AND priority = (SELECT priority FROM lane) AND group_key = ''
    AND reserved_at IS NULL AND available_at <= (extract(epoch FROM statement_timestamp()) * 1000000)::bigint
    ORDER BY available_at, id LIMIT 1
), picked AS MATERIALIZED (
    SELECT id FROM jobs
    WHERE queue = (SELECT name FROM lane) AND priority = (SELECT priority FROM lane) AND group_key = ''
    AND reserved_at IS NULL AND available_at <= (extract(epoch FROM statement_timestamp()) * 1000000)::bigint
    AND attempts = 0 AND NOT unique_waiting
    AND (SELECT is_plain FROM front) AND NOT EXISTS (SELECT FROM grouped)
    ORDER BY available_at, id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
UPDATE jobs SET attempts = 1, worker_id = %(worker)s, claim_token = %(token)s,
    reserved_at = (extract(epoch FROM statement_timestamp()) * 1000000)::bigint
FROM picked WHERE jobs.id = picked.id
RETURNING jobs.id, uuid, queue, kind, payload, attempts, priority, available_at, created_at, exceptions, reserved_at,
    claim_token
"""


def exchange(
    database: Database, done: Sequence[Claim], worker_id: int, queues: Sequence[str], limit: int
) -> list[Claim]:
    """Delete finished jobs of one token, and take the first ones of these queues: none, when that is not so plain."""
    parameters = {
        "done": [held.id for held in done],
        "done_token": done[0].token if done else "",
        "queues": list(queues),
        "limit": limit,
        "worker": worker_id,
        "token": secrets.token_hex(16),
    }
    rows: list[Any] = list(database.at_once(_EXCHANGE, parameters).all())
    return sorted((Claim(*row) for row in rows), key=lambda held: (held.available_at, held.id))
