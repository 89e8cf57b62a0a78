"""Who wants no texts of a team any more: asked in the same UPDATE that marks `sending`."""

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.db import table_of
from smsqueue.domain.settlement import Rows, end_waiting
from smsqueue.models import Campaign, OptOut, Recipient, State

opt_outs, recipients = table_of(OptOut), table_of(Recipient)
OPTED_OUT = "Opted out: this number wants no texts of this team."
CODE = "opted_out"


def has_opted_out(team_id: Any) -> sa.ColumnElement[bool]:
    """Build the condition that a recipient's number has opted out of a team (an id, a column or a parameter)."""
    mine = (opt_outs.c.team_id == team_id, opt_outs.c.number == recipients.c.number)
    return sa.select(sa.literal(1)).where(*mine).correlate_except(opt_outs).exists()


def suppress(session: Session, campaign: Campaign, rows: Rows | None = None) -> int:
    """End the waiting recipients who have opted out, with their credits; return how many."""
    out = has_opted_out(campaign.team_id)
    return end_waiting(session, campaign, rows, State.SUPPRESSED, error=OPTED_OUT, code=CODE, which=out)
