"""What gateways call us for: checked, read, written down together, and only then answered."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.core.errors import SmsQueueError
from smsqueue.db import Database
from smsqueue.domain import delivery, inbound
from smsqueue.domain.delivery import Applied
from smsqueue.domain.goodbye import Goodbye
from smsqueue.domain.together import Together
from smsqueue.gateways.base import Adapter, Answers, Callback, Report, Reports, Verdict
from smsqueue.queue.events import emit

__all__ = ["LARGEST_BODY", "Callback", "Hearing", "NoSuchGateway"]

TOGETHER_SECONDS = 0.02
LARGEST_BODY = 64 * 1024
REFERENCE = re.compile(r"[A-Za-z0-9_-]{1,40}")
FORBIDDEN = 403


class NoSuchGateway(SmsQueueError):
    """No gateway of that name calls us."""


@dataclass(frozen=True, slots=True)
class _Told:
    gateway: str
    reports: Sequence[Report]


class Hearing:
    """Hears callbacks for all gateways; made once a process, and used by all of its threads."""

    def __init__(
        self,
        gateways: Callable[[], Mapping[str, Adapter]],
        database: Callable[[], Database],
        goodbye: Goodbye | None = None,
    ) -> None:
        """Ask for gateways and database when the first callback comes."""
        self._goodbye = goodbye
        self._make_gateways, self._make_database = gateways, database
        self._together = Together(self._apply, seconds=TOGETHER_SECONDS)

    def hear(self, gateway: str, callback: Callback) -> tuple[int, str]:
        """Return HTTP status and body to answer with, once what was said is on disk. Raises NoSuchGateway."""
        adapter = self._gateways.get(gateway)
        if adapter is None or not isinstance(adapter, Reports):
            raise NoSuchGateway(f"No gateway {gateway} calls here.")
        verdict = adapter.verify(callback)
        shown = callback.reference if REFERENCE.fullmatch(callback.reference) else "-"
        if verdict is not Verdict.GENUINE:
            emit("callback.refused", gateway=gateway, reference=shown, reason=verdict.value)
            return adapter.traits.unsigned_status if verdict is Verdict.UNSIGNED else FORBIDDEN, ""
        told = adapter.reports(callback)
        text = adapter.inbound(callback)
        if told:
            self._together.do(_Told(gateway, told))
        if text:
            inbound.receive(self._database, gateway, text, now(), self._goodbye)
        if not told and not text:
            emit("callback.unread", gateway=gateway, reference=shown)
        return adapter.answer(callback) if isinstance(adapter, Answers) else (adapter.traits.answer_status, "")

    @cached_property
    def _gateways(self) -> Mapping[str, Adapter]:
        return self._make_gateways()

    @cached_property
    def _database(self) -> Database:
        return self._make_database()

    def _apply(self, all_told: Sequence[_Told]) -> None:
        """Write down what several callbacks told, in one transaction."""
        done: list[Applied] = []

        def write(session: Session) -> None:
            done[:] = []
            for gateway, group in groupby(sorted(all_told, key=lambda told: told.gateway), lambda told: told.gateway):
                reports = [report for told in group for report in told.reports]
                done.append(delivery.apply(session, gateway, reports, now()))

        self._database.write(write)
        for applied in done:
            delivery.follow_up(self._database, applied)
