"""The last text: the answer to a STOP, where the gateway gives none itself."""

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.config import Settings
from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain import campaigns, drafts, optouts
from smsqueue.domain.campaigns import Terms
from smsqueue.domain.options import Options
from smsqueue.domain.rules import rules_for
from smsqueue.models import Campaign, Recipient, Team, User
from smsqueue.queue.events import emit_once_committed

PAUSE = timedelta(days=1)
"""Between two last texts of a team to a number: whoever says STOP and START in turns spends nobody's credits."""


@dataclass(frozen=True, slots=True)
class Goodbye:
    """What is answered, and what holds for it as for every text."""

    text: str
    """Empty: nothing is answered."""
    terms: Terms
    max_segments: int

    @classmethod
    def of(cls, settings: Settings) -> "Goodbye":
        """Take it from the settings."""
        terms = Terms(settings.validity_seconds, settings.slice_rows, settings.credits_per_segment)
        return cls(settings.goodbye, terms, settings.max_segments)

    def say(self, session: Session, team_id: int, number: str) -> None:
        """Queue the last text of a team to a number that has just been put on its list; the team pays for it.

        At most one a day. What keeps it from going, as a lack of credits, is said in the log and keeps nobody off
        the list.
        """
        person = self._who_wrote(session, team_id, number) if self.text else None
        if person is None or _was_said(session, team_id, number):
            return
        nested = session.begin_nested()
        try:
            self._launch(session, person, number)
        except SmsQueueError as error:
            nested.rollback()
            emit_once_committed(session, "goodbye.left_out", team_id=team_id, reason=type(error).__name__)
            return
        nested.commit()

    def _launch(self, session: Session, person: User, number: str) -> None:
        team = session.get_one(Team, person.team_id)
        price = self.terms.credits_per_segment
        rules = rules_for(team, max_segments=self.max_segments, credits_per_segment=price)
        plain, row = Options(), optouts.LAST_WORD
        draft = drafts.draft_single(
            session, user=person, number=number, text=self.text, rules=rules, options=plain, source_row=row
        )
        campaigns.launch(session, team.id, draft.uuid, draft.token or "", self.terms)

    def _who_wrote(self, session: Session, team_id: int, number: str) -> User | None:
        """Find who of the team has texted the number last."""
        theirs = sa.select(Campaign.user_id).join(Recipient)
        mine = (Campaign.team_id == team_id, Recipient.number == number, Recipient.attempts > 0)
        last = session.scalar(theirs.where(*mine).order_by(Recipient.id.desc()).limit(1))
        return None if last is None else session.get(User, last)


def _was_said(session: Session, team_id: int, number: str) -> bool:
    """Say whether the number had its last text of the team less than a day ago."""
    mine = (Recipient.number == number, Recipient.source_row == optouts.LAST_WORD)
    theirs = (Campaign.team_id == team_id, Campaign.confirmed_at > now() - PAUSE)
    return session.scalar(sa.select(Recipient.id).join(Campaign).where(*mine, *theirs).limit(1)) is not None
