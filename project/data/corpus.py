"""Texts of any number, to be labelled by a classifier: files, folders and hub data sets in blocks.

Only one block is in memory at a time.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from project.config.predict import HUB, PredictConfig
from project.data.arrow_tables import joined, n_other_than_text, table_of_rows
from project.data.csv_file import check_names
from project.data.hub_tables import hub_parts
from project.data.line_files import csv_form, csv_rows, json_rows
from project.support.errors import AssayError, unknown_value
from project.support.files import sha256_of

Rows = Iterator[dict[str, Any]]
_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")


class Part(NamedTuple):
    """A file, or a split of a hub data set.

    Attributes
    ----------
    name
        Its name for messages.
    sha256
        Identity of its content.
    tables
        Returns its rows as tables of at most so many rows.
    """

    name: str
    sha256: str
    tables: Callable[[int], Iterator[pa.Table]]


class Corpus(NamedTuple):
    """Checked texts.

    Attributes
    ----------
    parts
        Where they are.
    text_column
        The column with the texts.
    columns
        All columns.
    n_rows
        Rows in all.
    n_without_text
        Rows whose text is null or blank; they get no label.
    sha256
        Identity of all content.
    """

    parts: tuple[Part, ...]
    text_column: str
    columns: tuple[str, ...]
    n_rows: int
    n_without_text: int
    sha256: str

    def blocks(self, size: int) -> Iterator[pa.Table]:
        """All rows in tables of ``size`` rows; the last one may have fewer."""
        waiting: list[pa.Table] = []
        n = 0
        for table in itertools.chain.from_iterable(part.tables(size) for part in self.parts):
            waiting.append(table)
            n += table.num_rows
            while n >= size:
                whole = joined(waiting)
                yield whole.slice(0, size)
                rest = whole.slice(size)
                waiting = [rest] if rest.num_rows else []
                n = rest.num_rows
        if n:
            yield joined(waiting)


def open_corpus(config: PredictConfig, text_column: str, reserved: Sequence[str]) -> Corpus:
    """The texts that ``config.data`` names, every row checked.

    Parameters
    ----------
    config
        Names the data.
    text_column
        Column with the texts.
    reserved
        Columns that the output gets, which the data must not have.

    Raises
    ------
    AssayError
        If the data cannot be found or read, have no rows, lack the column, hold something else
        than texts in it, or have a reserved column.
    """
    parts = tuple(_parts(config))
    columns: dict[str, None] = {}
    n_rows = n_without = n_wrong = 0
    wrong = ""
    for part in parts:
        own: dict[str, None] = {}
        for table in part.tables(config.block_size):
            own |= dict.fromkeys(table.column_names)
            texts = _texts(table, text_column)
            n_other = n_other_than_text(texts)
            n_rows += len(texts)
            n_wrong += n_other
            wrong = wrong or (part.name if n_other else "")
            n_without += 0 if n_other else _n_blank(texts)
        if own and text_column not in own:
            way_out = f"Set text_column to the column with the texts in {part.name}."
            raise unknown_value("text_column", text_column, list(own), way_out)
        columns |= own
    if not n_rows:
        names = parts[0].name if len(parts) == 1 else f"each of the {len(parts)} files"
        raise AssayError(f"data must hold rows; {names} has none. Name another file.")
    if n_wrong:
        raise AssayError(
            f"text_column {text_column!r} must hold texts; {n_wrong} of {n_rows} rows hold "
            f"something else, the first in {wrong}. Name the column with the texts, or write "
            "them as texts."
        )
    if taken := [name for name in columns if name in set(reserved)]:
        raise AssayError(
            f"data must have no column of the output; it has {', '.join(taken)}. Rename them, or "
            "set prefix, which goes before the names of the output's columns, as in "
            "prefix=predicted_."
        )
    content = "".join(part.sha256 for part in parts)
    return Corpus(
        parts=parts,
        text_column=text_column,
        columns=tuple(columns),
        n_rows=n_rows,
        n_without_text=n_without,
        sha256=hashlib.sha256(content.encode()).hexdigest(),
    )


def file_tables(path: Path, size: int) -> Iterator[pa.Table]:
    """The rows of one file in tables of at most ``size`` rows."""
    return _reader(path)(size)


def text_list(table: pa.Table, column: str) -> list[str | None]:
    """The texts of a table's rows; None for a null or blank one."""
    values = _texts(table, column)
    texts: list[str | None] = values.cast(pa.large_string()).to_pylist()
    return [text if text and not text.isspace() else None for text in texts]


def _parts(config: PredictConfig) -> Iterator[Part]:
    """The files or splits of ``config.data``."""
    if config.data.startswith(HUB):
        name = config.data.removeprefix(HUB)
        for split, identity, tables in hub_parts(
            name, config.hub_config, config.hub_split, config.hub_revision
        ):
            yield Part(f"{name} {split}", identity, tables)
        return
    path = Path(config.data).expanduser()
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if _ending(file) in _ENDINGS)
        files = [file for file in files if not _is_hidden(file.relative_to(path))]
        if not files:
            raise AssayError(
                f"data folder {path} must hold files that end in {', '.join(_ENDINGS)}, or in one "
                "of these and .gz; it has none. Name another folder."
            )
    elif path.is_file():
        files = [path]
    else:
        raise AssayError(
            f"data {config.data} does not exist. Give a path from the project's folder, an "
            "absolute one, or hub:OWNER/NAME."
        )
    output = Path(config.output).expanduser().resolve() if config.output else None
    for file in files:
        if file.resolve() != output:
            yield Part(file.name, sha256_of(file), _reader(file))


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) or part.endswith(".parts") for part in path.parts)


def _ending(path: Path) -> str:
    """The ending that tells the format, without ``.gz``."""
    name = path.name.lower().removesuffix(".gz")
    return Path(name).suffix


def _reader(path: Path) -> Callable[[int], Iterator[pa.Table]]:
    """Returns the tables of a file by their number of rows."""
    ending = _ending(path)
    if ending == ".parquet":
        return lambda size: _parquet_tables(path, size)
    if ending in (".jsonl", ".ndjson"):
        return lambda size: _tables(json_rows(path), size)
    if ending in (".csv", ".tsv"):
        form = csv_form(path)
        return lambda size: _tables(csv_rows(path, form), size)
    raise AssayError(
        "data file must end in .csv, .tsv, .jsonl or .parquet, or in one of these and .gz; got "
        f"{path.name!r}. Save a spreadsheet as CSV UTF-8, and rename a table in a .txt file."
    )


def _tables(rows: Iterator[Any], size: int) -> Iterator[pa.Table]:
    """The rows in tables."""
    while together := list(itertools.islice(rows, size)):
        yield table_of_rows(together)


def _parquet_tables(path: Path, size: int) -> Iterator[pa.Table]:
    """The rows of a Parquet file in tables."""
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            check_names(path, file.schema_arrow.names)
            for batch in file.iter_batches(batch_size=size):
                yield pa.Table.from_batches([batch]).replace_schema_metadata()
    except (pa.ArrowException, OSError) as error:
        raise AssayError(
            f"data file {path.name} cannot be read: {' '.join(str(error).split())[:200]}. Write it "
            "again, or name another file."
        ) from None


def _texts(table: pa.Table, name: str) -> pa.ChunkedArray:
    """The column with texts; nulls where no row of the table has it."""
    if name not in table.column_names:
        return pa.chunked_array([pa.nulls(table.num_rows, pa.large_string())])
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    return column


def _n_blank(texts: pa.ChunkedArray) -> int:
    """How many texts are null or blank."""
    stripped = pc.utf8_trim_whitespace(texts.cast(pa.large_string()))
    blank = pc.sum(pc.equal(stripped, "").cast(pa.int64())).as_py() or 0
    return int(texts.null_count + blank)
