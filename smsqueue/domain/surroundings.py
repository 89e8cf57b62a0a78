"""What campaigns wait for outside of themselves: their place in the line, workers, breakers, rates, put-off recipients.

A poll asks for it every few seconds: the place comes with the campaign, and all the rest by one statement.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
from smsqueue.domain.breaker import Standing, states
from smsqueue.domain.errors import NotFound
from smsqueue.domain.jobs import CAMPAIGN
from smsqueue.domain.pace import rates
from smsqueue.domain.settlement import Rows, in_rows
from smsqueue.domain.traffic import rate_of
from smsqueue.models import Attempt, Campaign, Recipient, State, Status
from smsqueue.queue.dialects import now_us
from smsqueue.queue.dispatch import jobs, when
from smsqueue.queue.workers import is_running, workers

recipients, attempts = table_of(Recipient), table_of(Attempt)
LATELY = timedelta(seconds=120)
LAST = 300
"""The pace is told by so many of the last attempts of all campaigns, at most; of faster ones it cannot be told."""
ENOUGH_SECONDS = 2
"""A pace measured for less says nothing."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a campaign's jobs stand in the line."""

    is_held: bool
    """A worker has one of them."""
    due: datetime | None
    """When the next of the others is; None: there is none."""
    rows: Rows
    """Which recipients the next one is for."""
    lately: float | None = None
    """How many recipients a second were tried lately; None: that cannot be told, or nobody has asked."""


@dataclass(frozen=True, slots=True)
class PutOff:
    """The recipient of the next slice who is tried again first."""

    code: str | None
    error: str
    until: datetime
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Server:
    """A living worker."""

    state: str
    """free, busy, or paused: a signal keeps it from working."""
    pid: int
    queues: Sequence[str]


@dataclass(frozen=True, slots=True)
class Speed:
    """How many segments a second a gateway takes; since when fewer than it should."""

    per_second: float
    throttled_at: datetime | None


@dataclass(slots=True)
class Surroundings:
    """What is around campaigns at this moment."""

    servers: list[Server] = field(default_factory=list)
    standings: list[Standing] = field(default_factory=list)
    speeds: list[Speed] = field(default_factory=list)
    put_off: dict[int, PutOff] = field(default_factory=dict)
    """By campaign."""


def find(session: Session, team_id: int, uuid: UUID, now: datetime) -> tuple[Campaign, Place]:
    """Return a team's campaign with its place in the line and its pace; raise NotFound, also for another team's."""
    columns = (*_columns(), *_lately(now - LATELY))
    mine = sa.select(Campaign, *columns).where(Campaign.uuid == uuid, Campaign.team_id == team_id)
    row = session.execute(mine.execution_options(populate_existing=True)).first()
    if row is None:
        raise NotFound("campaign")
    campaign, *place, tried, first = row
    seconds = (now - first).total_seconds() if first else LATELY.total_seconds()
    lately = None if tried is None or seconds < ENOUGH_SECONDS else tried / seconds
    return campaign, replace(_place(*place), lately=lately)


def places_of(session: Session, campaign_ids: Collection[int]) -> dict[int, Place]:
    """Return campaigns' places in the line."""
    mine = sa.select(Campaign.id, *_columns()).where(Campaign.id.in_(campaign_ids))
    return {row[0]: _place(*row[1:]) for row in session.execute(mine)}


def look(session: Session, places: Mapping[int, Place], gateways: Collection[str], now: datetime) -> Surroundings:
    """Look around campaigns with these places, which go out by these gateways."""
    parts = [_GATEWAYS, _WORKERS, _speeds(gateways)]
    for campaign_id, place in places.items():
        if not place.is_held and place.due is not None and place.due > now:
            parts.append(_put_off(campaign_id, place.rows, now))
    found = Surroundings()
    for row in session.execute(sa.union_all(*parts)):
        match row.kind:
            case "worker":
                found.servers.append(Server(row.name, int(row.number), row.queues.split(",")))
            case "gateway":
                known = {name: getattr(row, name) for name in ("name", "reason", "opened_at", "paused_at", "paused_by")}
                found.standings.append(Standing(**known))
            case "rate":
                found.speeds.append(Speed(float(row.number), row.opened_at))
            case _:
                found.put_off[int(row.number)] = PutOff(row.name, row.reason or "", row.opened_at, row.paused_at)
    found.standings.sort(key=lambda each: each.name)
    return found


def _columns() -> tuple[sa.ScalarSelect[Any], ...]:
    """Select of the jobs of a campaign: whether one is held, when the next one is due, and what it is."""
    tag = sa.literal(CAMPAIGN) + sa.cast(Campaign.id, sa.String(20))
    held = sa.select(sa.literal(1)).where(jobs.c.tag == tag, jobs.c.reserved_at.isnot(None)).limit(1)
    waiting = (jobs.c.tag == tag, jobs.c.reserved_at.is_(None))
    due = sa.select(sa.func.min(jobs.c.available_at)).where(*waiting)
    payload = sa.select(jobs.c.payload).where(*waiting).order_by(jobs.c.available_at, jobs.c.id).limit(1)
    return held.scalar_subquery(), due.scalar_subquery(), payload.scalar_subquery()


def _lately(since: datetime) -> list[sa.Case[Any]]:
    """Select how many of the last attempts of all are of a campaign that is being sent, and when the first of all was.

    They are at the end of the table: that costs the same however many attempts there are.
    """
    # Not a join: PostgreSQL would read all of the campaign's recipients for it.
    whose = sa.select(recipients.c.campaign_id).where(recipients.c.id == attempts.c.recipient_id).scalar_subquery()
    columns = (whose.label("whose"), attempts.c.started_at, attempts.c.outcome)
    last = sa.select(*columns).order_by(attempts.c.id.desc()).limit(LAST).subquery("last")
    mine = (last.c.whose == Campaign.id, last.c.started_at > since, last.c.outcome != "deferred")
    tried = sa.select(sa.func.count()).where(*mine)
    first = sa.select(sa.func.min(last.c.started_at)).where(last.c.started_at > since)
    is_sent = Campaign.status == Status.PROCESSING
    return [sa.case((is_sent, each.correlate(Campaign).scalar_subquery())) for each in (tried, first)]


def _place(held: int | None, due: int | None, payload: str | None) -> Place:
    data: dict[str, Any] = json.loads(payload)["data"] if payload else {}
    rows = int(data.get("first_row", 1)), int(data.get("last_row", 1))
    return Place(bool(held), None if due is None else when(due), rows)


_NONE = sa.null()


def _part(
    kind: str,
    *,
    name: Any = _NONE,
    reason: Any = _NONE,
    paused_by: Any = _NONE,
    number: Any = _NONE,
    opened_at: Any = _NONE,
    paused_at: Any = _NONE,
    queues: Any = _NONE,
) -> sa.Select[Any]:
    """Select one kind of things; each kind fills some of the columns, and leaves the others NULL."""
    columns = {"name": name, "reason": reason, "paused_by": paused_by, "number": number}
    columns |= {"opened_at": opened_at, "paused_at": paused_at, "queues": queues}
    return sa.select(sa.literal(kind).label("kind"), *(value.label(label) for label, value in columns.items()))


# It comes first, since the first one says of what types the columns are.
_GATEWAYS = _part(
    "gateway",
    name=states.c.name,
    reason=states.c.reason,
    paused_by=states.c.paused_by,
    number=states.c.failures,
    opened_at=states.c.opened_at,
    paused_at=states.c.paused_at,
)
_is_busy = sa.exists().where(jobs.c.worker_id == workers.c.id)
_state = sa.case((workers.c.is_paused.is_(True), "paused"), (_is_busy, "busy"), else_="free")
_WORKERS = _part("worker", name=_state, number=workers.c.pid, queues=workers.c.queues).where(
    is_running, workers.c.expires_at > now_us()
)


def _speeds(gateways: Collection[str]) -> sa.Select[Any]:
    part = _part("rate", name=rates.c.name, number=rates.c.per_second, opened_at=rates.c.throttled_at)
    return part.where(rates.c.name.in_([rate_of(name) for name in gateways]))


def _put_off(campaign_id: int, rows: Rows, now: datetime) -> sa.Select[Any]:
    columns = [recipients.c[name] for name in ("campaign_id", "code", "error", "not_before", "updated_at")]
    mine = (*in_rows(campaign_id, rows), recipients.c.state == State.QUEUED, recipients.c.not_before > now)
    first = sa.select(*columns).where(*mine).order_by(recipients.c.not_before).limit(1).subquery(f"of_{campaign_id}").c
    facts = {"name": first.code, "reason": first.error, "number": first.campaign_id}
    return _part("recipient", **facts, opened_at=first.not_before, paused_at=first.updated_at)
