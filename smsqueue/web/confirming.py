"""The one step that costs something: the same for a single SMS and for a campaign."""

from collections.abc import Callable
from uuid import UUID

from flask import redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import BooleanField, HiddenField, StringField

from smsqueue.core.clock import now
from smsqueue.domain import campaigns, limits
from smsqueue.domain.campaigns import NotChecked, NothingToSend, OwnerDisabled, PriceChanged, WrongToken
from smsqueue.domain.errors import BadDraft, NotEnoughCredits
from smsqueue.domain.limits import Refused
from smsqueue.extensions import db, write
from smsqueue.models import Campaign, Kind, Status
from smsqueue.web import access, rules

Page = str | Response
ASKING = ("bulk.confirm", "compose.confirm")
STALE = "This page was open for too long. Nothing was sent or charged: please look at it again, then press Send."


class ConfirmForm(FlaskForm):  # type: ignore[misc]  # the library has no types
    """Carries the draft's own token: whoever posts it launches the campaign, once."""

    token = HiddenField()
    count = StringField("Number of recipients")
    again = BooleanField("Yes, send it to them again")


def form_for(campaign: Campaign, same: Campaign | None = None) -> ConfirmForm:
    """Return the form of a draft's review: what was typed stays, and what is missing stands at its field."""
    form = ConfirmForm(request.form if request.method == "POST" else None)
    form.token.data, form.token.raw_data = campaign.token, None
    team = access.team()
    form.count.flags.required = limits.must_type_count(team, campaign.total)
    if request.method != "POST" or request.endpoint not in ASKING:
        return form
    try:
        limits.check_typed_count(team, campaign.total, form.count.data or "")
    except BadDraft as error:
        form.count.errors = [str(error)]
    if same is not None and not form.again.data:
        form.again.errors = ["The same text went to the same list already: say that they shall get it again."]
    return form


def same_today(campaign: Campaign) -> Campaign | None:
    """Return what went to the same list with the same text lately."""
    return limits.same_as_today(db.session(), campaign, now()) if campaign.kind == Kind.BULK else None


def confirm(
    uuid: UUID, review: Callable[[UUID, str | None], Page], renew: Callable[[UUID], Campaign]
) -> ResponseReturnValue:
    """Launch the draft and go to its page; a second post of the same token goes there too.

    `renew` checks a draft again whose price is not what it was, so that its review shows the new one.
    """
    form = ConfirmForm()
    if not form.validate_on_submit():
        return _again(review(uuid, STALE), 400)
    team_id, token, terms = access.current_team_id(), form.token.data or "", rules.terms()
    if _has_questions(campaigns.find(db.session(), team_id, uuid), token):
        return _again(review(uuid, None), 422)
    try:
        write(lambda session: campaigns.launch(session, team_id, uuid, token, terms))
    except WrongToken as error:
        return render_template("campaigns/conflict.html", uuid=uuid, problem=str(error)), 409
    except PriceChanged as error:
        return _again(review(renew(uuid).uuid, str(error)), 422)
    except (NotEnoughCredits, NothingToSend, NotChecked, OwnerDisabled, Refused) as error:
        return _again(review(uuid, str(error)), 422)
    return redirect(url_for("campaigns.show", uuid=uuid), 303)


def _has_questions(campaign: Campaign, token: str) -> bool:
    """Say whether something that only a person can answer is not answered yet."""
    if campaign.status != Status.DRAFT or campaign.token != token:
        return False
    return bool(form_for(campaign, same_today(campaign)).errors)


def _again(page: Page, code: int) -> ResponseReturnValue:
    """Show the review with what went wrong; where there is none any more, go where it leads."""
    return page if isinstance(page, Response) else (page, code)
