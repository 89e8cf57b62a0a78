"""A campaign whose calls and reports a test answers by hand, one by one."""

from typing import Any

from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain import completion, delivery, intents, journal, stopping
from smsqueue.domain.counting import Changes
from smsqueue.domain.delivery import Applied
from smsqueue.domain.intents import Intent, Portion, Sender
from smsqueue.domain.journal import Answer
from smsqueue.gateways.base import Outcome, Report, Sent
from smsqueue.models import Campaign
from tests.domain_fixtures import Office


class Desk:
    """A campaign whose calls a test answers, and whose reports it tells."""

    def __init__(self, office: Office, count: int = 1, *, gateway: str = "scripted", **draft: Any) -> None:
        self.office, self.store = office, office.store
        self.called: list[Intent] = []
        self.sender = Sender(worker_id=1, token="t" * 32, gateway=gateway, sender="us")
        self.campaign = office.launch(office.draft(count, **draft))
        self.store.write(lambda session: stopping.start(session, session.get_one(Campaign, self.campaign.id), now()))

    def call(self, room: int = 10) -> list[Intent]:
        """Begin calls; all that were begun are in `called`."""

        def begin(session: Session) -> list[Intent]:
            changes = Changes()
            mine = session.get_one(Campaign, self.campaign.id)
            found = intents.start(session, mine, (1, 500), self.sender, changes, portion=Portion(room), now=now())
            changes.write(session, mine.id)
            return found

        found = self.store.write(begin)
        self.called += found
        return found

    def answer(self, intent: Intent, outcome: Outcome) -> None:
        """Write down what the gateway answered."""

        def write(session: Session) -> None:
            changes = Changes()
            mine = session.get_one(Campaign, self.campaign.id)
            journal.record(session, mine, [Answer(intent, outcome)], changes, now=now())
            changes.write(session, mine.id)

        self.store.write(write)

    def sent(self, count: int = 1) -> list[Intent]:
        """Call so many, and have the gateway take them."""
        called = self.call(count)
        for intent in called:
            self.answer(intent, Sent(f"gw-{intent.outgoing.reference}"))
        return called

    def tell(self, intent: Intent, state: Any, **more: Any) -> Applied:
        """Have the gateway report on one text."""
        return self.tell_all([Report(state=state, reference=intent.outgoing.reference, **more)])

    def tell_all(self, reports: list[Report]) -> Applied:
        """Have the gateway report, and do what follows."""
        applied = self.store.write(lambda session: delivery.apply(session, self.sender.gateway, reports, now()))
        delivery.follow_up(self.store, applied)
        return applied

    def close(self) -> bool:
        """Try to close the campaign."""
        return self.store.write(lambda session: completion.close(session, self.campaign.id))

    @property
    def states(self) -> list[str]:
        """The recipients' states, by row."""
        return [recipient.state for recipient in self.office.recipients(self.campaign)]

    @property
    def now(self) -> Campaign:
        """The campaign as it is."""
        return self.office.reload(self.campaign)

    def money(self) -> tuple[int, int, int, int]:
        """What was charged, returned and spent, and what is in the wallet."""
        mine = self.now
        return mine.charged, mine.returned, mine.spent, self.office.balance()
