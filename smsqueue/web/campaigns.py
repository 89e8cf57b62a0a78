"""Campaigns on their way and afterwards: the list, a campaign's page, its poll, pausing, resuming, cancelling."""

import hashlib
import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session

from smsqueue.core.clock import now
from smsqueue.domain import again, campaigns, first_ten, pausing, progress, roll, surroundings
from smsqueue.domain.surroundings import Place
from smsqueue.domain.why import as_json
from smsqueue.extensions import db, write
from smsqueue.models import Campaign, State, Status, User
from smsqueue.web import access, presenting, typed, waiting

bp = Blueprint("campaigns", __name__, url_prefix="/sms/campaigns")
bp.record(presenting.install)
PAGE = 50
POLL_MS = 3000
PATIENT_POLL_MS = 10_000
"""How often a page asks about a campaign that only waits for its time, or for a person."""
PATIENT = (Status.SCHEDULED, Status.PAUSED)
RUNNING = (Status.PENDING, Status.PROCESSING)


@bp.get("")
@access.member
def index() -> ResponseReturnValue:
    """List the team's campaigns, newest first."""
    before = request.args.get("before", type=typed.whole)
    found = campaigns.listing(db.session(), access.current_team_id(), before, PAGE + 1)
    older = found[PAGE - 1].id if len(found) > PAGE else None
    return render_template(
        "campaigns/index.html",
        campaigns=found[:PAGE],
        older=older,
        before=before,
        people=_people(),
        waits=waiting.why_campaigns(
            db.session(), [each for each in found if each.status == Status.PROCESSING and not each.sending]
        ),
    )


@bp.get("/<uuid:uuid>")
@access.member
def show(uuid: UUID) -> ResponseReturnValue:
    """Show how far a campaign is, what it cost, and its recipients."""
    campaign, place = surroundings.find(db.session(), access.current_team_id(), uuid, now())
    if campaign.status == Status.DRAFT:
        return redirect(url_for("bulk.review", uuid=uuid))
    state, number = _chosen_state(), request.args.get("number", "")[:20]
    after = request.args.get("after", 0, type=typed.row)
    found = roll.page(db.session(), campaign, state=state, number=number, after=after, limit=PAGE + 1)
    live = _live(campaign, place)
    return render_template(
        "campaigns/show.html",
        entries=roll.entries(db.session(), campaign, found[:PAGE], live["why"], now()),
        next_after=found[PAGE - 1].row if len(found) > PAGE else None,
        after=after,
        number=number,
        again=again.glance(db.session(), campaign),
        **live,
    )


@bp.get("/<uuid:uuid>/status")
@access.member
@access.poll
def status(uuid: UUID) -> ResponseReturnValue:
    """Answer the page's poll: the numbers, the changed parts of the page, and when to ask again."""
    campaign, place = surroundings.find(db.session(), access.current_team_id(), uuid, now())
    facts = _checking_facts(campaign) if campaign.status == Status.DRAFT else _sending_facts(campaign, place)
    version = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    answer = Response(json.dumps({**facts, "v": version}), mimetype="application/json")
    answer.set_etag(version)
    return answer.make_conditional(request)


@bp.post("/<uuid:uuid>/cancel")
@access.member
def cancel(uuid: UUID) -> ResponseReturnValue:
    """Stop a campaign: what has not left is not sent and is credited back."""
    team_id, email = access.current_team_id(), access.user().email
    said = "The campaign is cancelled. What had not left is credited back."
    return _done(uuid, lambda session: campaigns.cancel(session, team_id, uuid, by=email), said)


@bp.post("/<uuid:uuid>/pause")
@access.member
def pause(uuid: UUID) -> ResponseReturnValue:
    """Let nothing more of a campaign be sent until somebody resumes it."""
    team_id, email = access.current_team_id(), access.user().email
    said = "The campaign is paused. What is with the gateway at this moment is still recorded."
    return _done(uuid, lambda session: pausing.pause(session, team_id, uuid, by=email), said)


@bp.post("/<uuid:uuid>/resume")
@access.member
def resume(uuid: UUID) -> ResponseReturnValue:
    """Let a paused campaign go on where it stopped."""
    team_id, email = access.current_team_id(), access.user().email
    said = "The campaign goes on where it stopped."
    return _done(uuid, lambda session: pausing.resume(session, team_id, uuid, by=email), said)


@bp.post("/<uuid:uuid>/send-rest")
@access.member
def send_rest(uuid: UUID) -> ResponseReturnValue:
    """Send what waits for the first ten, whatever they have told."""
    team_id = access.current_team_id()
    said = "The rest is sent, too."
    return _done(uuid, lambda session: campaigns.send_rest(session, team_id, uuid), said)


def _done(uuid: UUID, use_case: Callable[[Session], object], said: str) -> ResponseReturnValue:
    try:
        write(use_case)
        flash(said, "success")
    except (campaigns.NotRunning, campaigns.NotWaiting, pausing.NotPausable, pausing.NotPaused) as error:
        flash(str(error), "info")
    return redirect(url_for("campaigns.show", uuid=uuid), 303)


def is_over(campaign: Campaign) -> bool:
    """Say whether nothing about this campaign's sending will change any more."""
    return campaign.finished_at is not None


def _people() -> dict[int, str]:
    """Return the addresses of the team's people by id."""
    mine = sa.select(User.id, User.email).where(User.team_id == access.current_team_id())
    return {row.id: row.email for row in db.session.execute(mine)}


def _chosen_state() -> str | None:
    wanted = request.args.get("state")
    return wanted if wanted in set(State) else None


def _live(campaign: Campaign, place: Place) -> dict[str, Any]:
    """Gather what the page and its poll show of a campaign."""
    why = waiting.why_campaign(db.session(), campaign, place)
    return {
        "campaign": campaign,
        "has_rest_waiting": first_ten.is_waiting(campaign) and campaign.status in RUNNING,
        "summary": progress.summary(campaign),
        "pace": progress.pace(campaign, now(), is_moving=why is None or why.is_moving, lately=place.lately),
        "over": is_over(campaign),
        "why": why,
        "state": _chosen_state(),
        "seen": request.args.get("seen", campaign.done, type=typed.whole),
    }


def _sending_facts(campaign: Campaign, place: Place) -> dict[str, Any]:
    live = _live(campaign, place)
    over = live["over"]
    return {
        **live["summary"],
        "rate": live["pace"].rate,
        "eta": live["pace"].eta_seconds,
        "stop": over,
        "next_ms": 0 if over else PATIENT_POLL_MS if campaign.status in PATIENT else POLL_MS,
        "why": as_json(live["why"]),
        "percent": presenting.percent(campaign),
        "state": presenting.standing_word(campaign, live["why"]).word.lower(),
        "say": presenting.sentence(campaign, live["why"]),
        "html": {name: render_template(f"campaigns/_{name}.html", **live) for name in ("live", "actions", "newer")},
    }


def _checking_facts(campaign: Campaign) -> dict[str, Any]:
    over = campaign.checked_at is not None
    percent = 100 if over else min(99, campaign.checked_rows * 100 // max(campaign.rows, 1))
    why = None if over else waiting.why_check(db.session(), campaign)
    return {
        **progress.summary(campaign),
        "rate": None,
        "eta": None,
        "stop": over,
        "next_ms": 0 if over else POLL_MS,
        "percent": percent,
        "state": "checked" if over else "checking",
        "say": f"{campaign.checked_rows:,} of {campaign.rows:,} rows checked",
        "html": {"checking": render_template("campaigns/_checking.html", campaign=campaign, why=why)},
    }
