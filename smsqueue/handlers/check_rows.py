"""Checking the rows of a long list."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.config import Settings
from smsqueue.domain import reviewing
from smsqueue.domain.jobs import CheckRowsJob
from smsqueue.domain.rules import rules_for
from smsqueue.models import Campaign, Status, Team
from smsqueue.queue.runner import Run


def run(job: CheckRowsJob, run: Run, *, settings: Settings) -> None:
    """Check the rows of a draft; a draft that is gone needs nothing."""
    with run.database.reading() as session:
        campaign = session.get(Campaign, job.campaign_id)
        team = session.get(Team, campaign.team_id) if campaign else None
    if team is None:
        return
    rules = rules_for(team, max_segments=settings.max_segments, credits_per_segment=settings.credits_per_segment)
    reviewing.check_rows(run.database, job.campaign_id, rules)


def on_failed(session: Session, job: CheckRowsJob, reason: str) -> None:
    """Say on the draft's page that its rows could not be checked."""
    draft = sa.update(Campaign).where(Campaign.id == job.campaign_id, Campaign.status == Status.DRAFT)
    session.execute(draft.values(error=f"The recipients could not be checked: {reason}"[:500]))
