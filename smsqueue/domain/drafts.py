"""Drafts: what a campaign is before it is confirmed. Nothing is charged here, and nothing sent."""

import secrets
from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Session, undefer

from smsqueue.core import phones
from smsqueue.core.clock import now
from smsqueue.core.segments import clean, measure
from smsqueue.db import changed
from smsqueue.domain import optouts, sheets
from smsqueue.domain.checking import Rules, check_text, country_problem
from smsqueue.domain.errors import BadDraft, NotFound
from smsqueue.domain.jobs import CheckRowsJob
from smsqueue.domain.options import Options, of, usual
from smsqueue.domain.sheets import Sheet
from smsqueue.models import Campaign, Kind, Recipient, SkippedRow, Status, Team, Upload, User
from smsqueue.queue.dispatch import enqueue

INLINE_ROWS = 20_000
"""Longer lists are checked by a job."""
LONGEST_NAME = 100
KEPT = timedelta(hours=24)


def save_upload(session: Session, team_id: int, filename: str, content: bytes) -> Upload:
    """Keep a file or a pasted list (which has no name), so that it need not be chosen again."""
    upload = Upload(team_id=team_id, filename=filename[-255:], content=content)
    session.add(upload)
    session.flush()  # the form wants its id
    return upload


def find_upload(session: Session, team_id: int, uuid: UUID) -> Upload:
    """Return a team's upload with its content; raise NotFound."""
    statement = sa.select(Upload).where(Upload.uuid == uuid, Upload.team_id == team_id)
    upload = session.scalars(statement.options(undefer(Upload.content))).first()
    if upload is None:
        raise NotFound("upload")
    return upload


def upload_of(session: Session, campaign: Campaign) -> Upload | None:
    """Return the list that a draft was made from, with its content, while it is kept."""
    if campaign.upload_id is None:
        return None
    return session.get(Upload, campaign.upload_id, options=[undefer(Upload.content)])


def draft_bulk(
    session: Session,
    *,
    user: User,
    name: str,
    text: str,
    upload: Upload,
    sheet: Sheet,
    column: int | None,
    replace: UUID | None,
    rules: Rules,
    options: Options | None = None,
) -> Campaign:
    """Store a draft (in place of the one it replaces) whose rows are to be checked next.

    `sheet` is the upload, read outside of the transaction. Without `options` what was chosen before stays, or the
    team's habits hold. Raises BadDraft and BadText.
    """
    if not name.strip() or len(name.strip()) > LONGEST_NAME:
        raise BadDraft("name", f"Give the campaign a name of at most {LONGEST_NAME} characters.")
    if column is None:
        column = sheets.guess_column(sheet)
    if not 0 <= column < len(sheet.headers):
        raise BadDraft("column", f"Choose one of the {len(sheet.headers)} columns.")
    check_text(text, sheet.headers, rules)
    team = session.get_one(Team, user.team_id)
    campaign = _emptied(session, user, replace)
    options = options or (of(campaign) if campaign else usual(team, Kind.BULK))
    campaign = campaign or Campaign(team_id=user.team_id, user_id=user.id, kind=Kind.BULK, total=0)
    campaign.name, campaign.text = name.strip(), clean(text)
    campaign.upload_id, campaign.column, campaign.rows = upload.id, column, sheet.count
    options.put_on(campaign, team)
    campaign.token = secrets.token_urlsafe(32)  # an older page of this draft confirms nothing any more
    session.add(campaign)
    session.flush()  # the caller wants its id
    return campaign


def queue_check(session: Session, campaign: Campaign) -> None:
    """Have a long list checked by a worker."""
    enqueue(session, CheckRowsJob(campaign_id=campaign.id))


def draft_single(
    session: Session,
    *,
    user: User,
    number: str,
    text: str,
    rules: Rules,
    options: Options | None = None,
    source_row: int = 1,
) -> Campaign:
    """Store a draft of one SMS to one number, checked; raise BadNumber or BadText. The list keeps no last word back."""
    phone = phones.parse(number, rules.country)
    problem = country_problem(phone, rules)
    if problem:
        raise phones.BadNumber(number, "country", phone.shown, problem)
    if source_row != optouts.LAST_WORD and optouts.out_of(session, user.team_id, [phone.e164]):
        raise phones.BadNumber(number, "opted_out", phone.shown, "this number wants no texts of your team")
    check_text(text, [], rules)
    size = measure(clean(text))
    price = size.segments * rules.credits_per_segment
    campaign = _of_one(user, phone, clean(text), size.segments, price)
    team = session.get_one(Team, user.team_id)
    (options or usual(team, Kind.SINGLE)).put_on(campaign, team)
    session.add(campaign)
    session.flush()  # the recipient names it
    to = {"number": phone.e164, "country": phone.country}
    size_of = {"encoding": size.encoding, "segments": size.segments, "price": price}
    session.add(Recipient(campaign_id=campaign.id, row=1, source_row=source_row, **to, **size_of))
    return campaign


def _of_one(user: User, phone: phones.Phone, text: str, segments: int, price: int) -> Campaign:
    return Campaign(
        team_id=user.team_id,
        user_id=user.id,
        kind=Kind.SINGLE,
        name=f"SMS to {phones.mask(phone.e164)}",
        text=text,
        token=secrets.token_urlsafe(32),
        rows=1,
        checked_rows=1,
        checked_at=now(),
        total=1,
        segments=segments,
        price=price,
        countries={phone.country: 1},
    )


def skipped(session: Session, campaign: Campaign, after: int | None, limit: int) -> Sequence[SkippedRow]:
    """Return rows to be mended (neither duplicates nor opted out), by spreadsheet row, from beyond `after`."""
    bad = (SkippedRow.duplicate.is_(False), SkippedRow.opted_out.is_(False), SkippedRow.source_row > (after or 0))
    statement = sa.select(SkippedRow).where(SkippedRow.campaign_id == campaign.id, *bad)
    return session.scalars(statement.order_by(SkippedRow.source_row).limit(limit)).all()


def iter_skipped(session: Session, campaign: Campaign) -> Iterator[SkippedRow]:
    """Yield every row that is not sent to, duplicates and opted out ones too, in the spreadsheet's order."""
    statement = sa.select(SkippedRow).where(SkippedRow.campaign_id == campaign.id).order_by(SkippedRow.source_row)
    yield from session.scalars(statement.execution_options(yield_per=1000))


def forget_rows(session: Session, campaign_id: int) -> None:
    """Delete the checked rows of a draft."""
    session.execute(sa.delete(Recipient).where(Recipient.campaign_id == campaign_id))
    session.execute(sa.delete(SkippedRow).where(SkippedRow.campaign_id == campaign_id))


def discard(session: Session, campaign_id: int) -> bool:
    """Delete a draft with its rows, if it is one when its row is locked; its upload goes with the next purge."""
    draft = sa.select(Campaign.id).where(Campaign.id == campaign_id, Campaign.status == Status.DRAFT)
    if session.scalar(draft.with_for_update()) is None:
        return False
    forget_rows(session, campaign_id)
    session.execute(sa.delete(Campaign).where(Campaign.id == campaign_id))
    return True


def purge_old(session: Session, limit: int = 20) -> int:
    """Delete drafts and uploads that nobody touched for a day; return how many drafts."""
    old = now() - KEPT
    drafts = sa.select(Campaign.id).where(Campaign.status == Status.DRAFT, Campaign.created_at < old).limit(limit)
    discarded = [discard(session, campaign_id) for campaign_id in session.scalars(drafts).all()]
    used = sa.select(Campaign.id).where(Campaign.upload_id == Upload.id).exists()
    changed(session, sa.delete(Upload).where(Upload.created_at < old, ~used))
    return sum(discarded)


def _emptied(session: Session, user: User, uuid: UUID | None) -> Campaign | None:
    """Return the draft to be written over, without its rows; None when there is none (any more)."""
    if uuid is None:
        return None
    mine = (Campaign.uuid == uuid, Campaign.team_id == user.team_id, Campaign.status == Status.DRAFT)
    campaign = session.scalars(sa.select(Campaign).where(*mine, Campaign.kind == Kind.BULK).with_for_update()).first()
    if campaign is None:
        return None
    forget_rows(session, campaign.id)
    campaign.user_id, campaign.created_at = user.id, now()
    campaign.checked_at = campaign.countries = None
    campaign.checked_rows = campaign.bad = campaign.duplicates = campaign.opted_out = 0
    campaign.total = campaign.segments = campaign.price = 0
    return campaign
