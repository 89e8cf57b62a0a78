"""The rules that hold for the person who is signed in: their team's countries, this installation's prices."""

from flask import current_app

from smsqueue.domain.campaigns import Terms
from smsqueue.domain.checking import Rules
from smsqueue.web import access


def current() -> Rules:
    """Return what the signed-in person's messages are checked against."""
    settings, team = current_app.config["SETTINGS"], access.team()
    return Rules(team.country, team.allowed_countries, settings.max_segments, settings.credits_per_segment)


def terms() -> Terms:
    """Return what holds for every campaign that is launched here."""
    settings = current_app.config["SETTINGS"]
    return Terms(settings.validity_seconds, settings.slice_rows, settings.credits_per_segment)
