"""The one step that costs something: the same for a single SMS and for a campaign."""

from collections.abc import Callable
from uuid import UUID

from flask import redirect, render_template, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import HiddenField

from smsqueue.domain import campaigns
from smsqueue.domain.campaigns import NotChecked, NothingToSend, OwnerDisabled, PriceChanged, WrongToken
from smsqueue.domain.errors import NotEnoughCredits
from smsqueue.extensions import write
from smsqueue.models import Campaign
from smsqueue.web import access, rules

Page = str | Response
STALE = "This page was open for too long. Nothing was sent or charged: please look at it again, then press Send."


class ConfirmForm(FlaskForm):  # type: ignore[misc]  # the library has no types
    """Carries the draft's own token: whoever posts it launches the campaign, once."""

    token = HiddenField()


def confirm(uuid: UUID, review: Callable[[UUID, str], Page], renew: Callable[[UUID], Campaign]) -> ResponseReturnValue:
    """Launch the draft and go to its page; a second post of the same token goes there too.

    `renew` checks a draft again whose price is not what it was, so that its review shows the new one.
    """
    form = ConfirmForm()
    if not form.validate_on_submit():
        return _again(review(uuid, STALE), 400)
    team_id, token, terms = access.current_team_id(), form.token.data or "", rules.terms()
    try:
        write(lambda session: campaigns.launch(session, team_id, uuid, token, terms))
    except WrongToken as error:
        return render_template("campaigns/conflict.html", uuid=uuid, problem=str(error)), 409
    except PriceChanged as error:
        return _again(review(renew(uuid).uuid, str(error)), 422)
    except (NotEnoughCredits, NothingToSend, NotChecked, OwnerDisabled) as error:
        return _again(review(uuid, str(error)), 422)
    return redirect(url_for("campaigns.show", uuid=uuid), 303)


def _again(page: Page, code: int) -> ResponseReturnValue:
    """Show the review with what went wrong; where there is none any more, go where it leads."""
    return page if isinstance(page, Response) else (page, code)
