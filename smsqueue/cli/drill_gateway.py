"""The drill with one real text to a number of the operator's own: settings, answer, report, signature, look-up."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from secrets import token_hex

import click

from smsqueue.cli.base import read
from smsqueue.cli.gateway import built
from smsqueue.config import Settings
from smsqueue.core import clock, phones, segments
from smsqueue.core.errors import SmsQueueError
from smsqueue.domain.told import reports_of
from smsqueue.gateways import trials
from smsqueue.gateways.base import Adapter, Deferred, Fetches, LooksUp, NotFound, Outcome, Outgoing, Rejected, Sent
from smsqueue.gateways.callbacks import Address
from smsqueue.gateways.http import HttpCaller, Request
from smsqueue.models import DeliveryReport
from smsqueue.queue.events import emit

LOOK_SECONDS = 0.2
LARGEST_LOG = 16 * 1024 * 1024


class CannotDrill(SmsQueueError):
    """The drill cannot begin."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What the operator asked for."""

    gateway: str
    number: str
    text: str
    seconds: float
    is_agreed: bool


@dataclass
class GatewayDrill:
    """One run; each step prints a line, and what is wrong is kept."""

    settings: Settings
    adapter: Adapter
    outgoing: Outgoing
    problems: list[str] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The gateway."""
        return self.adapter.name

    def check_address(self) -> None:
        """Call our own public address as nobody may: without a signature."""
        address = Address.of(self.settings, self.name)
        if not self.adapter.traits.has_reports or address is None:
            why = "it sends none" if self.settings.callback_base_url else "SMS_CALLBACK_BASE_URL is not set"
            self._tell(None if self.name == "log" else f"No report can come back: {why}.", "It sends no reports.")
            return
        url = address.url(self.outgoing.reference)
        caller = HttpCaller(
            concurrency=1,
            connect_seconds=self.settings.connect_timeout_seconds,
            read_seconds=self.settings.read_timeout_seconds,
        )
        answer = caller.call(Request("POST", url, {}, b""))
        caller.close()
        wrong = trials.of_probe(answer, self._shown_address, self.adapter.traits)
        self._tell(wrong, f"{self._shown_address} answers, and refuses what is not signed.")

    def send(self) -> Outcome:
        """Hand the text over, once."""
        began = time.monotonic()
        outcome = self.adapter.send(self.outgoing)
        took = round((time.monotonic() - began) * 1000)
        kind = type(outcome).__name__.lower()
        emit("gateway.drilled", gateway=self.name, reference=self.outgoing.reference, outcome=kind, milliseconds=took)
        self.facts |= {"outcome": kind, "milliseconds": took}
        by = f" under its reference {outcome.reference}" if isinstance(outcome, Sent) and outcome.reference else ""
        self._tell(trials.of_outcome(outcome, self.name), f"{self.name} took the text in {took} ms{by}.")
        return outcome

    def wait_for_report(self, outcome: Outcome, log: "Log", seconds: float) -> None:
        """Wait until the text has ended, or for so long; a report that it is on its way is one, too."""
        if not self.adapter.traits.has_reports:
            return
        began = time.monotonic()
        told = self._reports(outcome)
        while not any(each.state != "sent" for each in told) and time.monotonic() - began < seconds:
            time.sleep(LOOK_SECONDS)
            told = self._reports(outcome)
        if not told:
            refused = log.refused(self.name, self.outgoing.reference)
            self._tell(trials.of_silence(refused, self.name, self._shown_address, seconds), "")
            return
        last = max(told, key=lambda each: (each.state != "sent", each.id))
        self.facts |= {"reported": last.state, "report_seconds": round(time.monotonic() - began, 1)}
        wrong = trials.of_report(last.state, last.code, last.reason, self.name)
        more = f"; the phone did not confirm within {seconds:g} s" if last.state == "sent" else ""
        self._tell(wrong, f"It reports {last.state}, signed as it should be{more}.")

    def ask_again(self, outcome: Outcome, since: datetime) -> None:
        """Ask the gateway about the text, where it can be asked."""
        traits = self.adapter.traits
        if isinstance(self.adapter, LooksUp) and traits.look_up != "none":
            found = self.adapter.look_up(self.outgoing, since)
            is_early = isinstance(found, NotFound) and traits.not_found_after_seconds > 0
            wrong = None if is_early else trials.of_look_up(found, outcome, self.name)
            known = "not shown yet" if is_early else type(found).__name__.lower()
            self._tell(wrong, f"Looked up by {traits.look_up}: {known}.")
        if isinstance(self.adapter, Fetches) and traits.fetch != "none" and isinstance(outcome, Sent):
            state = self.adapter.fetch(outcome.reference)
            self._tell(trials.of_fetch(state), f"Asked by {traits.fetch}: {getattr(state, 'state', '')}.")

    def _reports(self, outcome: Outcome) -> Sequence[DeliveryReport]:
        theirs = (outcome.reference, *outcome.references) if isinstance(outcome, Sent) else ()
        return read(lambda session: reports_of(session, self.name, self.outgoing.reference, theirs))

    @property
    def _shown_address(self) -> str:
        return f"{self.settings.callback_base_url}/callbacks/{self.name}"

    def _tell(self, wrong: str | None, right: str) -> None:
        if wrong:
            self.problems.append(wrong)
        click.echo(f"{'WRONG' if wrong else 'right'}  {wrong or right}")


class Log:
    """What is added to the log file from now on, if it is ours to read."""

    def __init__(self, settings: Settings) -> None:
        self._file = settings.log_file
        self._from = self._file.stat().st_size if self._file.is_file() else 0

    def refused(self, gateway: str, reference: str) -> str:
        """Say why a callback was refused, by its event, for this reference or for none; empty: none is seen."""
        try:
            with self._file.open("rb") as log:
                log.seek(self._from)
                added = log.read(LARGEST_LOG).decode("utf-8", "replace")
        except OSError:
            return ""
        lines = [line for line in added.splitlines() if "callback.refused" in line and gateway in line]
        ours = [
            line for line in lines if reference in line
        ] or lines  # the path of an account's address has no reference
        return next((why for why in ("forged", "unsigned") if any(why in line for line in ours)), "")


def run(chosen: Settings, wish: Wish) -> None:
    """Send one text and follow it; say each thing that is wrong, and end with exit code 1 when there is one."""
    adapter = built(chosen, wish.gateway)
    drill = GatewayDrill(chosen, adapter, _outgoing(chosen, adapter, wish))
    try:
        click.echo(f"right  {adapter.name} has the settings that it needs.{_out_of_use(chosen, adapter.name)}")
        drill.check_address()
        _agree(wish, adapter, drill.outgoing)
        since = clock.now()
        log = Log(chosen)  # a report may come, and be refused, before the answer
        outcome = drill.send()
        if not isinstance(outcome, Rejected | Deferred):
            drill.wait_for_report(outcome, log, wish.seconds)
            drill.ask_again(outcome, since)
    finally:
        adapter.close()
    result = {"gateway": adapter.name, "ok": not drill.problems, "problems": len(drill.problems), **drill.facts}
    click.echo(f"RESULT {json.dumps(result)}")
    if drill.problems:
        raise click.exceptions.Exit(1)


def _outgoing(chosen: Settings, adapter: Adapter, wish: Wish) -> Outgoing:
    size = segments.measure(wish.text)
    if not wish.text.strip() or size.segments != 1:
        raise CannotDrill(f"--text ({size.segments} segments) must fit into one SMS and not be empty")
    to, body = phones.parse(wish.number, "").e164, segments.clean(wish.text)
    reference = f"drill-{token_hex(8)}"
    sender, life = chosen.sender_of(adapter.name), chosen.validity_seconds
    return Outgoing(reference, to, body, size.encoding, 1, sender, life)


def _agree(wish: Wish, adapter: Adapter, outgoing: Outgoing) -> None:
    if not wish.is_agreed and not adapter.traits.is_fake:
        asked = f"Send one real text through {adapter.name} to {phones.mask(outgoing.to)}, at {adapter.name}'s price?"
        click.confirm(asked, abort=True)


def _out_of_use(chosen: Settings, name: str) -> str:
    return "" if name in chosen.gateways_in_use else " No setting sends through it; only a team's own list can."
