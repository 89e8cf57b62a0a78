"""One SMS to one person: write, look at it, send."""

from contextlib import suppress
from uuid import UUID

from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict
from wtforms import HiddenField, StringField, TextAreaField
from wtforms.validators import DataRequired

from smsqueue.core.phones import BadNumber
from smsqueue.domain import campaigns, drafts, reviewing
from smsqueue.domain.checking import BadText
from smsqueue.domain.errors import NotFound
from smsqueue.domain.options import Options, of
from smsqueue.extensions import db, write
from smsqueue.models import Campaign, Kind, Recipient, Status
from smsqueue.web import access, confirming, options, presenting, rules, uploads

bp = Blueprint("compose", __name__, url_prefix="/sms/send")
bp.record(presenting.install)


class SingleForm(options.OptionsForm):
    """A number and a text, and when to send it."""

    number = StringField("Phone number", [DataRequired("Enter the phone number to send to")])
    text = TextAreaField("Text", [DataRequired("Write the text to send")])
    draft = HiddenField()


@bp.get("")
@access.member
def single() -> ResponseReturnValue:
    """Show the form, empty or with what a draft holds."""
    uuid = uploads.as_uuid(request.args.get("draft"))
    if uuid is None:
        return _form_page(SingleForm(MultiDict()))
    campaign, recipient = _draft(uuid)
    form = SingleForm(MultiDict(), number=recipient.number, text=campaign.text, draft=str(uuid))
    options.fill(form, of(campaign), access.team())
    return _form_page(form)


@bp.post("")
@access.member
def create() -> ResponseReturnValue:
    """Check number and text, store the draft and go to its review."""
    form = SingleForm()
    valid = form.validate_on_submit()
    chosen = options.chosen(form, access.team(), Kind.SINGLE)
    if not valid or chosen is None:
        return _form_page(form), 422
    try:
        campaign = _store(form.number.data, form.text.data, uploads.as_uuid(form.draft.data), chosen)
    except BadNumber as error:
        form.number.errors = [str(error)]
        return _form_page(form), 422
    except BadText as error:
        form.text.errors = [str(error)]
        return _form_page(form), 422
    return redirect(url_for("compose.review", uuid=campaign.uuid), 303)


@bp.get("/<uuid:uuid>")
@access.member
def review(uuid: UUID) -> ResponseReturnValue:
    """Show the real text, the number as understood, the price and the balance after."""
    return _review_page(uuid)


@bp.post("/<uuid:uuid>/confirm")
@access.member
def confirm(uuid: UUID) -> ResponseReturnValue:
    """Charge and queue the SMS, once."""
    return confirming.confirm(uuid, _review_page, _renew)


def _renew(uuid: UUID) -> Campaign:
    campaign, recipient = _draft(uuid)
    return _store(recipient.number, campaign.text, uuid, of(campaign))


def _store(number: str, text: str, before: UUID | None, chosen: Options) -> Campaign:
    """Store the draft in place of the one that was being changed."""
    user, limits = access.user(), rules.current()

    def keep(session: Session) -> Campaign:
        with suppress(NotFound):
            if before is not None:
                campaigns.discard(session, user.team_id, before)
        return drafts.draft_single(session, user=user, number=number, text=text, rules=limits, options=chosen)

    campaign = write(keep)
    db.session.rollback()  # what this request has read on the way is the past
    return campaign


def _draft(uuid: UUID) -> tuple[Campaign, Recipient]:
    campaign = campaigns.find(db.session(), access.current_team_id(), uuid)
    if campaign.status != Status.DRAFT or campaign.kind != Kind.SINGLE:
        raise NotFound("draft")
    return campaign, campaigns.recipients(db.session(), campaign, state=None, limit=1)[0]


def _form_page(form: SingleForm) -> str:
    known = options.context(form, access.team(), Kind.SINGLE)
    return render_template("compose/single.html", form=form, rules=rules.current(), **known)


def _review_page(uuid: UUID, problem: str | None = None) -> confirming.Page:
    campaign = campaigns.find(db.session(), access.current_team_id(), uuid)
    if campaign.status != Status.DRAFT:
        return redirect(url_for("campaigns.show", uuid=uuid), 303)
    campaign, recipient = _draft(uuid)
    return render_template(
        "compose/review.html",
        campaign=campaign,
        recipient=recipient,
        quote=reviewing.quote(db.session(), campaign),
        problem=problem,
        chosen=options.told(campaign, access.team(), rules.terms().validity_seconds),
        form=confirming.form_for(campaign),
    )
