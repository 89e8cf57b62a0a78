import csv
import io
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsqueue.domain import sheets
from smsqueue.domain.sheets import MAX_BYTES, MAX_ROWS, BadFile, Row

ONE, TWO = "+44 7400 123456", "+44 7400 123457"


def read(text, encoding="utf-8"):
    return sheets.read(text.encode(encoding))


def cells(sheet):
    return [row.cells for row in sheet.rows]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_every_usual_encoding_and_separator_is_found(delimiter, encoding):
    text = "\r\n".join(delimiter.join(row) for row in (["name", "phone"], ["Zoë", ONE], ["José", TWO])) + "\r\n"

    sheet = read(text, encoding)

    assert sheet.headers == ["name", "phone"]
    assert cells(sheet) == [["Zoë", ONE], ["José", TWO]]
    assert sheet.delimiter == delimiter
    assert sheet.encoding == encoding.removesuffix("-sig") if encoding != "utf-16" else "utf-16-le"


@st.composite
def tables(draw):
    """A table as spreadsheets write them: headings, and in each row a number somewhere among awkward cells."""
    width = draw(st.integers(2, 5))
    column = draw(st.integers(0, width - 1))
    pieces = st.sampled_from([*"abéü ,;\t|\"'\n-", "\r\n"])
    awkward = st.lists(pieces, max_size=12).map("".join)
    rows = draw(st.lists(st.lists(awkward, min_size=width, max_size=width), min_size=1, max_size=20))
    for index, row in enumerate(rows):
        row[column] = f"+44 7400 {index:06}"
    return [f"heading {'abcde'[index]}" for index in range(width)], rows


@given(
    tables(),
    st.sampled_from(",;\t|"),
    st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
)
def test_what_was_written_is_read(table, delimiter, encoding, end, quoting):
    headers, rows = table
    written = io.StringIO(newline="")
    csv.writer(written, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows([headers, *rows])

    sheet = read(written.getvalue(), encoding)

    assert sheet.headers == headers
    assert cells(sheet) == rows
    assert sheet.count == len(rows)


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused_with_a_sentence(content):
    try:
        answer = str(sheets.read(content).count)
    except BadFile as error:
        answer = str(error)

    assert answer.isdigit() or len(answer) > 20


@given(st.text(st.sampled_from("ab1+0\"',;\t|\n\r "), max_size=80))
def test_any_text_is_read_with_as_many_rows_as_announced_or_refused(text):
    try:
        sheet = read(text)
    except BadFile:
        return

    rows = list(sheet.rows)

    assert len(rows) == sheet.count > 0
    assert all(len(row.cells) >= len(sheet.headers) for row in rows if sheet.has_header)
    assert [row.number for row in rows] == sorted({row.number for row in rows})
    assert 0 <= sheets.guess_column(sheet) < max(len(row.cells) for row in rows)


def test_rows_have_the_numbers_that_a_spreadsheet_shows():
    text = f'phone,note\n{ONE},"two\nlines"\n\n,,\n{TWO},x\n'

    assert list(read(text).rows) == [Row(2, [ONE, "two\nlines"]), Row(5, [TWO, "x"])]


def test_a_list_can_be_read_again_and_again():
    sheet = read(f"{ONE}\n{TWO}\n")

    assert cells(sheet) == cells(sheet) == [[ONE], [TWO]]


def test_ragged_rows_are_filled_or_kept():
    sheet = read(f"phone,name\n{ONE}\n{TWO},Zoë,more,and more\n")

    assert cells(sheet) == [[ONE, ""], [TWO, "Zoë", "more", "and more"]]


def test_a_first_row_with_a_number_is_data_and_the_columns_get_letters():
    sheet = read(f"Zoë,{ONE}\nJosé,{TWO},x\n")

    assert (sheet.has_header, sheet.headers) == (False, ["Column A", "Column B", "Column C"])
    assert sheet.count == 2


@pytest.mark.parametrize("first", ["0740", "07400 12E456", "4.47E+11", "+44 74OO 123456", "mobile,07400123456"])
def test_a_mistyped_number_does_not_vanish_as_a_heading(first):
    assert read(f"{first}\n{ONE}\n").count == 2


def test_headings_may_hold_years():
    assert read(f"phone,2024,2025\n{ONE},1,2\n").has_header


@pytest.mark.parametrize(
    "text",
    [
        f"{ONE}\n{TWO}",
        f"{ONE}\r{TWO}\r",
        f"{ONE}, {TWO}",
        f"{ONE};{TWO};",
        f"{ONE}\t{TWO}",
        f'"{ONE}", "{TWO}"',
        f"  {ONE}   {TWO}\n",
        f"\n\n{ONE},{TWO}\n",
    ],
)
def test_pasted_numbers_are_a_list_whatever_stands_between_them(text):
    assert cells(read(text)) == [[ONE], [TWO]]


def test_pasted_numbers_without_blanks_may_be_separated_by_blanks():
    assert cells(read("07400123456 07400123457 0740")) == [["07400123456"], ["07400123457"], ["0740"]]


def test_one_number_with_blanks_in_it_is_one_number():
    assert cells(read("07400 123456")) == [["07400 123456"]]


def test_excels_own_separator_line_is_obeyed_and_not_counted():
    sheet = read(f"sep=;\r\nname;phone\r\na,b;{ONE}\r\n")

    assert list(sheet.rows) == [Row(2, ["a,b", ONE])]


@pytest.mark.parametrize(
    ("content", "code", "sentence"),
    [
        (b"", "empty", "the file or list is empty"),
        (b" \r\n\n\t\n", "empty", "the file or list is empty"),
        (b"\xef\xbb\xbf", "empty", "the file or list is empty"),
        (b",,\n;;\n", "only_headings", "was read as headings: add recipients below it"),
        (b"phone,name\n", "only_headings", "“phone, name”, holds no telephone number"),
        (b"PK\x03\x04\x14\x00\x06\x00", "binary", "This is a workbook (XLSX, ODS) or a ZIP archive"),
        (b"PK\x03\x04" + b"\0" * MAX_BYTES, "binary", "save it as CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "binary", "an old Excel workbook (XLS)"),
        (b"%PDF-1.7\n", "binary", "a PDF document"),
        (b"\x89PNG\r\n", "binary", "a picture"),
        (bytes(range(1, 32)) * 10, "binary", "save the list as CSV"),
        (b"\x81\x8d\n", "unreadable", "save it as “CSV UTF-8”"),
        (b"\xff\xfea", "unreadable", "can't be read"),
        (f"phone\n{ONE}\n{TWO}\0\n".encode(), "nul", "Line 3 contains a NUL character"),
        (f"phone\n{ONE}\n{TWO}\0\n".encode("utf-16"), "nul", "Line 3 contains a NUL character"),
        (b"a" * (MAX_BYTES + 1), "too_big", "The file has 10,485,761 bytes; at most 10,485,760 (10 MiB)"),
        (b"0740\n" * (MAX_ROWS + 1), "too_many_rows", "The list has 100,001 rows; at most 100,000"),
        (b"0740012345," * (MAX_ROWS + 1), "too_many_rows", "The list has 100,001 rows"),
        (f'phone,x\n{ONE},"a\n{TWO},b\n'.encode(), "unclosed_quote", "A quotation mark in row 2 is never closed"),
        (f'phone\n{ONE}\n"{"x" * 200_000}\n'.encode(), "long_cell", "A cell in row 3 is too long"),
    ],
)
def test_a_bad_file_is_refused_with_what_to_do(content, code, sentence):
    with pytest.raises(BadFile) as caught:
        sheets.read(content)

    assert caught.value.code == code
    assert sentence in str(caught.value)


def test_limits_themselves_are_allowed():
    assert read("phone\n" + "0740012345\n" * MAX_ROWS).count == MAX_ROWS
    assert sheets.read(f"phone\n{ONE}\n".encode().ljust(MAX_BYTES, b"\n")).count == 1


@pytest.mark.parametrize(
    ("text", "column"),
    [
        (f"name,phone\nx,{ONE}\n", 1),
        (f"Nom;Numéro de téléphone\nx;{ONE}\n", 1),
        ("Téléphone fixe,Téléphone portable\n01 12 34 56 78,06 12 34 56 78\n", 1),
        (f"order number,who\n12345678,{ONE}\n", 0),
        (f"id,created,who\n1,2026-11-25,{ONE}\n", 2),
        (f"created,who\n25/11/2026,{ONE}\n", 1),
        (f"x,y,z\na,b,{ONE}\na,{ONE},{TWO}\n", 2),
        (f"phone model,number\nX200,{ONE}\n", 1),
        (f"Имя;Телефон\nИван;{ONE}\n", 1),
        (f"名前,電話番号\nx,{ONE}\n", 1),
        ("name,mobile_number\nx,4.47E+11\n", 1),
        ("a,b\nc,d\n", 0),
    ],
)
def test_the_column_of_the_numbers_is_guessed(text, column):
    assert sheets.guess_column(read(text)) == column


def test_a_column_is_found_by_its_heading():
    assert sheets.find_column(read(f"Name,Phone\nx,{ONE}\n"), " phone ") == 1


def test_a_missing_column_is_named_with_those_there_are():
    with pytest.raises(BadFile, match="There is no column “mobile”; the columns are: name, phone"):
        sheets.find_column(read(f"name,phone\nx,{ONE}\n"), "mobile")


def test_a_heading_that_stands_twice_cannot_be_chosen_by_name():
    with pytest.raises(BadFile, match="2 columns are called “phone”"):
        sheets.find_column(read(f"phone,Phone\n{ONE},{TWO}\n"), "phone")


def test_a_big_list_is_never_in_memory_as_a_whole():
    content = ("phone,name\n" + "+44 7400 123456,Somebody with a name\n" * MAX_ROWS).encode()
    tracemalloc.start()

    total = sum(len(row.cells) for row in sheets.read(content).rows)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert total == 2 * MAX_ROWS
    assert peak < 2 * 1024 * 1024
