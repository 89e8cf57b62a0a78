"""A bulk campaign before it is sent: write, check, review, confirm."""

from collections.abc import Iterator
from uuid import UUID

from flask import Blueprint, Response, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from sqlalchemy.orm import Session
from werkzeug.datastructures import MultiDict

from smsqueue.core.errors import SmsQueueError
from smsqueue.db import Database
from smsqueue.domain import campaigns, drafts, reviewing, sheets
from smsqueue.domain.checking import BadText
from smsqueue.domain.errors import BadDraft, NotFound
from smsqueue.domain.options import Options, of
from smsqueue.domain.sheets import BadFile
from smsqueue.extensions import db, write
from smsqueue.models import Campaign, Kind, Status, Upload
from smsqueue.web import access, confirming, options, presenting, rules, typed, uploads, waiting
from smsqueue.web.uploads import CampaignForm

bp = Blueprint("bulk", __name__, url_prefix="/sms/campaigns")
bp.record(presenting.install)
SHOWN_BAD_ROWS = 50


@bp.url_value_preprocessor
def allow_files(_endpoint: str | None, _values: dict[str, object] | None) -> None:
    """Let long lists in: set here, since CSRF protection reads the form before any view does."""
    request.max_content_length = request.max_form_memory_size = uploads.BODY


@bp.get("/new")
@access.member
def new() -> ResponseReturnValue:
    """Show the form, empty or with all that a draft holds."""
    return _form_page(_filled(uploads.as_uuid(request.args.get("draft"))))


@bp.post("/new")
@access.member
def create() -> ResponseReturnValue:
    """Store the draft, check its rows (or queue the check) and go to the review."""
    form = CampaignForm()
    valid = form.validate_on_submit()
    upload = None if form.csrf_token.errors else _take_upload(form)
    chosen = options.chosen(form, access.team(), Kind.BULK)
    if not valid or upload is None or chosen is None:
        return _form_page(form), 422
    try:
        campaign = _store(form, upload, chosen)
    except (BadDraft, BadText, BadFile) as error:
        _note(form, error)
        return _form_page(form), 422
    return redirect(url_for("bulk.review", uuid=campaign.uuid), 303)


@bp.post("/<uuid:uuid>/column")
@access.member
def column(uuid: UUID) -> ResponseReturnValue:
    """Check the same rows again with the numbers taken from another column."""
    try:
        _renew(uuid, request.form.get("column", type=typed.row))
    except (BadDraft, BadText, BadFile) as error:
        flash(str(error), "error")
    return redirect(url_for("bulk.review", uuid=uuid), 303)


@bp.get("/<uuid:uuid>/review")
@access.member
def review(uuid: UUID) -> ResponseReturnValue:
    """Show what will be sent, to how many, for how much; or how far the check is."""
    return _review_page(uuid)


@bp.post("/<uuid:uuid>/confirm")
@access.member
def confirm(uuid: UUID) -> ResponseReturnValue:
    """Charge and queue the campaign, once."""
    return confirming.confirm(uuid, _review_page, _renew)


@bp.post("/<uuid:uuid>/discard")
@access.member
def discard(uuid: UUID) -> ResponseReturnValue:
    """Throw a draft away."""
    team_id = access.current_team_id()
    write(lambda session: campaigns.discard(session, team_id, uuid))
    flash("The draft is discarded. Nothing was sent or charged.", "success")
    return redirect(url_for("campaigns.index"), 303)


@bp.get("/<uuid:uuid>/bad-rows.csv")
@access.member
def bad_rows(uuid: UUID) -> ResponseReturnValue:
    """Download every row that needs fixing, with the reason; or who was merged or has opted out, as the query says."""
    campaign = campaigns.find(db.session(), access.current_team_id(), uuid)
    merged, out = (request.args.get(name) == "1" for name in ("duplicates", "opted_out"))
    answer = Response(_skipped_csv(Database(db.engine), campaign, (merged, out)), mimetype="text/csv")
    filename = "duplicates.csv" if merged else "opted-out.csv" if out else "bad-rows.csv"
    answer.headers["Content-Disposition"] = f"attachment; filename={filename}"
    return answer


def _skipped_csv(database: Database, campaign: Campaign, wanted: tuple[bool, bool]) -> Iterator[str]:
    # A session of its own: the page's is over before the answer begins to flow.
    with database.reading() as session:
        found = drafts.iter_skipped(session, campaign)
        rows = (row for row in found if (row.duplicate, row.opted_out) == wanted)
        yield from uploads.bad_rows_csv(rows)


def _review_page(uuid: UUID, problem: str | None = None) -> confirming.Page:
    campaign = campaigns.find(db.session(), access.current_team_id(), uuid)
    if campaign.status != Status.DRAFT:
        return redirect(url_for("campaigns.show", uuid=uuid), 303)
    if campaign.kind == Kind.SINGLE:
        return redirect(url_for("compose.review", uuid=uuid), 303)
    if campaign.checked_at is None:
        return render_template(
            "campaigns/checking.html", campaign=campaign, why=waiting.why_check(db.session(), campaign)
        )
    upload = drafts.upload_of(db.session(), campaign)
    sheet, same = uploads.understood(upload), confirming.same_today(campaign)
    return render_template(
        "campaigns/review.html",
        campaign=campaign,
        upload=upload,
        columns=sheet.headers if sheet else [],
        described=uploads.described(sheet) if sheet else "",
        quote=reviewing.quote(db.session(), campaign),
        bad_rows=drafts.skipped(db.session(), campaign, None, SHOWN_BAD_ROWS),
        problem=problem,
        chosen=options.told(campaign, access.team(), rules.terms().validity_seconds),
        same=same,
        form=confirming.form_for(campaign, same),
    )


def _draft(uuid: UUID) -> Campaign:
    campaign = campaigns.find(db.session(), access.current_team_id(), uuid)
    if campaign.status != Status.DRAFT or campaign.kind != Kind.BULK:
        raise NotFound("draft")
    return campaign


def _filled(draft: UUID | None) -> CampaignForm:
    if draft is None:
        return CampaignForm(MultiDict())
    campaign = _draft(draft)
    upload = drafts.upload_of(db.session(), campaign)
    form = CampaignForm(MultiDict(), name=campaign.name, text=campaign.text, draft=str(draft), column=campaign.column)
    options.fill(form, of(campaign), access.team())
    if upload is not None:
        form.upload.data = str(upload.uuid)
        form.pasted.data = "" if upload.filename else upload.content.decode()
    return form


def _form_page(form: CampaignForm) -> str:
    upload = uploads.kept(access.current_team_id(), form.upload.data)
    sheet = uploads.offer(form, upload)
    return render_template(
        "campaigns/new.html",
        form=form,
        upload=upload,
        sheet=uploads.described(sheet) if sheet else "could not be read",
        choose=bool(upload and upload.filename and form.pasted.data),
        largest=sheets.MAX_BYTES,
        rules=rules.current(),
        **options.context(form, access.team(), Kind.BULK),
    )


def _take_upload(form: CampaignForm) -> Upload | None:
    try:
        return uploads.take(form, access.current_team_id())
    except (BadDraft, BadFile) as error:
        _note(form, error)
        return None


def _store(form: CampaignForm, upload: Upload, chosen: Options | None) -> Campaign:
    """Store the draft and have its rows checked: here when they are few, else by a job."""
    user, sheet, limits = access.user(), sheets.read(upload.content), rules.current()

    def keep(session: Session) -> Campaign:
        campaign = drafts.draft_bulk(
            session,
            user=user,
            name=form.name.data,
            text=form.text.data,
            upload=upload,
            sheet=sheet,
            column=form.column.data,
            replace=uploads.as_uuid(form.draft.data),
            rules=limits,
            options=chosen,
        )
        if campaign.rows > drafts.INLINE_ROWS:
            drafts.queue_check(session, campaign)
        return campaign

    campaign = write(keep)
    if campaign.rows <= drafts.INLINE_ROWS:
        reviewing.check_rows(Database(db.engine), campaign.id, limits)
    db.session.rollback()  # what this request has read on the way is the past
    return campaign


def _renew(uuid: UUID, column: int | None = None) -> Campaign:
    """Check a draft's kept list again, from another column or at another price."""
    campaign = _draft(uuid)
    upload = drafts.upload_of(db.session(), campaign)
    if upload is None:
        raise NotFound("upload")
    form = CampaignForm(MultiDict(), name=campaign.name, text=campaign.text, draft=str(uuid))
    form.column.data = campaign.column if column is None else column
    return _store(form, upload, None)


def _note(form: CampaignForm, error: SmsQueueError) -> None:
    """Put an error at the field it speaks of."""
    name = "text" if isinstance(error, BadText) else getattr(error, "field", "recipients")
    if name not in form:
        name = "pasted" if form.pasted.data and not form.file.data else "file"
    field = form[name]
    field.errors = [*field.errors, str(error)]
