"""Sending again: those of a campaign who were surely not accepted, or the whole of it as a new draft."""

from uuid import UUID

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from wtforms import StringField

from smsqueue.domain import again, campaigns, cloning, credits, limits
from smsqueue.domain.again import NothingToRetry, Offer, OfferChanged
from smsqueue.domain.campaigns import OwnerDisabled
from smsqueue.domain.errors import BadDraft, NotEnoughCredits
from smsqueue.domain.limits import OverCap
from smsqueue.extensions import db, write
from smsqueue.models import Kind, Status
from smsqueue.web import access, presenting, rules, typed

bp = Blueprint("again", __name__, url_prefix="/sms/campaigns")
bp.record(presenting.install)


class RetryForm(FlaskForm):  # type: ignore[misc]  # the library has no types
    """Asks for the number of recipients, where that is many."""

    typed = StringField("Number of recipients")


@bp.get("/<uuid:uuid>/retry")
@access.member
def ask(uuid: UUID) -> ResponseReturnValue:
    """Show to how many a retry would send, for how much, and who is left out."""
    campaign = campaigns.find(db.session(), access.current_team_id(), uuid)
    if campaign.status == Status.DRAFT:
        return redirect(url_for("bulk.review", uuid=uuid))
    return _page(uuid, RetryForm())


@bp.post("/<uuid:uuid>/retry")
@access.member
def retry(uuid: UUID) -> ResponseReturnValue:
    """Send again to those who were shown, at the price that was shown."""
    team_id, user_id, terms = access.current_team_id(), access.user().id, rules.terms()
    count, price = (request.form.get(name, 0, type=typed.whole) for name in ("count", "price"))
    form, shown = RetryForm(), Offer(count, price)
    try:
        limits.check_typed_count(access.team(), shown.count, form.typed.data or "")
        sent = write(lambda session: again.retry(session, team_id, uuid, terms, user_id=user_id, shown=shown))
    except BadDraft as error:
        form.typed.errors = [str(error)]
        return _page(uuid, form), 422
    except (NotEnoughCredits, OfferChanged, OverCap) as error:
        return _page(uuid, form, str(error)), 422
    except (NothingToRetry, OwnerDisabled) as error:
        flash(str(error), "info")
    else:
        flash(f"{presenting.plural(sent.count, 'message')} will be sent again.", "success")
    return redirect(url_for("campaigns.show", uuid=uuid), 303)


@bp.post("/<uuid:uuid>/clone")
@access.member
def clone(uuid: UUID) -> ResponseReturnValue:
    """Write the campaign down once more, as a draft to look at."""
    team_id, user, limits = access.current_team_id(), access.user(), rules.current()
    try:
        draft = write(lambda session: cloning.clone(session, team_id, uuid, user, limits))
    except cloning.NothingToClone as error:
        flash(str(error), "info")
        return redirect(url_for("campaigns.show", uuid=uuid), 303)
    flash("This is a copy. Nothing is sent or charged until you confirm it.", "success")
    review = "compose.review" if draft.kind == Kind.SINGLE else "bulk.review"
    return redirect(url_for(review, uuid=draft.uuid), 303)


def _page(uuid: UUID, form: RetryForm, problem: str | None = None) -> str:
    session, team_id = db.session(), access.current_team_id()
    campaign = campaigns.find(session, team_id, uuid)
    balance = credits.balance(session, team_id)
    offer = again.offer(session, campaign)
    form.typed.flags.required = bool(offer and limits.must_type_count(access.team(), offer.count))
    return render_template(
        "campaigns/retry.html", campaign=campaign, offer=offer, balance=balance, problem=problem, form=form
    )
