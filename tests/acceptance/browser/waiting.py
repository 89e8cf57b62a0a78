"""Campaigns in the showroom that wait for their time, a person or their first ten; and one that these stopped."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

from smsqueue.core.clock import now
from smsqueue.domain import holding_back
from smsqueue.models import Status


class Showroom(Protocol):
    """What is painted on."""

    def paint(self, name: str, title: str, status: Status, counts: Mapping[str, int], error: str | None = None) -> None:
        """Make a campaign look as if it had come so far."""

    def change(self, name: str, **values: Any) -> None:
        """Change a campaign behind the program's back."""

    def put_off(self, name: str, until: datetime, code: str, error: str) -> None:
        """Let all of a campaign that are not sent yet wait for a time."""


def paint_waiting(showroom: Showroom) -> None:
    """Paint one campaign for each thing that a campaign itself can wait for."""
    showroom.paint("scheduled", "Easter sale", Status.SCHEDULED, {"queued": 60})
    at = now() + timedelta(days=9)
    showroom.change("scheduled", started_at=None, scheduled_for=at, time_zone="Europe/Paris")
    showroom.paint("paused", "Whitsun sale", Status.PAUSED, {"queued": 35, "sending": 2, "sent": 23})
    showroom.change("paused", paused_at=now() - timedelta(minutes=2))
    showroom.paint("first ten", "Mail order", Status.PROCESSING, {"unknown": 10, "queued": 50})
    showroom.change("first ten", first_ten=True)
    showroom.paint("waiting", "Advent sale", Status.PROCESSING, {"queued": 30, "sent": 30})
    showroom.paint("night", "Lent sale", Status.PROCESSING, {"queued": 30, "sent": 30})
    showroom.put_off(
        "night",
        now() + timedelta(hours=5),
        holding_back.NIGHT,
        "It is night in United States: waits for 08:00-21:00 there.",
    )
    reason = "8 of 10 refused: sender name not allowed. Stopped, 50 untouched, nothing charged for them."
    showroom.paint("stopped", "Sender unknown", Status.FAILED, {"failed": 8, "sent": 2, "cancelled": 50}, error=reason)
