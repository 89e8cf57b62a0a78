"""The rules that hold for the person who is signed in: their team's countries, this installation's prices."""

from flask import current_app

from smsqueue.domain.campaigns import Terms
from smsqueue.domain.checking import Rules
from smsqueue.domain.rules import rules_for
from smsqueue.web import access


def current() -> Rules:
    """Return what the signed-in person's messages are checked against."""
    settings = current_app.config["SETTINGS"]
    return rules_for(
        access.team(), max_segments=settings.max_segments, credits_per_segment=settings.credits_per_segment
    )


def terms() -> Terms:
    """Return what holds for every campaign that is launched here."""
    settings = current_app.config["SETTINGS"]
    return Terms(settings.validity_seconds, settings.slice_rows, settings.credits_per_segment)
