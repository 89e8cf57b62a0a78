"""How the queues and their workers are: for operators, as a page and as JSON."""

from flask import Blueprint, jsonify, render_template, request
from flask.typing import ResponseReturnValue

from smsqueue.extensions import db
from smsqueue.queue import monitor
from smsqueue.web import access

bp = Blueprint("queue_status", __name__)
QUEUES = ("sms", "notifications", "default")
NEXT_MS = 5000


@bp.get("/sms/queue/status")
@access.operator
def show() -> ResponseReturnValue:
    """Show health in words, the queues and the workers."""
    status = monitor.status(db.session(), QUEUES)
    if request.args.get("format") == "json" or access.wants_json():
        return jsonify(status.as_dict())
    return render_template("queue_status/show.html", status=status)


@bp.get("/sms/queue/status/poll")
@access.operator
@access.poll
def poll() -> ResponseReturnValue:
    """Give the changing part of the page to the script that keeps it fresh."""
    status = monitor.status(db.session(), QUEUES)
    fragment = render_template("queue_status/_status.html", status=status)
    return jsonify(v=0, stop=False, next_ms=NEXT_MS, html={"queue-status": fragment})


@bp.app_template_filter("ago")
def duration(seconds: float | None) -> str:
    """Say how long, roughly: "3 s", "6 min", "2 h"; a dash for None."""
    if seconds is None:
        return "–"
    for limit, divisor, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:,.0f} {unit}"
    return f"{seconds / 86_400:,.0f} days"
