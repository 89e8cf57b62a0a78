"""Why a campaign does not move, in words: its own state, the jobs that carry it, and what its recipients wait for."""

from collections.abc import Collection, Iterator, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.domain import campaigns, why
from smsqueue.domain.jobs import CheckRowsJob, campaign_tag
from smsqueue.models import Campaign, Recipient, Status, UnknownPolicy
from smsqueue.queue.dispatch import jobs, when
from smsqueue.queue.explain import Answer, Reason, Scene, given_up, reasons
from smsqueue.queue.groups import Limit
from smsqueue.queue.models import FailedJob

ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
UNKNOWN: dict[str, str] = {
    UnknownPolicy.HOLD: "a gateway that can be asked is asked, then people decide",
    UnknownPolicy.RESEND: "if nothing is heard they are sent once more, by the campaign's rule",
    UnknownPolicy.GIVE_UP: "if nothing is heard they count as not sent, by the campaign's rule",
}
SHOWN = 5
"""So many of a campaign's jobs are looked at one by one; others wait for the same."""
MOST_JOBS = 1000


def explain(
    session: Session,
    uuid: UUID,
    kinds: Collection[str],
    limit_of: Limit | None = None,
    gateways: Collection[str] = (),
) -> Answer | None:
    """Say why a campaign does not move; None when there is no such campaign.

    `kinds` have a handler; `limit_of` is the registry's limit of groups; `gateways` are those in use.
    """
    campaign = session.scalars(sa.select(Campaign).where(Campaign.uuid == uuid)).first()
    if campaign is None:
        return None
    carried = _jobs(session, campaign)
    scene = Scene.look(session, limit_of)
    if campaign.status == Status.DRAFT:
        found = [*_draft(campaign), *_carried(scene, carried, kinds)]
    elif campaign.finished_at:
        found = [*_ended(campaign), *_given_up(session, campaign)]
    else:
        waits = _why(scene, campaign, gateways) if carried else None
        # Of the jobs that nobody holds the one sentence says all: what else is true of them would contradict it.
        told = [job for job in carried if job.worker_id is not None] if waits else carried
        found = [_open(campaign, carried), *filter(None, [waits]), *_carried(scene, told, kinds)]
        found += _given_up(session, campaign)
    return Answer(f"Campaign {campaign.uuid}: {campaign.status}", tuple(found))


def explain_row(session: Session, uuid: UUID, row: int, gateways: Collection[str] = ()) -> Answer | None:
    """Say why a recipient waits, or what became of it, as its campaign's page does; None when there is none.

    It is found by its row in the list, as the page shows it.
    """
    mine = sa.select(Campaign, Recipient).where(Recipient.campaign_id == Campaign.id, Campaign.uuid == uuid)
    pair = session.execute(mine.where(Recipient.source_row == row).order_by(Recipient.row)).first()
    if pair is None:
        return None
    campaign, recipient = pair
    if campaign.status == Status.DRAFT:
        return Answer(f"Row {row} of campaign {campaign.uuid}: draft", tuple(_draft(campaign)))
    scene = Scene.look(session)
    reason = why.of_recipient(recipient, campaign, _why(scene, campaign, gateways), when(scene.now))
    if reason is None:
        tries = campaigns.attempts(session, [recipient.id]).get(recipient.id, [])
        said_by, said_at = why.who_said(recipient, tries)
        what = recipient.error.rstrip(". ") if recipient.error else recipient.state.capitalize()
        told = f", {why.at(said_at)}" if said_at else ""
        reason = Reason(f"{what}. Says {said_by}{told}", since=said_at)
    return Answer(f"Row {row} of campaign {campaign.uuid}: {recipient.state}", (reason,))


def _jobs(session: Session, campaign: Campaign) -> Sequence[Any]:
    """Find the jobs of a campaign: those that send by their tag; the check of a draft has none."""
    mine = jobs.c.tag == campaign_tag(campaign.id)
    if campaign.status == Status.DRAFT:
        ours = jobs.c.payload.contains(f'"data": {{"campaign_id": {campaign.id}}}', autoescape=True)
        mine = sa.and_(jobs.c.kind == CheckRowsJob.kind, ours)
    held_first = (jobs.c.worker_id.is_(None), jobs.c.priority, jobs.c.available_at, jobs.c.id)
    return session.execute(sa.select(jobs).where(mine).order_by(*held_first).limit(MOST_JOBS)).all()


def _why(scene: Scene, campaign: Campaign, gateways: Collection[str]) -> Reason | None:
    """Say what the campaign's page says."""
    return why.of_campaign(scene.session, campaign, gateways, when(scene.now), wishes=scene.controls)


def _draft(campaign: Campaign) -> Iterator[Reason]:
    if campaign.checked_at is None and campaign.upload_id is not None:
        yield Reason(
            f"A draft whose list is being checked: {campaign.checked_rows:,} of {campaign.rows:,} rows are",
            since=campaign.created_at,
        )
    else:
        yield Reason("A draft: nobody has confirmed it, so nothing is charged or sent", since=campaign.created_at)


def _ended(campaign: Campaign) -> Iterator[Reason]:
    counts = ", ".join(f"{number:,} {state}" for state, number in campaign.counts.items() if number)
    why = f": {campaign.error}" if campaign.error else ""
    yield Reason(f"It has ended ({counts or 'no recipient'}){why}", since=campaign.finished_at)
    if campaign.unknown:
        then = UNKNOWN.get(campaign.unknown_policy, UNKNOWN[UnknownPolicy.HOLD])
        command = f"flask sms unknown list --campaign {campaign.uuid}"
        yield Reason(f"{campaign.unknown:,} are unknown: nobody can tell yet; {then}", command=command)


def _open(campaign: Campaign, carried: Sequence[Any]) -> Reason:
    """Say what is open, and in how many jobs."""
    since = campaign.started_at or campaign.confirmed_at
    left = campaign.queued + campaign.sending
    if not left:
        return Reason("Nothing is left to send: a worker closes it within a minute", since, command="flask sms work")
    states = f"{campaign.queued:,} wait, {campaign.sending:,} are being sent"
    open_rows = f"{left:,} of {campaign.total:,} recipients are open ({states})"
    if not carried:
        return Reason(f"{open_rows}, and no job is left that would send them", since)
    many = f"{MOST_JOBS:,} jobs or more" if len(carried) == MOST_JOBS else _count(len(carried), "job")
    held = sum(job.worker_id is not None for job in carried)
    return Reason(f"{open_rows} in {many}, of which workers hold {held:,}", since)


def _carried(scene: Scene, carried: Sequence[Any], kinds: Collection[str]) -> Iterator[Reason]:
    """Say of what holds up the jobs; the same sentence once."""
    told: dict[str, Reason] = {}
    first_waiting = [job for job in carried if job.worker_id is None][:SHOWN]
    for job in (*[job for job in carried if job.worker_id is not None][:SHOWN], *first_waiting):
        for reason in reasons(scene, job, kinds):
            told.setdefault(reason.sentence, reason)
    yield from told.values()


def _given_up(session: Session, campaign: Campaign) -> Iterator[Reason]:
    mine = sa.select(FailedJob).where(FailedJob.tag == campaign_tag(campaign.id))
    found = session.scalars(mine.order_by(FailedJob.id).limit(SHOWN))
    for failed in found:
        yield given_up(failed)


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
