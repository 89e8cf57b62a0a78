"""Messages of which nobody can tell whether they were sent: what is known of them, and what people decide."""

from collections.abc import Callable
from uuid import UUID

from flask import Blueprint, Flask, abort, current_app, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from smsqueue.config import Settings
from smsqueue.domain import campaigns, unknowns
from smsqueue.domain.looking_up import Askable
from smsqueue.domain.reopening import StillOpen
from smsqueue.domain.resolving import Terms
from smsqueue.domain.unknowns import Choice, Decision, Extent, Facts
from smsqueue.extensions import database, db, write
from smsqueue.models import Campaign
from smsqueue.web import access, presenting, typed

bp = Blueprint("unknowns", __name__, url_prefix="/sms/unknown")
bp.record(presenting.install)
PAGE = 50
ASKABLE = "smsqueue.askable"
GONE = "Nothing was left to decide: it became known meanwhile."
DONE = {
    Decision.SENT: "{} counted as sent and paid for.",
    Decision.AGAIN: "{} will be sent again.",
    Decision.NOT_SENT: "{} counted as not sent and credited back.",
}


@bp.get("")
@access.member
def index() -> ResponseReturnValue:
    """List the campaigns that have unknown messages, newest first."""
    before = request.args.get("before", type=typed.whole)
    found = unknowns.campaigns(db.session(), access.current_team_id(), before, PAGE + 1)
    older = found[PAGE - 1].id if len(found) > PAGE else None
    return render_template("unknowns/index.html", shown=found[:PAGE], older=older, before=before)


@bp.get("/<uuid:uuid>")
@access.member
def show(uuid: UUID) -> ResponseReturnValue:
    """List a campaign's unknown messages, to decide about some or all of them."""
    campaign = campaigns.find(db.session(), access.current_team_id(), uuid)
    after = request.args.get("after", 0, type=typed.row)
    found = unknowns.listing(db.session(), [Choice(campaign.id)], (campaign.id, after), PAGE + 1)
    more = found[PAGE - 1].row if len(found) > PAGE else None
    facts = facts_of(campaign)
    return render_template(
        "unknowns/show.html", campaign=campaign, facts=facts, rows=found[:PAGE], after=after, more=more
    )


@bp.post("/<uuid:uuid>")
@access.member
def decide(uuid: UUID) -> ResponseReturnValue:
    """Do what was decided; what cannot be undone is asked about first, with what it risks."""
    campaign = campaigns.find(db.session(), access.current_team_id(), uuid)
    decision, choice = _decision(), _choice(campaign)
    if choice.rows == ():
        flash("Choose at least one message, or all of them.", "warning")
    elif decision is Decision.ASK:
        count = write(lambda session: unknowns.ask_again(session, choice))
        flash(f"The gateway is asked about {presenting.plural(count, 'message')}. Look again in a moment.", "info")
    elif question := _question(campaign, choice, decision):
        return question
    return redirect(url_for("unknowns.show", uuid=uuid), 303)


def facts_of(campaign: Campaign) -> Facts:
    """Sum up a campaign's unknown messages."""
    return unknowns.facts(db.session(), campaign, _terms())


def can_be_asked(facts: Facts) -> bool:
    """Say whether the gateways of these messages can be asked about them."""
    askable: Callable[[], Askable] = current_app.extensions[ASKABLE]
    known = askable()
    return bool(facts.gateways & known.by_look_up or (facts.may_repeat and facts.gateways & known.by_repeat))


def count() -> int:
    """Count the team's unknown messages, for the menu."""
    return unknowns.count(db.session(), access.current_team_id())


def install(app: Flask, askable: Callable[[], Askable]) -> None:
    """Tell pages which gateways can be asked, and give the templates what the box and the menu show."""
    app.extensions[ASKABLE] = askable
    app.jinja_env.globals.update(unknown_facts=facts_of, can_be_asked=can_be_asked, unknown_count=count)


def _question(campaign: Campaign, choice: Choice, decision: Decision) -> ResponseReturnValue | None:
    """Ask whether that is meant, or do it where the answer is here and is about these very messages."""
    extent, is_sure = unknowns.extent(db.session(), choice), request.form.get("sure") == "yes"
    if not extent.count:
        flash(GONE, "info")
        return None
    if is_sure and extent == _shown():
        _do(choice, decision)
        return None
    values = {"facts": facts_of(campaign), "decision": decision, "rows": choice.rows, "extent": extent}
    return render_template("unknowns/sure.html", campaign=campaign, changed=is_sure, **values), 422 if is_sure else 200


def _shown() -> Extent:
    return Extent(request.form.get("count", 0, type=int), request.form.get("total", 0, type=int))


def _do(choice: Choice, decision: Decision) -> None:
    write(lambda _: None)  # refuses a page that was open for too long, and lets go of what was read
    try:
        done = unknowns.decide(database(), choice, decision, _terms(), by=access.user().email)
    except (unknowns.TooEarly, StillOpen) as error:
        flash(str(error), "warning")
        return
    if done:
        flash(DONE[decision].format(presenting.plural(done, "message")), "success")
    else:
        flash(GONE, "info")


def _decision() -> Decision:
    wanted = request.form.get("what", "")
    return Decision(wanted) if wanted in set(Decision) else abort(400)


def _choice(campaign: Campaign) -> Choice:
    if request.form.get("which") == "all":
        return Choice(campaign.id)
    rows = request.form.getlist("row", type=typed.row)[:PAGE]
    return Choice(campaign.id, tuple(rows))


def _terms() -> Terms:
    chosen: Settings = current_app.config["SETTINGS"]
    return Terms.of(chosen)
