"""One of everything that pages can show, in a database of its own, where no worker changes it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from flask import Flask
from flask_security.recoverable import generate_reset_password_token
from sqlalchemy.orm import Session

from smsqueue.app import create_app
from smsqueue.config import Settings
from smsqueue.core.clock import now
from smsqueue.db import table_of
from smsqueue.domain import again, brake, notices, optouts
from smsqueue.domain.jobs import campaign_tag
from smsqueue.models import (
    Attempt,
    Campaign,
    GatewayState,
    InboundText,
    Notice,
    Rate,
    Recipient,
    State,
    Status,
    Team,
    User,
)
from smsqueue.queue import control
from smsqueue.queue.dialects import now_us
from smsqueue.queue.dispatch import jobs
from smsqueue.queue.models import FailedJob, JobStat, WorkerRow
from tests.acceptance.browser.afterwards import paint_afterwards
from tests.acceptance.browser.installation import Installation
from tests.acceptance.browser.refusing import paint_refusing
from tests.acceptance.browser.waiting import paint_waiting
from tests.domain_fixtures import Office, plain
from tests.domain_workers import Crew, Scripted

SECOND, DAY = 1_000_000, timedelta(days=1)
GOOD = "name;phone\n" + "\n".join(f"Ann {row};{number}" for row, number in enumerate(plain(60)))
SPOILT = f"{GOOD}\nBob;4.47E+11\nEve;call me tomorrow, please, when the shop is open\nDan;\nAnn;{plain(1)[0]}\n"
TEXT = "Hi ((name)), our spring sale starts on Monday."
MIXED = {"queued": 10, "sending": 5, "sent": 20, "delivered": 8, "undelivered": 4, "failed": 6, "unknown": 7}
SENT = {"sent": 40, "delivered": 10, "failed": 3, "unknown": 2, "expired": 3, "suppressed": 2}
HELD = "Held: the same words went, or are to go, to this number 2 times within an hour."
PAUSED = 3
"""The place of the worker that a signal has paused."""
recipients, campaigns = table_of(Recipient), table_of(Campaign)
attempts, workers = table_of(Attempt), table_of(WorkerRow)


@dataclass
class Showroom:
    """Where everything stands: campaigns by what they are shown for."""

    place: Installation
    ann: User = field(init=False)
    """An operator whose team has done a lot."""
    newcomer: User = field(init=False)
    """A member whose team has done nothing yet."""
    unlucky: User = field(init=False)
    """A member whose team has no credits, and a campaign that cannot be shown."""
    strict: User = field(init=False)
    """A member whose team has many rules."""
    found: dict[str, Campaign] = field(default_factory=dict)
    app: Flask = field(init=False)

    def __post_init__(self) -> None:
        self.ann = self.place.hire(1200, team="Flowers", operator=True)
        self.newcomer = self.place.hire(0, team="Newcomers")
        self.unlucky = self.place.hire(0, team="Unlucky")
        self.app = create_app(Settings.from_env(self.place.environ))
        self._rule()
        self._settle()
        self._draft()
        self._send()
        self.strict = paint_refusing(self)
        self.found["broken"] = self.place.factory.campaign(self.unlucky)
        self._tell()
        self._receive()
        self._register_workers()

    def path(self, name: str, ending: str = "") -> str:
        """Return the address of a campaign's page, or of another page of it."""
        return f"/sms/campaigns/{self.found[name].uuid}{ending}"

    def reset_path(self) -> str:
        """Return the address that a mail for a forgotten password holds."""
        with self.app.app_context():
            token = generate_reset_password_token(self.ann)
        return f"/reset/{token}"

    def change(self, name: str, **values: Any) -> None:
        """Change a campaign behind the program's back."""
        change = sa.update(campaigns).where(campaigns.c.id == self.found[name].id).values(**values)
        self.place.store.write(lambda session: session.execute(change))

    def put_off(self, name: str, until: datetime, code: str, error: str) -> None:
        """Let all of a campaign that are not sent yet wait for a time."""
        campaign = self.found[name]
        mine = (recipients.c.campaign_id == campaign.id, recipients.c.state == State.QUEUED)
        waits = sa.update(recipients).where(*mine).values(not_before=until, code=code, error=error, updated_at=now())
        later = sa.update(jobs).where(jobs.c.tag == campaign_tag(campaign.id))

        def write(session: Session) -> None:
            session.execute(waits)
            session.execute(later.values(available_at=int(until.timestamp() * SECOND)))

        self.place.store.write(write)

    def let_workers_live(self, *, alive: bool) -> None:
        """Let the running worker be alive, or have been silent for too long."""
        expires = now_us() + (3600 * SECOND if alive else -SECOND)
        change = sa.update(workers).where(workers.c.state == "running").values(expires_at=expires)
        self.place.store.write(lambda session: session.execute(change))

    def let_operators_ask(self, wish: str) -> None:
        """Let an operator have asked for a pause, for maintenance or for nothing."""

        def ask(session: Session) -> None:
            session.execute(sa.delete(control.controls))
            session.execute(sa.delete(GatewayState))
            session.execute(sa.delete(Rate))
            if wish == "gateways":
                _trouble(session)
            if wish == "rate":
                session.add(Rate(name="gateway:simulated", per_second=0.1, due_us=0, throttled_at=now()))
            if wish == "pause":
                control.pause(session, "sms", seconds=1800, reason="The gateway moves house", author="ben@example.com")
            if wish == "maintenance":
                control.begin_maintenance(session, seconds=900, reason="A new version", author="root")

        self.place.store.write(ask)

    def break_campaign(self, name: str, *, broken: bool) -> None:
        """Give a campaign a status that there is not, or mend it."""
        self.change(name, status="nonsense" if broken else Status.COMPLETED)

    def _rule(self) -> None:
        """Give teams rules that show: zones, a number to type, a cap."""
        mine = sa.update(Team).where(Team.id == self.ann.team_id)
        theirs = sa.update(Team).where(Team.id == self.newcomer.team_id).values(time_zone="Europe/Paris")

        def rule(session: Session) -> None:
            session.execute(
                mine.values(
                    time_zone="America/New_York", type_count_above=50, daily_cap=5000, opt_out_words="ARRET,NON"
                )
            )
            session.execute(theirs)

        self.place.store.write(rule)

    def _settle(self) -> None:
        """Send a campaign in earnest, so that its books are in order."""
        office = self.office(self.ann)
        campaign = self.named(office.launched(plain(4)), "Sent in earnest")
        Crew(self.place.store, Settings.from_env(self.place.environ), Scripted()).finish(office)
        self.found["settled"] = campaign

    def _draft_for_later(self, office: Office) -> None:
        """A draft for a time to come, in which somebody has opted out, somebody waits and nobody is asked."""
        away = "+33612345678"
        self.place.store.write(
            lambda session: optouts.add_all(session, [(self.ann.team_id, away)], source="person", note="asked for it")
        )
        listed = f"{GOOD}\nZoe;{away}\nLea;+33612345679"
        self.found["scheduled draft"] = self.named(office.checked(listed, text=TEXT), "Winter sale")
        later = now().replace(hour=15, minute=0, second=0, microsecond=0) + timedelta(days=40)
        chosen = {"scheduled_for": later, "time_zone": "America/New_York", "sending_hours": "00:00-08:00"}
        self.change("scheduled draft", **chosen, validity_seconds=3600, unknown_policy="resend", first_ten=True)
        self.found["waiting draft"] = self.named(office.checked(listed, text=TEXT), "Winter evening")
        chosen["sending_hours"] = "20:00-22:00"
        self.change("waiting draft", **chosen, validity_seconds=86400)

    def _draft(self) -> None:
        office, poor = self.office(self.ann), self.office(self.unlucky)
        self.found["draft"] = self.named(office.checked(SPOILT, text=TEXT), "Spring sale")
        self.found["nobody"] = self.named(office.checked("phone\n12\nabc\n"), "Nobody")
        self.found["dear"] = self.named(office.checked(GOOD, text="Very long indeed. " * 80), "Too dear")
        self._draft_for_later(office)
        self.found["single"] = office.single("+12015550123", "Your order is ready")
        self.found["poor single"] = poor.single("+12015550123", "Your order is ready")
        self.found["checking"] = self.named(office.unchecked(GOOD), "A long list")
        self.change("checking", rows=60_000, checked_rows=21_500)

    def _send(self) -> None:
        office = self.office(self.ann)
        self.found["pending"] = self.named(office.launch(office.checked(GOOD, text=TEXT)), "Summer sale")
        self.paint("processing", "Autumn sale", Status.PROCESSING, MIXED)
        self.paint("completed", "Wintersale" * 6, Status.COMPLETED, SENT)
        self._lose_gateway("completed")
        self.paint("cancelled", "Wrong text", Status.CANCELLED, {"sent": 20, "cancelled": 40})
        reason = "The gateway refuses our account: its credit is used up. Ask the operator."
        self.paint("failed", "To the moon", Status.FAILED, {"failed": 60}, error=reason)
        self.paint("held", "Once more", Status.PROCESSING, {"queued": 30, "sent": 30})
        self.put_off("held", brake.FOR_EVER, brake.HELD, HELD)
        self.change("held", braked=30)
        self.paint("many failed", "A bad day", Status.FAILED, {"failed": 60}, error=reason)
        self.change("many failed", failed=again.FEW + 1, total=again.FEW + 1, confirmed_at=now() - DAY)
        paint_waiting(self)
        paint_afterwards(self)
        single = office.single("+12015550123", "Hello")
        self.found["sent single"] = office.launch(single)
        self.change("sent single", status=Status.PROCESSING, queued=0, sending=1, started_at=now())

    def paint(self, name: str, title: str, status: Status, counts: Mapping[str, int], error: str | None = None) -> None:
        """Make a campaign look as if it had come so far."""
        office = self.office(self.ann)
        campaign = self.found[name] = self.named(office.launch(office.checked(GOOD, text=TEXT)), title)
        rows = office.recipients(campaign)
        left = list(rows)
        for state, number in counts.items():
            self._set_state(left[:number], State(state))
            left = left[number:]
        assert not left, "each recipient has a state"
        began = now() - timedelta(minutes=4)
        over = status in (Status.COMPLETED, Status.FAILED, Status.CANCELLED)
        times = {"started_at": began, "finished_at": now() if over else None}
        zero = dict.fromkeys(map(str, State), 0)
        self.change(
            name, status=status, error=error, returned=counts.get("failed", 0), **times, **(zero | dict(counts))
        )

    def _set_state(self, rows: list[Recipient], state: State) -> None:
        ids = [row.id for row in rows]
        reason = "A landline cannot receive texts." if state == State.FAILED else None
        change = sa.update(recipients).where(recipients.c.id.in_(ids)).values(state=state, error=reason)
        outcome = {State.FAILED: "rejected", State.UNKNOWN: "unknown", State.SENDING: "sending"}.get(state, "sent")
        called = [] if state == State.QUEUED else rows if state == State.UNKNOWN else rows[:2]
        tried = [self._attempt(row, outcome) for row in called]
        counted = sa.update(recipients).where(recipients.c.id.in_([row.id for row in called])).values(attempts=1)

        def write(session: Session) -> None:
            session.execute(change)
            session.execute(counted)
            session.add_all(tried)

        self.place.store.write(write)

    def _attempt(self, row: Recipient, outcome: str) -> Attempt:
        reason = {"rejected": "A landline cannot receive texts.", "unknown": "The connection broke."}.get(outcome)
        more = {"code": "landline" if outcome == "rejected" else None, "reason": reason}
        known = {"gateway_reference": f"sim-{row.id}" if outcome == "sent" else None, "reference": f"ours-{row.id}"}
        times: dict[str, Any] = {"started_at": now(), "ended_at": now()}
        if outcome == "unknown" and row.row % 5:  # the others are too new to decide about
            at = now() - timedelta(minutes=9)
            times = {"started_at": at, "ended_at": at, "looked_up": 3, "looked_up_at": now(), "not_found": 1}
        return Attempt(
            recipient_id=row.id,
            number=1,
            claim_token="c",
            gateway="simulated",
            outcome=outcome,
            **more,
            **known,
            **times,
        )

    def _lose_gateway(self, name: str) -> None:
        """Let a campaign's unknown messages have gone by a gateway that cannot be asked any more."""
        mine = sa.select(recipients.c.id).where(recipients.c.campaign_id == self.found[name].id)
        lost = sa.update(attempts).where(attempts.c.recipient_id.in_(mine), attempts.c.outcome == "unknown")
        self.place.store.write(lambda session: session.execute(lost.values(gateway="kannel")))

    def _tell(self) -> None:
        for status in ("completed", "failed", "cancelled"):
            data = {"campaign": str(self.found[status].uuid), "name": self.found[status].name, "status": status}
            error = "The gateway refuses our account." if status == "failed" else None
            self.place.factory.notice(self.ann, **data, error=error, unknown=2, held=2)
            self._read(self.place.factory.notice(self.ann, **data, error=error))

    def _receive(self) -> None:
        """Let people have answered, and some of them have opted out."""
        numbers, team = plain(60), self.ann.team_id
        said = {"STOP": "stop", "Please stop, I am at work": "maybe", "help": "help", "YES": "start", "": "other"}
        said |= {"Danke! " * 60: "other", "\u05ea\u05d5\u05d3\u05d4": "other", "x" * 300: "other"}
        texts = [
            InboundText(team_id=team, gateway="simulated", sender=number, text=text, meaning=meaning, to="us")
            for number, (text, meaning) in zip(numbers, said.items(), strict=False)
        ]
        texts[-1].read_at = now()

        def write(session: Session) -> None:
            session.add_all(texts)
            optouts.add_all(session, {(team, numbers[0])}, source="stop")
            optouts.add_all(session, {(team, numbers[1])}, source="gateway")
            by_hand = {(team, number) for number in numbers[2:]}
            optouts.add_all(session, by_hand, source="person", note="On the phone. " * 14, user_id=self.ann.id)

        self.place.store.write(write)

    def _read(self, notice: Notice) -> None:
        self.place.store.write(lambda session: notices.mark_read(session, self.ann.id, notice.id))

    def _register_workers(self) -> None:
        at = now_us()
        shown = (("running", None), ("stopped", "memory limit"), ("lost", None), ("running", None))
        rows = [
            WorkerRow(
                host="mill-3.example",
                pid=4000 + number,
                queues="sms,notifications,default",
                state=state,
                stop_reason=reason,
                jobs_done=1234,
                is_paused=number == PAUSED,
                wakeup="listening" if number else "degraded",
                threads=4,
                memory_mib=87,
                started_at=at - 3600 * SECOND,
                heartbeat_at=at - 5 * SECOND,
                expires_at=at + 3600 * SECOND,
            )
            for number, (state, reason) in enumerate(shown)
        ]
        failed = FailedJob(
            uuid="9f14c702-0444-438f-958d-6360e928313a", queue="sms", payload="{}", exception="ValueError"
        )
        self.place.store.write(lambda session: session.add_all([*rows, failed, *self._last_hour()]))

    def _last_hour(self) -> list[JobStat]:
        with self.place.store.reading() as session:
            minute = session.execute(sa.select(now_us())).scalar_one() // (60 * SECOND)
        times = {"wait_us": 9 * SECOND, "wait_max_us": 4 * SECOND, "run_us": 60 * SECOND, "run_max_us": 5 * SECOND}
        counts = {"failed": 0, "released": 2, **times}
        queues = ("sms", "notifications")
        return [
            JobStat(minute=minute - ago, queue=queue, kind="any", done=(ago * 37) % 50, **counts)
            for queue in queues
            for ago in range(0, 58, 1 + queues.index(queue))
        ]

    def office(self, user: User) -> Office:
        """Return what a person's team writes campaigns with."""
        with self.place.store.reading() as session:
            return Office(self.place.store, session.get_one(Team, user.team_id), user)

    def named(self, campaign: Campaign, name: str) -> Campaign:
        """Give a campaign a name."""
        change = sa.update(campaigns).where(campaigns.c.id == campaign.id).values(name=name)
        self.place.store.write(lambda session: session.execute(change))
        return campaign


def _trouble(session: Session) -> None:
    """Let one gateway be paused, one be out of reach, and one have asked for less."""
    opened = now() - timedelta(minutes=7)
    why = "The gateway cannot be reached (it takes no connection)."
    session.add(GatewayState(name="simulated", failures=12, opened_at=opened, probe_at=now(), reason=why))
    by = "ben@example.com: it takes texts twice today, and nobody answers the telephone"
    session.add(GatewayState(name="kannel", failures=0, paused_at=opened, paused_by=by))
    session.add(Rate(name="gateway:simulated", per_second=2.5, due_us=0, throttled_at=now()))
