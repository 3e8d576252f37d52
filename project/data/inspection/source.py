"""A file as a table, whichever way it is written, and the copy that all other commands can read."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from project.config.fields import AUTO
from project.data.csv_file import find_separator, without_excel_hint
from project.data.inspection.column_names import LABELS, PEOPLE, is_model, words_of
from project.data.inspection.decoding import Decoded, decoded
from project.data.raw_data import read_file
from project.support.errors import AssayError

_SEPARATOR_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_SPREADSHEETS = (".xlsx", ".xls", ".xlsm", ".ods", ".numbers")
_MIN_WORDS_OF_A_TEXT = 6
"""Words of a column's name from which it looks like a text."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """A file that was read.

    Attributes
    ----------
    path
        The file.
    table
        Its rows; fields inside of others have a name with dots, as in ``author.id``.
    form
        How it is written, in a few words.
    header
        Names for the columns of a CSV file without a header; empty where it has one.
    nested
        The columns that are fields inside of others; other commands read them from a copy only.
    changes
        What a copy must change so that other commands can read it, in a few words each.
    content
        The copy in bytes where the text alone must be written in another way.
    notes
        Sentences about the encoding that the user should check.
    """

    path: Path
    table: pd.DataFrame
    form: str
    header: tuple[str, ...] = ()
    nested: frozenset[str] = frozenset()
    changes: tuple[str, ...] = ()
    content: bytes | None = None
    notes: tuple[str, ...] = ()

    @property
    def ending(self) -> str:
        """The ending of a copy."""
        own = _ending(self.path)
        return own if own in (".csv", ".tsv") else ".jsonl"


def open_source(path: Path, encoding: str = AUTO) -> Source:
    """The table in a file, and how it is written.

    Raises
    ------
    AssayError
        If the file does not exist or cannot be read as a table.
    """
    if path.is_dir():
        raise AssayError(f"data must be one file; {path} is a folder. Name a file in it.")
    if not path.is_file():
        raise AssayError(
            f"data file {path} does not exist. Give a path from the folder in which you are, or "
            "an absolute one."
        )
    ending = _ending(path)
    if ending in _SPREADSHEETS:
        raise AssayError(
            f"data file {path.name} is a spreadsheet. Save the sheet with the texts as CSV UTF-8 "
            "and name that file."
        )
    if ending == ".parquet":
        return _of_table(Source(path=path, table=read_file(path), form="Parquet"))
    if ending not in (".csv", ".tsv", ".json", ".jsonl", ".ndjson"):
        raise AssayError(
            "data file must end in .csv, .tsv, .jsonl, .json or .parquet, or in one of these and "
            f".gz; got {path.name!r}. Save a spreadsheet as CSV UTF-8, and rename a table in a "
            ".txt file."
        )
    text = decoded(path, encoding)
    if ending in (".csv", ".tsv"):
        return _csv_source(path, text)
    return _json_source(path, text, ending)


def _ending(path: Path) -> str:
    """The ending that tells the format, without ``.gz``."""
    return Path(path.name.lower().removesuffix(".gz")).suffix


def _csv_source(path: Path, text: Decoded) -> Source:
    data, hint = without_excel_hint(text.content)
    separator = hint or find_separator(data, None)
    table = _read(path, text)
    header: tuple[str, ...] = ()
    if _looks_like_data(list(table.columns), table):
        header = tuple(f"column_{number + 1}" for number in range(table.shape[1]))
        table = _read(path, text, list(header))
    shown = _SEPARATOR_NAMES.get(separator, repr(separator))
    form = f"CSV with {shown}" if table.shape[1] > 1 else "CSV with one column"
    return Source(
        path=path,
        table=table,
        form=f"{form}, {text.encoding}",
        header=header,
        changes=text.changes,
        content=text.content if text.changes else None,
        notes=text.notes,
    )


def _looks_like_data(names: Sequence[str], table: pd.DataFrame) -> bool:
    """Whether the first row is a row like the others: a name is a sentence, or all are values."""
    if any(len(name.split()) >= _MIN_WORDS_OF_A_TEXT for name in names):
        return True
    is_number = [name.replace(".", "").replace(",", "").isdecimal() for name in names]
    return len(names) > 1 and any(is_number) and not all(is_number) and _repeats(names, table)


def _repeats(names: Sequence[str], table: pd.DataFrame) -> bool:
    """Whether a name stands among the values of its own column."""
    return any((table[name] == name).any() for name in names)


def _json_source(path: Path, text: Decoded, ending: str) -> Source:
    changes = text.changes
    content = text.content
    form = "JSON lines"
    if ending == ".json":
        content, is_wrapped = _json_lines(path, content)
        form = "JSON, a list inside an object" if is_wrapped else "JSON"
        changes = ("one JSON object in a line", *changes)
    table = _read(path.with_name(f"{path.name.removesuffix('.gz')}.jsonl"), Decoded(content))
    source = Source(
        path=path,
        table=table,
        form=f"{form}, {text.encoding}",
        changes=changes,
        content=content if changes else None,
        notes=text.notes,
    )
    return _of_table(source)


def _json_lines(path: Path, content: bytes) -> tuple[bytes, bool]:
    """The objects in a JSON document, one in a line, and whether an object holds their list.

    Raises AssayError for a document that holds no list of objects.
    """
    try:
        document = json.loads(content)
    except ValueError:
        return content, False  # perhaps objects in lines: the reader says what is wrong otherwise
    if isinstance(document, dict):
        lists = [value for value in document.values() if _is_list_of_objects(value)]
        if len(lists) != 1:
            raise AssayError(
                f"data file {path.name} must hold a list of objects; it holds one object with the "
                f"keys {', '.join(list(document)[:8])}. Write the rows as JSON lines."
            )
        return _as_lines(lists[0]), True
    return (_as_lines(document) if _is_list_of_objects(document) else content), False


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)


def _as_lines(rows: Sequence[dict[str, Any]]) -> bytes:
    """The objects as JSON lines."""
    lines = [json.dumps(row, ensure_ascii=False, default=str) for row in rows]
    return ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass")


def _read(path: Path, text: Decoded, header: list[str] | None = None) -> pd.DataFrame:
    """The table in a text, read as if it stood in a file of this name."""
    with tempfile.TemporaryDirectory() as folder:
        name = path.name[: -len(".gz")] if path.name.lower().endswith(".gz") else path.name
        copy = Path(folder) / name
        copy.write_bytes(text.content)
        return read_file(copy, header)


def _of_table(source: Source) -> Source:
    """The source with the fields inside of others as columns of their own."""
    table = source.table
    nested = [name for name in table.columns if _holds_objects(table[name])]
    if not nested:
        return source
    parts: dict[str, pd.Series] = {}
    inner: set[str] = set()
    for name in table.columns:
        if name not in nested:
            parts[name] = table[name]
            continue
        fields = pd.DataFrame([_fields(cell) for cell in table[name]], index=table.index)
        for field in fields.columns:
            own = f"{name}.{field}"
            if own not in table.columns:
                parts[own] = fields[field]
                inner.add(own)
    return dataclasses.replace(source, table=pd.DataFrame(parts), nested=frozenset(inner))


def _holds_objects(column: pd.Series) -> bool:
    """Whether some cell is an object with fields, and none is anything else.

    An object with a share for each label in a column of labels is one cell.
    """
    if column.dtype != object:
        return False
    known = column[column.notna()]
    if not len(known) or not known.map(lambda cell: isinstance(cell, dict)).all():
        return False
    of_labels = set(words_of(str(column.name))) & (LABELS | PEOPLE) or is_model(str(column.name))
    return not (of_labels and known.map(_holds_shares).all())


def _holds_shares(cell: dict[str, Any]) -> bool:
    """Whether all values are true, false, null or numbers from 0 to 1."""
    return all(
        value is None or (isinstance(value, bool | int | float) and 0 <= value <= 1)
        for value in cell.values()
    )


def _fields(cell: Any, prefix: str = "") -> dict[str, Any]:
    """The fields of an object; a field inside a field has a name with a dot."""
    if not isinstance(cell, dict):
        return {}
    fields: dict[str, Any] = {}
    for name, value in cell.items():
        if isinstance(value, dict):
            fields |= _fields(value, f"{prefix}{name}.")
        else:
            fields[f"{prefix}{name}"] = value
    return fields


def table_bytes(table: pd.DataFrame, ending: str) -> bytes:
    """A table as the content of a .csv, .tsv or .jsonl file; a null is an empty cell or null."""
    rows = table.astype(object).where(table.notna(), None)
    if ending == ".jsonl":
        return _as_lines([{str(key): value for key, value in row.items()} for row in _dicts(rows)])
    file = io.StringIO(newline="")
    separator = "\t" if ending == ".tsv" else ","
    writer = csv.writer(file, delimiter=separator, lineterminator="\n", quoting=csv.QUOTE_ALL)
    writer.writerow(list(rows.columns))
    writer.writerows(
        ["" if cell is None else cell for cell in row] for row in rows.itertuples(index=False)
    )
    return file.getvalue().encode("utf-8", "surrogatepass")


def _dicts(rows: pd.DataFrame) -> list[dict[Any, Any]]:
    return [{name: _plain(value) for name, value in row.items()} for row in rows.to_dict("records")]


def _plain(value: Any) -> Any:
    """A value of NumPy as Python's."""
    return value.tolist() if hasattr(value, "tolist") else value
