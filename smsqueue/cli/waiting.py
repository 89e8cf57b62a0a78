"""Waiting for a campaign's end, by looking at the database."""

import time

from smsqueue.db import Database
from smsqueue.models import Campaign, Status

LOOK_SECONDS = 0.5
ENDED = (Status.COMPLETED, Status.FAILED, Status.CANCELLED)


def wait_for(database: Database, campaign_id: int) -> Campaign:
    """Return the campaign once nothing of it is queued or being sent."""
    while True:
        with database.reading() as session:
            campaign = session.get_one(Campaign, campaign_id)
        if campaign.status in ENDED and campaign.finished_at:
            return campaign
        time.sleep(LOOK_SECONDS)
