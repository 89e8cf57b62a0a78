"""What pages show after a campaign: a copy of it, and one that its team cannot pay for again."""

from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from smsqueue.core.clock import now
from smsqueue.db import table_of
from smsqueue.domain import cloning, optouts
from smsqueue.models import Recipient, State, Status
from tests.domain_fixtures import RULES

if TYPE_CHECKING:
    from tests.acceptance.browser.showroom import Showroom

recipients = table_of(Recipient)


def paint_afterwards(showroom: "Showroom") -> None:
    """Clone a campaign, one of whose people has opted out since; let one of the team without credits have failed."""
    store, ann, source = showroom.place.store, showroom.ann, showroom.found["failed"]
    poor = showroom.office(showroom.unlucky)
    out = {(source.team_id, poor.recipients(source)[3].number)}
    store.write(lambda session: optouts.add_all(session, out, source="stop"))
    showroom.found["clone"] = store.write(
        lambda session: cloning.clone(session, source.team_id, source.uuid, ann, RULES)
    )
    store.write(lambda session: optouts.remove_all(session, out, reason="for the showroom"))
    showroom.found["poor failed"] = poor.draft(2)
    fail_all(showroom, "poor failed")


def fail_all(showroom: "Showroom", name: str) -> None:
    """Let all recipients of a draft have failed."""
    failed = showroom.found[name]
    change = sa.update(recipients).where(recipients.c.campaign_id == failed.id).values(state=State.FAILED)
    store = showroom.place.store
    store.write(lambda session: session.execute(change))
    ended = now() - timedelta(days=2)
    count = {"failed": failed.total, "confirmed_at": ended, "finished_at": ended}
    showroom.change(name, status=Status.FAILED, **count)
