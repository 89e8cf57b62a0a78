"""Campaigns in tests: written, launched and looked at."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from itertools import count, islice, product
from typing import Any

import phonenumbers
import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.db import Database, table_of
from smsqueue.domain import accounts, audit, campaigns, credits, drafts, reviewing, sheets
from smsqueue.domain.campaigns import Terms
from smsqueue.domain.checking import Rules
from smsqueue.models import Attempt, Campaign, Notice, Recipient, Team, User
from smsqueue.queue.dispatch import jobs
from smsqueue.queue.models import FailedJob, WorkerRow

RULES = Rules(country="US", countries=None, max_segments=10, credits_per_segment=1)
TERMS = Terms(validity_seconds=14_400, slice_rows=500, credits_per_segment=1)
LONG_AGO = timedelta(hours=1)
_fated = count()
recipients = table_of(Recipient)


@cache
def areas() -> list[str]:
    """Name the area codes in which 555-0100 to 555-0199 could be mobile numbers."""
    found = (f"+1{area}55501" for area in range(201, 990))
    return [area for area in found if _is_mobile(f"{area}00")]


def _is_mobile(number: str) -> bool:
    kind = phonenumbers.number_type(phonenumbers.parse(number))
    return kind == phonenumbers.PhoneNumberType.FIXED_LINE_OR_MOBILE


def plain(many: int) -> list[str]:
    """Make numbers which the simulator serves as usual."""
    pairs = product(areas(), range(80))
    return [f"{area}{last:02d}" for area, last in islice(pairs, many)]


def fated(*fates: str) -> list[str]:
    """Make a number for each fate, not used before in this run: the simulator counts the calls to each."""
    return [f"{areas()[-1 - next(_fated) % 200]}{fate}" for fate in fates]


@dataclass
class Office:
    """A team with one person and credits, their campaigns, and what the database says of them."""

    store: Database
    team: Team
    user: User
    is_tampered: bool = False
    """Set by tests that break the books on purpose."""

    @classmethod
    def open(cls, store: Database, name: str, balance: int) -> "Office":
        """Found a team, hire a person, grant credits."""

        def found(session: Session) -> tuple[Team, User]:
            team = accounts.create_team(session, name, "US", "*")
            if balance:
                credits.grant(session, team.id, balance, reason="for a test")
            email = f"owner@{name.lower()}.example.com"
            return team, accounts.create_user(session, email=email, password_hash="-", team=team)

        return cls(store, *store.write(found))

    def draft(self, numbers: Sequence[str] | int, *, text: str = "Hello", user: User | None = None) -> Campaign:
        """Write a campaign to these numbers (or to so many), and have its rows checked."""
        numbers = plain(numbers) if isinstance(numbers, int) else numbers
        return self.checked("phone\n" + "\n".join(numbers), text=text, user=user)

    def checked(self, content: str, *, text: str = "Hello", user: User | None = None) -> Campaign:
        """Write a campaign to a list, and have its rows checked."""
        campaign = self.unchecked(content, text=text, user=user)
        reviewing.check_rows(self.store, campaign.id, RULES)
        return self.reload(campaign)

    def unchecked(
        self, content: str, *, text: str = "Hello", user: User | None = None, replace: Campaign | None = None
    ) -> Campaign:
        """Write a campaign to a list whose rows are not checked yet."""
        raw = content.encode()
        sheet = sheets.read(raw)

        def write(session: Session) -> Campaign:
            upload = drafts.save_upload(session, self.team.id, "list.csv", raw)
            return drafts.draft_bulk(
                session,
                user=user or self.user,
                name="Sale",
                text=text,
                upload=upload,
                sheet=sheet,
                column=None,
                replace=replace.uuid if replace else None,
                rules=RULES,
            )

        return self.store.write(write)

    def single(self, number: str | None = None, text: str = "Hello") -> Campaign:
        """Write one SMS."""
        to = plain(1)[0] if number is None else number
        return self.store.write(
            lambda session: drafts.draft_single(session, user=self.user, number=to, text=text, rules=RULES)
        )

    def launch(self, draft: Campaign, *, token: str | None = None, **terms: int) -> Campaign:
        """Confirm a campaign."""
        chosen, known = token or draft.token or "", replace(TERMS, **terms)
        return self.store.write(lambda session: campaigns.launch(session, draft.team_id, draft.uuid, chosen, known))

    def launched(self, numbers: Sequence[str] | int, **terms: Any) -> Campaign:
        """Write a campaign and confirm it."""
        return self.launch(self.draft(numbers), **terms)

    def cancel(self, campaign: Campaign) -> Campaign:
        """Cancel a campaign."""
        return self.store.write(lambda session: campaigns.cancel(session, self.team.id, campaign.uuid))

    def reload(self, campaign: Campaign) -> Campaign:
        """Read a campaign again."""
        with self.store.reading() as session:
            return session.get_one(Campaign, campaign.id)

    def recipients(self, campaign: Campaign) -> list[Recipient]:
        """Read a campaign's recipients, by row."""
        with self.store.reading() as session:
            return campaigns.recipients(session, campaign, state=None, limit=10_000)

    def states(self, campaign: Campaign) -> dict[str, int]:
        """Count a campaign's recipients by state, from their own rows."""
        return dict(Counter(recipient.state for recipient in self.recipients(campaign)))

    def attempts(self, campaign: Campaign) -> list[Attempt]:
        """Read all attempts of a campaign, by recipient and number."""
        ids = [recipient.id for recipient in self.recipients(campaign)]
        with self.store.reading() as session:
            found = campaigns.attempts(session, ids)
        return [attempt for id_ in ids for attempt in found.get(id_, [])]

    def balance(self) -> int:
        """Read what the team can spend."""
        with self.store.reading() as session:
            return credits.balance(session, self.team.id)

    def rows(self, model: type[Any]) -> list[Any]:
        """Read every row of a table."""
        with self.store.reading() as session:
            return list(session.scalars(sa.select(model).order_by(model.id)))

    def notices(self) -> list[Notice]:
        """Read every notice there is."""
        return self.rows(Notice)

    def failed_jobs(self) -> list[FailedJob]:
        """Read the jobs that were given up."""
        return self.rows(FailedJob)

    def jobs(self, *kinds: str) -> int:
        """Count the jobs that wait or are held, all or of these kinds."""
        statement = sa.select(sa.func.count()).select_from(jobs)
        with self.store.reading() as session:
            return session.scalar(statement.where(jobs.c.kind.in_(kinds)) if kinds else statement) or 0

    def problems(self) -> list[str]:
        """Audit the books."""
        with self.store.snapshot() as session:
            return audit.audit(session).problems

    def execute(self, statement: sa.Executable) -> None:
        """Change something behind the program's back."""
        self.store.write(lambda session: session.execute(statement))

    def hurry(self) -> None:
        """Let everything that waits for a time be due now."""
        waiting = sa.update(recipients).where(recipients.c.not_before.isnot(None))
        self.execute(waiting.values(not_before=now() - LONG_AGO))
        self.execute(sa.update(jobs).where(jobs.c.reserved_at.is_(None)).values(available_at=1))

    def bury_workers(self) -> None:
        """Let every worker's lease run out."""
        self.execute(sa.update(WorkerRow).values(expires_at=1))
