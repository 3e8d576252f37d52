"""CSV and JSON-lines files of any size, read row by row."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple, cast

from project.data.csv_file import check_names, find_separator, without_excel_hint, wrong_quote
from project.data.csv_quotes import row_with_others
from project.data.file_bytes import MARKS
from project.data.json_file import json_object, read_json_lines
from project.support.errors import AssayError

_HEAD = 1 << 18  # bytes that show the encoding, the separator and the ends of lines
_CHECKED_TOGETHER = 4096  # rows
_LONE_RETURN = "\ufdd0"  # no character of Unicode; stands for a carriage return inside a text


class CsvForm(NamedTuple):
    """How the rows of a CSV file are written."""

    separator: str
    quoting: Literal[0, 3]
    encoding: str


def json_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The objects of a file of JSON lines; a file that is one JSON array is read as a whole."""
    raw = _head(path)
    if raw.lstrip(codecs.BOM_UTF8 + b" \t\r\n").startswith(b"["):
        table = read_json_lines(path).astype(object)
        records: list[dict[str, Any]] = table.where(table.notna(), None).to_dict("records")
        yield from records
        return
    for number, line in enumerate(_lines(path, _encoding(raw), newline=None), 1):
        if line.strip():
            yield json_object(line.encode("utf-8", "surrogatepass"), number, path)


def csv_form(path: Path) -> CsvForm:
    """How a CSV file is written, from its beginning; a tab file may need a look at all rows."""
    raw = _head(path)
    encoding = _encoding(raw)
    text = raw.decode(encoding, errors="ignore")
    head = text.rpartition("\n")[0] or text
    data, separator = without_excel_hint(head.encode())
    form = CsvForm(separator or find_separator(data, None), csv.QUOTE_MINIMAL, encoding)
    if form.separator != "\t":
        return form
    plain = form._replace(quoting=csv.QUOTE_NONE)
    n_plain, is_even = _count(path, plain)
    n_quoted, _ = _count(path, form)
    # Texts that begin with a quote and are not quoted: each line is a row with all fields.
    return plain if is_even and n_plain > n_quoted else form


def csv_rows(path: Path, form: CsvForm) -> Iterator[dict[str, str | None]]:
    """The rows of a CSV file by column; all values are texts, and only empty cells are null.

    Raises
    ------
    AssayError
        For repeated names of columns, and at the first row with more or fewer fields than the
        header or with wrong quotes.
    """
    records = _records(path, form, strict=True)
    names = [name.strip() for name in next(records, [])]
    check_names(path, names)
    names = [name or f"Unnamed: {index}" for index, name in enumerate(names)]
    together: list[list[str]] = []
    for number, row in enumerate(records, 1):
        cells = row[: len(names)]
        if len(row) < len(names) or any(row[len(names) :]):
            raise AssayError(
                f"data file {path.name}: row {number} has {len(row)} fields, and the header "
                f"{len(names)}. A text may hold the separator {form.separator!r} or a line break "
                f"without quotes. Quote such texts and run again. The row begins with "
                f"{row[0][:40]!r}."
            )
        together.append(cells)
        if len(together) == _CHECKED_TOGETHER:
            _check_swallowed(path, together, number, form)
            together = []
        yield {name: cell or None for name, cell in zip(names, cells, strict=True)}
    _check_swallowed(path, together, number if together else 0, form)


def _check_swallowed(path: Path, rows: list[list[str]], last: int, form: CsvForm) -> None:
    """Raise AssayError if a cell of the rows, which end with row ``last``, holds other rows."""
    merged = row_with_others(rows, len(rows[0]), form.separator) if rows else None
    if merged is not None:
        raise wrong_quote(path, last - len(rows) + merged + 1, form.separator)


def _count(path: Path, form: CsvForm) -> tuple[int, bool]:
    """How many records a file has, and whether all have the same number of fields, above 1."""
    lengths: set[int] = set()
    n = 0
    for n, row in enumerate(_records(path, form, strict=False), 1):  # noqa: B007
        lengths.add(len(row))
    return n, len(lengths) == 1 and max(lengths) > 1


def _records(path: Path, form: CsvForm, *, strict: bool) -> Iterator[list[str]]:
    """The records of a CSV file without blank lines and without Excel's line ``sep=``."""
    limit = csv.field_size_limit(sys.maxsize)
    number = 0
    try:
        lines = _csv_lines(path, form)
        reader = csv.reader(lines, delimiter=form.separator, quoting=form.quoting, strict=strict)
        for row in reader:
            if not row or (len(row) == 1 and row[0].isspace()):
                continue
            yield [cell.replace(_LONE_RETURN, "\r") for cell in row]
            number += 1
    except csv.Error:
        raise wrong_quote(path, number, form.separator) from None
    finally:
        csv.field_size_limit(limit)


def _csv_lines(path: Path, form: CsvForm) -> Iterator[str]:
    """The lines of a CSV file; a carriage return inside one gets a stand-in."""
    head = _head(path)
    newline = "\r" if b"\r" in head and b"\n" not in head else "\n"
    for index, line in enumerate(_lines(path, form.encoding, newline=newline)):
        if not index and line.startswith("sep=") and len(line.rstrip("\r\n")) == len("sep=,"):
            continue
        body = line.rstrip("\r\n")
        end = line[len(body) :]
        yield (body.replace("\r", _LONE_RETURN) if "\r" in body else body) + end


def _lines(path: Path, encoding: str, *, newline: str | None) -> Iterator[str]:
    """The lines of a text file; AssayError for another encoding and for NUL characters."""
    with _open(path) as binary:
        text = io.TextIOWrapper(binary, encoding=encoding, newline=newline)
        try:
            for number, line in enumerate(text, 1):
                if "\0" in line:
                    raise AssayError(
                        f"data file {path.name} must hold no NUL character; line {number} has one. "
                        "Remove it, or save the file as UTF-8 and run again."
                    )
                yield line
        except UnicodeError:
            raise _not_utf8(path, encoding) from None
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise _packed_wrong(path, error) from None


def _not_utf8(path: Path, encoding: str) -> AssayError:
    """The error for a file in another encoding, with the lines where that shows."""
    wrong = []
    if encoding.startswith("utf-8"):
        with _open(path) as binary:
            wrong = [number for number, line in enumerate(binary, 1) if not _is_utf8(line)]
    where = f"; {len(wrong)} lines are not, the first is line {wrong[0]}" if wrong else ""
    return AssayError(
        f"data file {path.name} must be UTF-8{where}. Save it as UTF-8 (in Excel as CSV UTF-8) and "
        "run again; for a file in the encoding of Windows: iconv -f WINDOWS-1252 -t UTF-8 "
        f"{path.name}"
    )


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def _head(path: Path) -> bytes:
    """The first bytes of a file."""
    try:
        with _open(path) as binary:
            return binary.read(_HEAD)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _packed_wrong(path, error) from None


def _packed_wrong(path: Path, error: Exception) -> AssayError:
    return AssayError(
        f"data file {path.name} cannot be unpacked: {error}. Write it again with gzip, or give it "
        "without .gz."
    )


def _open(path: Path) -> IO[bytes]:
    """The file's bytes, unpacked if its name ends in .gz."""
    if path.suffix.lower() == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    return path.open("rb")


def _encoding(head: bytes) -> str:
    """The encoding that a byte order mark names; UTF-8 without one."""
    encoding = next((encoding for mark, encoding in MARKS if head.startswith(mark)), "utf-8")
    return "utf-8-sig" if head.startswith(codecs.BOM_UTF8) else encoding
