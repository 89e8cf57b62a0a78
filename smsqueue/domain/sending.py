"""Sending one slice: a window of intents, calls without a transaction, outcomes; refilled without a barrier.

One coordinator (the worker's main thread) owns the database; the senders' threads only call.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.orm import Session

from smsqueue.domain import (
    completion,
    delivery,
    holding_back,
    intents,
    journal,
    overlaps,
    pace,
    references,
    standing,
    stopping,
)
from smsqueue.domain.counting import Changes
from smsqueue.domain.insisting import insist
from smsqueue.domain.intents import Intent, Portion, Sender
from smsqueue.domain.journal import Answer
from smsqueue.domain.routing import Leg
from smsqueue.domain.senders import Calls, Senders
from smsqueue.domain.settlement import Rows, in_rows, recipients
from smsqueue.domain.traffic import Pass, Traffic, Wish
from smsqueue.gateways.base import Deferred, Rejected
from smsqueue.models import Campaign, Kind, State, Team
from smsqueue.queue.claim import LeaseLost, is_held, note_progress
from smsqueue.queue.dispatch import SECOND, clock_us
from smsqueue.queue.events import emit, emit_once_committed
from smsqueue.queue.runner import Run, Snooze
from smsqueue.queue.workers import steady

FLUSH_ROWS = 16
FLUSH_SECONDS = 0.25
LOOK_SECONDS = 0.2
"""How often a slice looks for more urgent work."""
IDLE_SECONDS = 1.0
"""A slice that could start nothing, and nobody knows why, is not looked at again at once."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one worker has in flight, and for how long a slice has its turn."""

    window: int
    """The most recipients of this slice without an outcome on disk; 0: twice the calls that are open at once."""
    slice_seconds: float
    sender_of: Callable[[str], str]
    """The sender that texts through a gateway come from."""
    shares: int = 1
    """So many slices may be at work at once in this worker."""


@dataclass
class SliceRun:
    """One stretch of work on one slice."""

    run: Run
    senders: Senders
    limits: Limits
    campaign_id: int
    rows: Rows
    open: Counter[str] = field(default_factory=Counter)
    """Calls without an outcome on disk, by gateway."""
    began: float = field(default_factory=steady)
    looked: float = field(default_factory=steady)
    closes_at: datetime | None = None
    """When a country of these rows closes for the night."""
    ends: str | None = None
    """Why no more is started; None while the slice has its turn."""
    is_lost: bool = False
    counted: int = 0
    _offset: float = 0.0
    _written: float = 0.0
    """When the last intents were written, by our own clock."""
    _wished: str = ""
    """The team's gateways, in its order of preference."""
    _countries: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Give the slice its own answers: those of one that broke off must not reach the next."""
        self.calls = Calls(self.senders)

    def work(self) -> Snooze | None:
        """Send what is due; return None when nothing of the slice is left, else when to go on. Raises LeaseLost."""
        try:
            if self._insist(self._begin):
                self._turn([])
                while in_flight := self.open.total():
                    self._turn(self.calls.answers(min(FLUSH_ROWS, in_flight), FLUSH_SECONDS))
        finally:
            self.calls.is_over = True
        emit("slice.ended", campaign_id=self.campaign_id, rows=list(self.rows), count=self.counted, reason=self.ends)
        if self.is_lost:
            raise LeaseLost(self.run.claim.id)
        rest = self._insist(self._rest)
        if rest is not None:
            return rest
        self.run.database.write(lambda session: completion.close(session, self.campaign_id))
        return None

    def _begin(self, session: Session) -> bool:
        """Clear up after an earlier claim, start the campaign; say whether there may be something to send."""
        self._hold(session)
        self._offset = clock_us(session) / SECOND - steady()
        self._campaign = campaign = session.get_one(Campaign, self.campaign_id)
        crashed = journal.mark_crashed(session, campaign, self.rows, self._now(), claim_id=self.run.claim.id)
        if crashed:
            facts = {"campaign_id": campaign.id, "rows": list(self.rows), "unknown": crashed}
            emit_once_committed(session, "slice.crashed", **facts)
        stopping.start(session, campaign, self._now())
        self._look_at_routes(session, campaign)
        if stopping.end_what_may_not_go(session, campaign, self.rows, self._now()):
            return False
        self.closes_at = holding_back.hold_back(session, campaign, self.rows, self._now())
        return True

    def _look_at_routes(self, session: Session, campaign: Campaign) -> None:
        """Learn what there is to choose between; where that is nothing, nothing is asked."""
        routes = self.senders.routes
        if len(self.senders.gateways) > 1:
            self._wished = session.get_one(Team, campaign.team_id).gateways
        if routes.asks_for_countries:
            self._countries = intents.countries_of(session, campaign, self.rows)

    def _turn(self, answers: list[Answer]) -> None:
        """Write down answers, refill the window, and hand the new intents to the threads."""
        self.open.subtract(answer.intent.gateway for answer in answers)
        began: list[Intent] = []

        def turn(session: Session) -> None:
            began[:] = self._exchange(session, answers, began)

        self._insist(turn)
        self.open.update(intent.gateway for intent in began)
        self.counted += len(answers)
        if answers:
            emit("window.sent", campaign_id=self.campaign_id, rows=list(self.rows), answers=len(answers))
        lease, ends = self.run.lease, self._written + self.run.lease.seconds
        # None is called so late that somebody may have decided about it.
        self.calls.start(began, lambda seconds: steady() < ends and lease.covers(seconds))
        if ours := self.senders.nameless(answers):  # of some the report was here before the answer
            for applied in self._insist(lambda session: delivery.catch_up(session, ours, self._now())):
                delivery.follow_up(self.run.database, applied)

    def _exchange(self, session: Session, answers: list[Answer], lost: list[Intent]) -> list[Intent]:
        """One transaction of the window. `lost` are the intents of a commit whose answer did not arrive."""
        if lost and intents.written(session, lost):
            return lost
        is_ours = note_progress(session, self.run.claim) if answers else is_held(session, self.run.claim)
        self.is_lost = self.is_lost or not is_ours
        self._traffic.look(session)
        self._traffic.note(session, answers, self._now())
        passes = [] if self.is_lost or self._is_over(session) else self._ask(session)
        changes = Changes()
        if answers:
            self._record(session, answers, changes)
        self._written = steady()
        began = self._start(session, changes, passes)
        changes.write(session, self.campaign_id)
        return began

    def _record(self, session: Session, answers: list[Answer], changes: Changes) -> None:
        if any(isinstance(answer.outcome, Deferred) for answer in answers):
            self._campaign = session.get_one(Campaign, self.campaign_id)  # stopped meanwhile: not put back
        shut = self._traffic.open_gateways
        journal.record(session, self._campaign, answers, changes, now=self._now(), shut=shut)
        references.keep(session, self.senders.nameless(answers))
        self._stop_for_account(session, answers)

    def _ask(self, session: Session) -> list[tuple[Leg, Pass]]:
        """Find out how much may be started now, and through whom; rates are locked before recipients are."""
        found: list[tuple[Leg, Pass]] = []
        now, routes = self._now(), self.senders.routes
        for leg in routes.legs(self._countries, self._wished, lambda name: self._traffic.is_usable(name, now)):
            line = self.senders.lines[leg.gateway]
            room = max(1, 2 * line.places.now // self.limits.shares) - self.open[leg.gateway]
            if self.limits.window:
                room = self.limits.window - self.open.total()
            wish = Wish(room, line.free, self.limits.sender_of(leg.gateway), self._ahead)
            if room > 0 and (granted := self._traffic.let_in(session, leg.gateway, wish, now)).room:
                found.append((leg, granted))
        return found

    def _start(self, session: Session, changes: Changes, passes: list[tuple[Leg, Pass]]) -> list[Intent]:
        """Start what may go; of one window for all each takes its share, whoever has the fewest open calls first."""
        began: list[Intent] = []
        for index, (leg, granted) in enumerate(sorted(passes, key=lambda each: self.open[each[0].gateway])):
            room, mine = granted.room, list[Intent]()
            if self.limits.window:
                left = self.limits.window - self.open.total() - len(began)
                room = min(room, left, max(1, left // (len(passes) - index)))
            if self.ends is None and room > 0:
                portion = Portion(room, granted.segments, leg.countries)
                facts = (session, self._campaign, self.rows, self._sender(leg), changes)
                mine = intents.start(*facts, portion=portion, now=self._now())
            self._traffic.let_out(session, leg.gateway, granted, mine, self._now())
            began += mine
        return began

    @property
    def _traffic(self) -> Traffic:
        return self.senders.traffic

    def _hold(self, session: Session) -> None:
        if not is_held(session, self.run.claim):
            raise LeaseLost(self.run.claim.id)

    def _is_over(self, session: Session) -> bool:
        self.ends = self.ends or self._reason(session)
        return self.ends is not None

    def _reason(self, session: Session) -> str | None:
        if self.run.is_stopping:
            return "the worker stops"
        if not self.run.lease.covers(self.senders.call_seconds):
            return "the lease has to be renewed first"
        if steady() - self.began >= self.limits.slice_seconds:
            return "others have their turn"
        if any(end is not None and end <= self._now() for end in (self._campaign.valid_until, self.closes_at)):
            return "its time is over for now"
        if steady() - self.looked >= LOOK_SECONDS:
            self.looked = steady()
            if self.run.should_yield(session):
                return "something more urgent waits"
        return None

    def _stop_for_account(self, session: Session, answers: list[Answer]) -> None:
        told = [answer.outcome for answer in answers if isinstance(answer.outcome, Rejected)]
        if refusal := next((each for each in told if each.scope == "account"), None):
            stopping.stop_for_account(session, self._campaign, refusal)
            self.ends = "the gateway refuses our account"

    def _rest(self, session: Session) -> Snooze | None:
        """Say when the rest of the slice is due; None when there is none."""
        self._hold(session)
        campaign = session.get_one(Campaign, self.campaign_id)
        stopping.end_what_may_not_go(session, campaign, self.rows, self._now())
        queued = (*in_rows(self.campaign_id, self.rows), recipients.c.state == State.QUEUED)
        is_due = sa.or_(recipients.c.not_before.is_(None), recipients.c.not_before <= self._now())
        due = sa.func.sum(sa.case((is_due, 1), else_=0))
        columns = (sa.func.count(), due, sa.func.min(recipients.c.not_before))
        count, ready, first = session.execute(sa.select(*columns).where(*queued)).one()
        if not count:
            return overlaps.wait_for_calls(session, campaign, self.rows)
        if hindrance := standing.hindrance(campaign, self.rows, self._now()):
            return hindrance
        if ready:
            return Snooze(0, self.ends) if self.ends else self._blocked(session, campaign)
        due_at = min(first, campaign.valid_until or first)
        wait = max(0.0, (due_at - self._now()).total_seconds())
        return Snooze(wait, self.ends or "none of its recipients may go before that")

    def _blocked(self, session: Session, campaign: Campaign) -> Snooze:
        """Wait for the gateways that could take what is left: with all that need them, where there are no others."""
        self._look_at_routes(session, campaign)
        names, now = self.senders.routes.takers(self._countries, self._wished), self._now()
        wait = self._traffic.wait_seconds(names, self._ahead, now)
        reason = self._traffic.why(names) if wait else "more to send"
        everywhere = self._traffic.wait_seconds(self._in_use(session), self._ahead, now)
        if everywhere:
            self.run.begin_lull(everywhere)
            return Snooze(0, reason)
        if not wait and not self.counted:
            wait = IDLE_SECONDS
        return Snooze(wait and self._traffic.put_off_seconds(names, self._ahead, wait), reason)

    @property
    def _ahead(self) -> float:
        """How far the clock may be run ahead of: single texts go before bulk."""
        return pace.URGENT_AHEAD_SECONDS if self._campaign.kind == Kind.SINGLE else pace.BULK_AHEAD_SECONDS

    def _in_use(self, session: Session) -> set[str]:
        """Name the gateways that somebody's texts may go through: others may be there for their reports alone."""
        wishes = session.scalars(sa.select(Team.gateways).distinct()).all() if len(self.senders.gateways) > 1 else ()
        return self.senders.routes.in_use(wishes) & self.senders.gateways.keys()

    def _insist(self, use_case: Callable[[Session], T]) -> T:
        return insist(self.run.database, use_case, worker_id=self.run.lease.worker_id)

    def _now(self) -> datetime:
        """The database's time, read once a stretch and carried on by a clock that nobody can set."""
        return datetime.fromtimestamp(steady() + self._offset, UTC)

    def _sender(self, leg: Leg) -> Sender:
        token = self.run.claim.token
        return Sender(self.run.lease.worker_id, token, leg.gateway, self.limits.sender_of(leg.gateway))
