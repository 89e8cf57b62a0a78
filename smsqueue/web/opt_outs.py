"""The team's list of those who want no more texts: who is on it and why, put on and taken off by hand."""

from flask import Blueprint, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from sqlalchemy.orm import Session
from wtforms import HiddenField, StringField
from wtforms.validators import DataRequired, Length

from smsqueue.core.phones import BadNumber, Phone, describe, parse
from smsqueue.domain import optouts
from smsqueue.extensions import db, write
from smsqueue.web import access, presenting, typed

bp = Blueprint("opt_outs", __name__, url_prefix="/opt-outs")
bp.record(presenting.install)
PAGE = 50


class AddForm(FlaskForm):  # type: ignore[misc]  # the library has no types
    """A number, and how it is known that it wants no more."""

    number = StringField("Phone number", [DataRequired("Enter the phone number that wants no more texts")])
    note = StringField("Note", [Length(max=200, message="A note has at most 200 characters")])


class RemoveForm(FlaskForm):  # type: ignore[misc]  # the library has no types
    """A number of the list, and why it may be texted again."""

    number = HiddenField()
    reason = StringField("Why may it be texted again?", [DataRequired("Say why this number may be texted again")])


@bp.get("")
@access.member
def index() -> ResponseReturnValue:
    """Show a page of the list, all or what is searched for."""
    return _page(AddForm(formdata=None))


@bp.post("")
@access.member
def add() -> ResponseReturnValue:
    """Put a number on the list."""
    form = AddForm()
    if not form.validate_on_submit():
        return _page(form), 422
    try:
        phone = _phone(form.number.data)
    except BadNumber as error:
        form.number.errors = [str(error)]
        return _page(form), 422
    team_id, user_id, note = access.current_team_id(), access.user().id, (form.note.data or "").strip()
    pairs = {(team_id, phone.e164)}
    write(lambda session: optouts.add_all(session, pairs, source=optouts.PERSON, note=note, user_id=user_id))
    flash(f"{describe(phone.e164)} gets no more texts of your team.", "success")
    return redirect(url_for("opt_outs.index"), 303)


@bp.post("/remove")
@access.member
def remove() -> ResponseReturnValue:
    """Take a number off the list, with a reason for the log."""
    form = RemoveForm()
    if not form.validate_on_submit():
        return _page(AddForm(formdata=None), form), 422
    number, reason = str(form.number.data), str(form.reason.data).strip()
    pairs, user_id = {(access.current_team_id(), number)}, access.user().id

    def take_off(session: Session) -> int:
        return optouts.remove_all(session, pairs, reason=reason, user_id=user_id)

    if write(take_off):
        flash(f"{describe(number)} may be texted again.", "success")
    else:
        flash("That number was not on the list any more.", "info")
    search, page = _place()
    return redirect(url_for("opt_outs.index", search=search or None, page=page if page > 1 else None), 303)


def _phone(typed: str | None) -> Phone:
    return parse((typed or "").strip(), access.team().country)


def _place() -> tuple[str, int]:
    """Return what is searched for, and the page: by its count, since an address holds no numbers of people."""
    return request.values.get("search", "").strip(), max(1, request.values.get("page", 1, type=typed.row))


def _page(form: AddForm, removal: RemoveForm | None = None) -> str:
    session, team_id = db.session(), access.current_team_id()
    search, page = _place()
    found = optouts.listing(session, team_id, search=search, skip=(page - 1) * PAGE, limit=PAGE + 1)
    return render_template(
        "opt_outs/index.html",
        form=form,
        removal=removal or RemoveForm(formdata=None),
        entries=found[:PAGE],
        people=optouts.people(session, found),
        count=optouts.count(session, team_id),
        search=search,
        page=page,
        more=len(found) > PAGE,
    )
