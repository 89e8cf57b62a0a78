"""How the queues and their workers are: for operators, as a page and as JSON; they can pause a queue here."""

from dataclasses import asdict
from typing import Any

from flask import Blueprint, current_app, flash, jsonify, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import SelectChoice, SelectField, StringField
from wtforms.validators import AnyOf, DataRequired, Length

from smsqueue.domain.gateway_lines import judge, lines
from smsqueue.domain.jobs import QUEUES
from smsqueue.extensions import db, write
from smsqueue.queue import control, history, monitor
from smsqueue.queue.control import EVERY
from smsqueue.web import access

bp = Blueprint("queue_status", __name__)
NEXT_MS = 5000
NAMES = {EVERY: "All queues"} | {name: name for name in QUEUES}
LENGTHS = {
    "900": "15 minutes",
    "1800": "30 minutes",
    "3600": "1 hour",
    "86400": "1 day",
    "": "Until somebody resumes it",
}


class PauseForm(FlaskForm):  # type: ignore[misc]  # the library has no types
    """Which queue is paused, for how long and why."""

    queue = SelectField("Queue", choices=[SelectChoice(*each) for each in NAMES.items()])
    seconds = SelectField("For", choices=[SelectChoice(*each) for each in LENGTHS.items()], default="1800")
    reason = StringField(
        "Reason",
        [DataRequired("Say why: people who wait read it"), Length(max=200, message="Use at most 200 characters")],
    )


class ResumeForm(FlaskForm):  # type: ignore[misc]  # the library has no types
    """Whose pause is ended."""

    queue = StringField(validators=[AnyOf([EVERY, *QUEUES])])


@bp.get("/sms/queue/status")
@access.operator
def show() -> ResponseReturnValue:
    """Show health in words, the queues and the workers."""
    facts = _facts()
    if request.args.get("format") == "json" or access.wants_json():
        more = {
            "history": [asdict(pace) for pace in facts["paces"]],
            "gateways": [asdict(g) for g in facts["gateways"]],
        }
        return jsonify({**facts["status"].as_dict(), **more})
    return _page(PauseForm(), facts)


@bp.get("/sms/queue/status/poll")
@access.operator
@access.poll
def poll() -> ResponseReturnValue:
    """Give the changing part of the page to the script that keeps it fresh."""
    fragment = render_template("queue_status/_status.html", **_facts())
    return jsonify(v=0, stop=False, next_ms=NEXT_MS, html={"queue-status": fragment})


@bp.post("/sms/queue/pause")
@access.operator
def pause() -> ResponseReturnValue:
    """Let no worker take jobs of a queue, for a while or until it is resumed."""
    form = PauseForm()
    if not form.validate_on_submit():
        return _page(form, _facts()), 422
    seconds = float(form.seconds.data) if form.seconds.data else None
    facts = {"seconds": seconds, "reason": form.reason.data, "author": access.user().email}
    write(lambda session: control.pause(session, form.queue.data, **facts))
    flash("Paused. What runs is finished.", "success")
    return redirect(url_for("queue_status.show"), 303)


@bp.post("/sms/queue/resume")
@access.operator
def resume() -> ResponseReturnValue:
    """End a pause; that of all queues ends every other one, too."""
    form = ResumeForm()
    if not form.validate_on_submit():
        return _page(PauseForm(None), _facts()), 422
    author = access.user().email
    ended = write(lambda session: control.resume(session, form.queue.data, author=author))
    flash("Resumed." if ended else "It was not paused any more.", "success")
    return redirect(url_for("queue_status.show"), 303)


def _facts() -> dict[str, Any]:
    session = db.session()
    names = current_app.config["SETTINGS"].gateways_in_use
    status = judge(session, monitor.status(session, QUEUES), names)
    return {"status": status, "paces": history.paces(session), "gateways": lines(session, names)}


def _page(form: PauseForm, facts: dict[str, Any]) -> str:
    return render_template("queue_status/show.html", form=form, every=EVERY, **facts)


@bp.app_template_filter("ago")
def duration(seconds: float | None) -> str:
    """Say how long, roughly: "3 s", "6 min", "2 h"; a dash for None."""
    if seconds is None:
        return "–"
    for limit, divisor, unit in ((90, 1, "s"), (5400, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / divisor:,.0f} {unit}"
    return f"{seconds / 86_400:,.0f} days"


@bp.app_template_filter("briefly")
def brief(seconds: float) -> str:
    """Say a short time to the millisecond where it matters: "4 ms", "1.5 s"."""
    if seconds < 1:
        return f"{seconds * 1000:,.0f} ms"
    return f"{seconds:.1f} s" if seconds < 10 else duration(seconds)
