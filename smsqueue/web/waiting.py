"""Why nothing moves, in one sentence for the person who waits; one small query, since a poll asks it."""

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.queue.dialects import now_us
from smsqueue.queue.models import WorkerRow

NOBODY = "No worker is running that could do this. It goes on by itself as soon as the operator has started one:"


def why(session: Session, queue: str) -> str | None:
    """Say that no living worker serves a queue; None when one does."""
    alive = sa.select(WorkerRow.queues).where(WorkerRow.state == "running", WorkerRow.expires_at > now_us())
    served = {name for queues in session.scalars(alive) for name in queues.split(",")}
    return None if queue in served else NOBODY
