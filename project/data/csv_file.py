"""CSV files as tables: read as they are meant, or refused with the row and the way out.

All values are texts. The csv module reads every row, so that no row is repaired in silence: pandas
fills up short rows, takes a field too many as an index and numbers repeated names.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd

from project.data.csv_quotes import row_with_others
from project.data.file_bytes import utf8_bytes
from project.support.errors import AssayError

_SEPARATORS = (",", ";", "\t", "|")
_ROWS_COMPARED = 50  # to find the separator
# Excel leaves out the separators of empty cells at the end of rows, in whole blocks of 16 rows.
_EXCEL_BLOCK = 16
_LONE_RETURN = re.compile(rb"\r(?!\n)")


class _Form(NamedTuple):
    """How the cells of a file are set apart: their separator and the meaning of quotes."""

    separator: str
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL


def read_csv(path: Path, header: Sequence[str] | None = None) -> pd.DataFrame:
    """The table in a CSV file; all values are texts, and only empty cells are null.

    The separator is a comma, a semicolon, a tab or a bar. Where lines end in a line feed, a
    carriage return alone belongs to the text.

    Parameters
    ----------
    path
        The file.
    header
        Names of the columns, for a file without a header.

    Raises
    ------
    AssayError
        For a row with more or fewer fields than the header, repeated names, and quotes that do
        not close.
    """
    data = utf8_bytes(path)
    data, stand_in = _without_lone_returns(data)
    data, separator = without_excel_hint(data)
    form = _Form(separator or find_separator(data, header))
    rows, is_wrong = _rows(data, form)
    if is_wrong or (form.separator == "\t" and b'"' in data):
        rows = _checked_quotes(path, data, form, rows, is_wrong=is_wrong)
    names = list(header) if header else [name.strip() for name in (rows.pop(0) if rows else [])]
    if not names:
        raise AssayError(f"data file {path.name} must hold rows; it is empty. Name another file.")
    if not rows:
        raise AssayError(
            f"data file {path.name} must hold rows; it has only a header. Name another file."
        )
    if stand_in:
        rows = [[cell.replace(stand_in, "\r") for cell in row] for row in rows]
        names = [name.replace(stand_in, "\r") for name in names]
    check_names(path, names)
    _check_lengths(path, rows, len(names), form.separator, has_header=header is None)
    merged = row_with_others(rows, len(names), form.separator)
    if merged is not None:
        raise wrong_quote(path, merged + 1, form.separator)
    names = [name or f"Unnamed: {index}" for index, name in enumerate(names)]
    return _table(rows, names)


def _table(rows: list[list[str]], names: list[str]) -> pd.DataFrame:
    """The rows as a table; an empty cell, or one that a short row lacks, is null."""
    columns = {
        name: pd.Series(
            [(row[index] or None) if index < len(row) else None for row in rows], dtype="str"
        )
        for index, name in enumerate(names)
    }
    return pd.DataFrame(columns)


def _without_lone_returns(data: bytes) -> tuple[bytes, str]:
    """The data with another character for carriage returns inside texts, and that character.

    Where the first line ends in a carriage return alone, it is the end of all lines.
    """
    first_end = re.search(rb"\r\n|\n|\r", data)
    if first_end is None or first_end[0] == b"\r" or not _LONE_RETURN.search(data):
        return data, ""
    # Some character of the private use area does not occur.
    stand_in = next(
        character for character in map(chr, range(0xE000, 0xF8FF)) if character.encode() not in data
    )
    return _LONE_RETURN.sub(stand_in.encode(), data), stand_in


def without_excel_hint(data: bytes) -> tuple[bytes, str]:
    """The data without a first line such as ``sep=;``, and the separator that it names, if any."""
    hint = re.match(rb"sep=([^\r\n])\r?\n", data)
    return (data[hint.end() :], hint[1].decode()) if hint else (data, "")


def find_separator(data: bytes, header: Sequence[str] | None) -> str:
    """The separator that fits the header and the first rows best; a comma if none occurs."""
    best = (False, False, 1)
    found = ","
    for separator in _SEPARATORS:
        rows = []
        for row in _records(data, _Form(separator), strict=False):
            rows.append(row)
            if len(rows) == _ROWS_COMPARED:
                break
        n_fields = len(rows[0]) if rows else 1
        is_even = all(len(row) == n_fields for row in rows)
        fit = (header is not None and n_fields == len(header), is_even, n_fields)
        if n_fields > 1 and fit > best:
            best = fit
            found = separator
    return found


def _records(data: bytes, form: _Form, *, strict: bool) -> Iterator[list[str]]:
    """The records of the data without blank lines; raises csv.Error for wrong quotes if strict."""
    # By default the csv module refuses fields of more than 131,072 characters.
    limit = csv.field_size_limit(sys.maxsize)
    try:
        lines = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")
        reader = csv.reader(lines, delimiter=form.separator, quoting=form.quoting, strict=strict)
        for row in reader:
            is_blank = not row or (len(row) == 1 and row[0].isspace())
            if not is_blank:
                yield row
    finally:
        csv.field_size_limit(limit)


def _rows(data: bytes, form: _Form) -> tuple[list[list[str]], bool]:
    """All records, and whether the quotes of the next one are wrong, which ends the list."""
    rows: list[list[str]] = []
    try:
        for row in _records(data, form, strict=True):
            rows.append(row)
    except csv.Error:
        return rows, True
    return rows, False


def _checked_quotes(
    path: Path, data: bytes, form: _Form, rows: list[list[str]], *, is_wrong: bool
) -> list[list[str]]:
    """The records, with quotes as plain characters where they cannot be those of CSV.

    Files separated by tabs often hold texts that begin with a quote and are not quoted.
    """
    plain, _ = _rows(data, form._replace(quoting=csv.QUOTE_NONE))
    # Each line is a row of its own with all fields; lines of a quoted text seldom are.
    is_even = len({len(row) for row in plain}) == 1 and len(plain[0]) > 1
    if not is_wrong and not (is_even and len(plain) > len(rows)):
        return rows
    cells = (cell for row in plain for cell in row if len(cell) > 1 and cell.startswith('"'))
    if is_even and not any(cell.endswith('"') or '""' in cell for cell in cells):
        return plain
    if is_wrong:
        number = len(rows)  # the header is a record, too
    else:
        number = next(index for index, row in enumerate(rows) if any("\n" in cell for cell in row))
    raise wrong_quote(path, number, form.separator)


def wrong_quote(path: Path, number: int, separator: str) -> AssayError:
    """The error for a quote in row ``number`` that does not close."""
    return AssayError(
        f"data file {path.name}: row {number} has a quote that does not close before the next "
        f"{separator!r}, or a text with quotes inside. Write each quote inside a quoted text "
        "twice, and run again."
    )


def check_names(path: Path, names: Sequence[str]) -> None:
    """Raise AssayError if two columns have the same name."""
    repeated = [name for index, name in enumerate(names) if name and name in names[:index]]
    if repeated:
        raise AssayError(
            f"data file {path.name} must name every column once; it has {repeated[0]!r} twice. "
            "Rename one of them."
        )


def _check_lengths(
    path: Path, rows: Sequence[Sequence[str]], n_columns: int, separator: str, *, has_header: bool
) -> None:
    """Raise AssayError for the first row with more fields than the header, or with fewer.

    Empty fields at the end may be too many, and where a spreadsheet leaves them out, too few.
    Where rows end in an empty field, one more of them may be the field that a text has moved.
    """
    first = int(has_header)
    ends_empty = any(len(row) == n_columns and not row[-1] for row in rows)
    full_blocks = {
        (index + first) // _EXCEL_BLOCK for index, row in enumerate(rows) if len(row) >= n_columns
    }
    if has_header:
        full_blocks.add(0)
    for index, row in enumerate(rows):
        is_moved = ends_empty and row[n_columns - 1 : n_columns] != [""]
        has_more = len(row) > n_columns and (is_moved or any(row[n_columns:]))
        has_fewer = len(row) < n_columns and (index + first) // _EXCEL_BLOCK in full_blocks
        if has_more:
            raise _wrong_length(
                path, index, row, n_columns, f"the separator {separator!r} without quotes"
            )
        if has_fewer:
            raise _wrong_length(path, index, row, n_columns, "a line break without quotes")


def _wrong_length(
    path: Path, index: int, row: Sequence[str], n_columns: int, cause: str
) -> AssayError:
    return AssayError(
        f"data file {path.name}: row {index + 1} has {len(row)} fields, and the header "
        f"{n_columns}. A text may hold {cause}. Quote such texts and run again. The row begins "
        f"with {row[0][:40]!r}."
    )
