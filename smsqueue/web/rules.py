"""The rules that hold for the person who is signed in: their team's countries, this installation's prices."""

from flask import current_app

from smsqueue.domain.checking import Rules
from smsqueue.domain.rules import rules_for
from smsqueue.web import access


def current() -> Rules:
    """Return what the signed-in person's messages are checked against."""
    settings = current_app.config["SETTINGS"]
    return rules_for(access.team(), settings.max_segments, settings.credits_per_segment)
