"""Where a bulk campaign's recipients come from: a chosen file, pasted rows, or what was kept from before."""

from collections.abc import Iterable, Iterator
from contextlib import closing
from uuid import UUID

from wtforms import FileField, HiddenField, RadioField, SelectChoice, SelectField, StringField, TextAreaField
from wtforms.validators import DataRequired, Length, Optional

from smsqueue.core import cells
from smsqueue.domain import drafts, sheets
from smsqueue.domain.errors import BadDraft, NotFound
from smsqueue.domain.sheets import BadFile, Sheet
from smsqueue.extensions import db, write
from smsqueue.models import SkippedRow, Upload
from smsqueue.web.options import OptionsForm

LARGEST = 10 * 1024 * 1024
BODY = 32 * 1024 * 1024
"""What a request may carry: more than the largest file, so that one a little too big gets a sentence, not an error."""
FILE, PASTED = "file", "pasted"
SOURCES = [SelectChoice(FILE, "The file"), SelectChoice(PASTED, "The pasted numbers")]


def as_uuid(typed: str | None) -> UUID | None:
    """Read a hidden field's id; what somebody has bent counts as not given."""
    try:
        return UUID(typed or "")
    except ValueError:
        return None


def as_index(typed: object) -> int | None:
    """Read a column's index; what is not one counts as not given."""
    return int(str(typed)) if str(typed).isdecimal() else None


class CampaignForm(OptionsForm):
    """Everything a bulk campaign needs before its rows are checked."""

    name = StringField(
        "Name",
        [
            DataRequired("Give the campaign a name, so that you find it again"),
            Length(max=100, message="Use at most 100 characters for the name"),
        ],
    )
    text = TextAreaField("Text", [DataRequired("Write the text to send")])
    file = FileField("Choose a file")
    pasted = TextAreaField("Or paste numbers")
    use = RadioField("Which recipients?", [Optional()], choices=SOURCES)
    column = SelectField("Column with the numbers", coerce=as_index, choices=[], validate_choice=False)
    upload = HiddenField()
    draft = HiddenField()


def kept(team_id: int, typed: str | None) -> Upload | None:
    """Find the upload that a hidden field names, if it is still there and this team's."""
    uuid = as_uuid(typed)
    if uuid is None:
        return None
    try:
        return drafts.find_upload(db.session(), team_id, uuid)
    except NotFound:
        return None


def understood(upload: Upload | None) -> Sheet | None:
    """Read a kept upload, to say how it was understood; one that cannot be read has been complained of already."""
    try:
        return sheets.read(upload.content) if upload else None
    except BadFile:
        return None


def described(sheet: Sheet) -> str:
    """Say how a list was read: "2,000 rows, read as UTF-8, separator ;"."""
    separator = {"\t": "tab", ",": "comma"}.get(sheet.delimiter, sheet.delimiter)
    rows = "1 row" if sheet.count == 1 else f"{sheet.count:,} rows"
    return f"{rows}, read as {sheet.encoding.upper()}" + (f", separator {separator}" if len(sheet.headers) > 1 else "")


def offer(form: CampaignForm, upload: Upload | None) -> Sheet | None:
    """Make the form show what is kept: the file's name and, when there are several columns, which to choose from."""
    sheet = understood(upload)
    if upload and upload.filename:
        form.file.label.text = "Choose another file"
    if sheet and len(sheet.headers) > 1:
        form.column.choices = [SelectChoice(index, name) for index, name in enumerate(sheet.headers)]
        if form.column.data is None:
            form.column.data = sheets.guess_column(sheet)
    return sheet


def take(form: CampaignForm, team_id: int) -> Upload:
    """Return the upload that the form means, stored; raise BadDraft or BadFile when there is none or two."""
    before = kept(team_id, form.upload.data)
    if form.file.data and form.file.data.filename:
        with closing(form.file.data) as chosen:
            before = _store(form, team_id, chosen.filename, chosen.read())
    pasted = form.pasted.data.strip() if form.pasted.data else ""
    named = before if before and before.filename else None
    if named and pasted and form.use.data not in (FILE, PASTED):
        raise BadDraft("use", "There is a file and there are pasted numbers. Choose which of the two to send to")
    if pasted and (named is None or form.use.data == PASTED):
        return _store_pasted(form, team_id, pasted, before)
    if named is None:
        raise BadDraft("recipients", "Choose a file with the recipients, or paste their numbers")
    return named


def _store_pasted(form: CampaignForm, team_id: int, pasted: str, before: Upload | None) -> Upload:
    content = pasted.encode()
    if before and not before.filename and before.content == content:
        return before  # unchanged, and so is the chosen column
    return _store(form, team_id, "", content)


def _store(form: CampaignForm, team_id: int, filename: str, content: bytes) -> Upload:
    form.column.data = form.column.raw_data = None  # it was another list's column
    upload = write(lambda session: drafts.save_upload(session, team_id, filename, content))
    form.upload.data = str(upload.uuid)
    return upload


def bad_rows_csv(rows: Iterable[SkippedRow]) -> Iterator[str]:
    """Write the rows that need mending as CSV that Excel reads and cannot be made to calculate."""
    yield cells.BOM
    yield cells.line("Row", "Recipient as typed", "What to do")
    for row in rows:
        yield cells.line(row.source_row, cells.harmless(row.cell), cells.harmless(row.problem))
