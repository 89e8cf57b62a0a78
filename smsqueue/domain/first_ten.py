"""The first ten go alone: what they tell lets the rest of a campaign go, or stops it untouched."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.db import changed, table_of
from smsqueue.domain.jobs import campaign_tag
from smsqueue.domain.settlement import LET_GO_NIGHT, Rows, end_waiting, recipients
from smsqueue.models import Attempt, Campaign, State, Status
from smsqueue.queue import holding
from smsqueue.queue.events import emit_once_committed

attempts, campaigns = table_of(Attempt), table_of(Campaign)
FIRST = 10
CODE = "first_ten"
"""The code of recipients that were left alone because of what became of the first ten."""
OPEN = (Status.SCHEDULED, Status.PENDING, Status.PROCESSING, Status.PAUSED)
TAKEN = (State.SENT, State.DELIVERED)
NOT_ASKED = (State.SUPPRESSED, State.EXPIRED)
"""Of these no gateway was asked, so they tell nothing about the rest."""
HELD_BACK = ("brake", "hours", LET_GO_NIGHT)
"""The codes of those who wait for a person or for the morning, maybe for long, while the others could go."""
AT_ONCE = 100
"""So many campaigns a worker looks after in one go, beside its jobs."""
_was_refused = (
    sa.select(sa.literal(1))
    .where(
        attempts.c.recipient_id == recipients.c.id,
        sa.or_(attempts.c.outcome == "rejected", attempts.c.reported == "failed"),
    )
    .exists()
    .label("was_refused")
)


class Verdict(StrEnum):
    """What the first ten tell about the rest."""

    WAIT = "wait"
    LET_GO = "let go"
    STOP = "stop"


@dataclass
class Told:
    """What the gateway said to the first ten."""

    open: int = 0
    held_back: int = 0
    """How many may not be sent to now, whatever the gateway says: nobody waits for them, but some must be asked."""
    asked: int = 0
    taken: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """How often each reason was given."""

    @property
    def refused(self) -> int:
        """How many were refused, for whatever reason."""
        return self.refusals.total()

    @property
    def verdict(self) -> Verdict:
        """Judge: most refused, or somebody taken, or neither; an unknown one is no refusal, and no answer either.

        It is stopped when most are refused even if all who are held back were taken.
        """
        if self.open:
            return Verdict.WAIT
        if 2 * self.refused > self.asked + self.held_back:
            return Verdict.STOP
        is_fine = self.taken and 2 * self.refused <= self.asked
        return Verdict.LET_GO if is_fine or not (self.asked or self.held_back) else Verdict.WAIT


def is_waiting(campaign: Campaign) -> bool:
    """Say whether the rest of a campaign waits for what becomes of its first ten."""
    return campaign.first_ten and campaign.released_at is None and campaign.status in OPEN


def holds(campaign: Campaign, rows: Rows) -> bool:
    """Say whether these rows may not be sent to yet, since the first ten have not told enough."""
    return rows[1] > FIRST and is_waiting(campaign)


def judge(session: Session, campaign_id: int) -> None:
    """Let the rest of a campaign go, or stop it, as soon as its first ten have told enough; else do nothing.

    What is left alone is credited in the caller's transaction. It may be called at any time, and by several at once.
    """
    campaign = session.get(Campaign, campaign_id, populate_existing=True)
    if campaign is None or not is_waiting(campaign) or not campaign.queued:
        return  # with nobody left there is nothing to let go or to stop: our account was refused, or it was too late
    told = look(session, campaign)
    if told.verdict is Verdict.STOP:
        _stop(session, campaign, told)
    elif told.verdict is Verdict.LET_GO:
        let_rest_go(session, campaign)


def look(session: Session, campaign: Campaign) -> Told:
    """Gather what is known of the first ten: the send's answers, and what reports have come by now."""
    told = Told()
    names = ("state", "code", "error", "not_before")
    mine = (recipients.c.campaign_id == campaign.id, recipients.c.row <= FIRST)
    at = now()
    for row in session.execute(sa.select(*(recipients.c[name] for name in names), _was_refused).where(*mine)):
        if _is_held_back(row, at):
            told.held_back += 1
            continue
        told.open += row.state in (State.QUEUED, State.SENDING)
        told.asked += row.state not in NOT_ASKED
        told.taken += row.state in TAKEN
        if row.state == State.UNDELIVERED or (row.state == State.FAILED and row.was_refused):
            told.refusals[row.error or row.code or "no reason given"] += 1
    return told


def let_rest_go(session: Session, campaign: Campaign) -> bool:
    """Let the rest be sent, for good; say whether it had to wait until now. While it is paused it waits on."""
    waits = (campaigns.c.first_ten.is_(True), campaigns.c.released_at.is_(None), campaigns.c.status.in_(OPEN))
    mine = sa.update(campaigns).where(campaigns.c.id == campaign.id, *waits)
    if not changed(session, mine.values(released_at=now())):
        return False
    session.refresh(campaign)
    if campaign.status in (Status.PENDING, Status.PROCESSING):
        holding.let_go(session, campaign_tag(campaign.id))
    emit_once_committed(session, "campaign.released", campaign_id=campaign.id)
    return True


def let_first_go(session: Session, campaign: Campaign, delay: float) -> None:
    """Let only jobs of the first ten be claimed, after `delay` seconds; the rest stays on hold."""
    tag = campaign_tag(campaign.id)
    ids = [job.id for job in holding.waiting(session, tag) if _last_row(job.payload) <= FIRST]
    holding.let_go(session, tag, delay=delay, ids=ids)


def undecided(session: Session) -> Sequence[int]:
    """Return campaigns that send, and whose rest waits for the first ten; of too many, some."""
    sends = Campaign.status.in_((Status.PENDING, Status.PROCESSING))
    waits = (Campaign.first_ten.is_(True), Campaign.released_at.is_(None), sends)
    return some_of(session.scalars(sa.select(Campaign.id).where(*waits)).all())


def some_of(ids: Sequence[int]) -> Sequence[int]:
    """Return these, or as many as are looked after in one go, at random: so those that stay as they are hide nobody."""
    return ids if len(ids) <= AT_ONCE else random.sample(ids, AT_ONCE)


def _stop(session: Session, campaign: Campaign, told: Told) -> None:
    (cause, _), *_others = told.refusals.most_common(1)
    first = f"{told.refused} of {told.asked} refused: {cause[:150].rstrip('. ')}."
    reason = f"{first} Stopped, {campaign.queued:,} untouched, nothing charged for them."
    nested = session.begin_nested()
    ended = end_waiting(session, campaign, None, State.CANCELLED, error=reason[:300], code=CODE)
    waits = (campaigns.c.released_at.is_(None), campaigns.c.status.in_(OPEN))
    mine = sa.update(campaigns).where(campaigns.c.id == campaign.id, *waits)
    if not ended or not changed(session, mine.values(error=reason, gave_up=campaigns.c.gave_up + 1)):
        nested.rollback()  # at this moment somebody has sent the rest, or another has stopped it
        return
    nested.commit()
    shown = f"{told.refused} of {told.asked} refused"  # without the cause, which may repeat the text
    emit_once_committed(session, "campaign.stopped", campaign_id=campaign.id, reason=shown)
    holding.let_go(session, campaign_tag(campaign.id))  # they find nothing left, and end


def _last_row(payload: str) -> int:
    data: dict[str, Any] = json.loads(payload)["data"]
    return int(data.get("last_row", 1))


def _is_held_back(row: Any, at: datetime) -> bool:
    return row.state == State.QUEUED and row.code in HELD_BACK and row.not_before is not None and row.not_before > at
