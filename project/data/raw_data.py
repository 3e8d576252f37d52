"""The raw table of a task, from a file or from the hub."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import warnings
from pathlib import Path
from typing import TextIO

import pandas as pd

from project.config.task import TaskConfig
from project.data.card import Card
from project.data.where import matching_rows
from project.support.errors import AssayError


def read_raw(card: Card, config: TaskConfig) -> tuple[pd.DataFrame, str]:
    """The table of a task with the rows that ``config.where`` keeps, and where it came from.

    The source is written ``file NAME`` or ``hub NAME@COMMIT``. Raises AssayError for data that
    cannot be found or read.
    """
    table, source = _read(card, config)
    return matching_rows(table, config.where), source


def data_file(card: Card, config: TaskConfig) -> Path | None:
    """The file that a task is read from, as an absolute path; None for data of the hub."""
    if config.data:
        return Path(config.data).expanduser().resolve()
    if card.source.hub or not card.source.file:
        return None
    return (card.path.parent / card.source.file).resolve()


def _read(card: Card, config: TaskConfig) -> tuple[pd.DataFrame, str]:
    """All rows of a task's table, and where it came from."""
    header = list(card.source.header) or None
    if config.data:
        path = Path(config.data).expanduser()
        # The file that the card describes may lack a header; any other file must have its own.
        if path.name != card.source.file:
            header = None
        return read_file(path, header), f"file {path.name}"
    if card.source.hub:
        return _read_hub(card)
    if card.source.download:
        raise AssayError(
            f"task {card.name} cannot be fetched automatically: download "
            f"{card.source.file or 'its file'} from {card.source.download} and give data=PATH."
        )
    path = (card.path.parent / card.source.file).resolve()
    # A card from another person must not make this machine read, and log, any of its files.
    if not path.is_relative_to(card.path.parent.resolve()):
        raise AssayError(
            f"task card {card.path.name}: source.file must lie beside the card, or in a folder "
            f"there; {card.source.file!r} leads elsewhere. To read that file, give data=FILE."
        )
    return read_file(path, header), f"file {path.name}"


def read_file(path: Path, header: list[str] | None = None) -> pd.DataFrame:
    """The table in a .csv, .tsv, .jsonl or .parquet file, unchanged; also with .gz behind.

    In a CSV file all values are texts and only empty cells are null. ``header`` names the columns
    of a CSV file without a header.
    """
    if not path.is_file():
        raise AssayError(
            f"data file {path} does not exist. Give a path from the project's folder, or an "
            "absolute one."
        )
    endings = [ending.lower() for ending in path.suffixes[-2:]]
    ending = endings[0] if endings[1:] == [".gz"] else "".join(endings[-1:])
    try:
        if ending in (".csv", ".tsv"):
            return _read_csv(path, ending, header)
        if ending in (".jsonl", ".ndjson"):
            return _read_json_lines(path)
        if ending == ".parquet":
            return pd.read_parquet(path)
    except UnicodeDecodeError:
        raise AssayError(
            f"data file {path.name} must be UTF-8; byte {_first_bad_byte(path)} is not. Save it "
            "as UTF-8 and run again."
        ) from None
    except AssayError:
        raise
    except (ValueError, OSError, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split())
        raise AssayError(f"data file {path.name} cannot be read: {reason}") from None
    raise AssayError(f"data file must end in .csv, .tsv, .jsonl or .parquet; got {path.name!r}.")


def _open(path: Path) -> TextIO:
    """The file as text, unpacked if it ends in .gz; a byte order mark is left out."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _read_csv(path: Path, ending: str, header: list[str] | None) -> pd.DataFrame:
    """The table in a CSV file; AssayError where rows have more fields than the header."""
    separator = "\t" if ending == ".tsv" else _separator(path)
    with _open(path) as file, warnings.catch_warnings():
        # pandas warns where it would leave out fields.
        warnings.simplefilter("error", pd.errors.ParserWarning)
        try:
            # All as text: pandas would turn the text "NA" into null and the id "007" into 7. With
            # an index, a row with one field too many would lose its first field.
            return pd.read_csv(
                file,
                sep=separator,
                dtype=str,
                keep_default_na=False,
                na_values=[""],
                names=header,
                header=0 if header is None else None,
                index_col=False,
            )
        except pd.errors.ParserWarning as warning:
            found = _too_many_fields(path, separator, header)
            raise AssayError(f"data file {path.name}: {found or warning}") from None


def _too_many_fields(path: Path, separator: str, header: list[str] | None) -> str:
    """The first row with more fields than the header, and the way out; "" if none is found."""
    # A cell that is too long for the csv module only costs the number of the row.
    with _open(path) as file, contextlib.suppress(csv.Error):
        rows = csv.reader(file, delimiter=separator)
        n_columns = len(header or next(rows))
        for number, row in enumerate(rows, 1):
            if len(row) > n_columns:
                return (
                    f"row {number} has {len(row)} fields, and the header {n_columns}. A text may "
                    f"hold the separator {separator!r} without quotes. Quote such texts and run "
                    "again."
                )
    return ""


def _read_json_lines(path: Path) -> pd.DataFrame:
    """The table in a file of JSON lines, or of one JSON array."""
    with _open(path) as file:
        text = file.read()
    is_array = text.lstrip().startswith("[")
    return pd.read_json(io.StringIO(text), lines=not is_array, dtype=False)


def _separator(path: Path) -> str:
    """The separator of a CSV file: a comma, unless its first line has none but ; or a tab.

    Spreadsheets write ; where the comma is the decimal mark.
    """
    with _open(path) as file:
        first = file.readline()
    if "," in first:
        return ","
    return next((mark for mark in (";", "\t") if mark in first), ",")


def _first_bad_byte(path: Path) -> int:
    """Offset of the first byte that is not UTF-8; pandas counts it from the start of a cell."""
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError as error:
        return error.start
    return -1


def _read_hub(card: Card) -> tuple[pd.DataFrame, str]:
    """Every split of a hub data set that the card names, in one table with a column ``split``."""
    import datasets
    import huggingface_hub.constants

    hub = card.source.hub
    revision = card.source.revision or "main"
    if Path(hub).exists():  # datasets would read the folder instead
        raise AssayError(
            f"data set {hub} of the hub has the name of the folder {Path(hub).resolve()}, which "
            "would be read in its place. Run in another folder, or give data=FILE."
        )
    try:
        if not huggingface_hub.constants.HF_HUB_OFFLINE:
            # Without a network this fails at once; load_dataset would retry for minutes.
            info = huggingface_hub.HfApi().dataset_info(hub, revision=revision, timeout=10)
            revision = info.sha or revision
        loaded = datasets.load_dataset(hub, card.source.config or None, revision=revision)
    except Exception as error:  # the hub's client raises a dozen unrelated types when unreachable
        raise AssayError(
            f"data set {hub} could not be read from the hub ({type(error).__name__}). Run where "
            "the hub can be reached, set HF_HUB_OFFLINE=1 to use a copy fetched before, or give "
            "a file with data=PATH."
        ) from error
    splits = card.source.splits
    parts = [
        part.to_pandas().assign(split=splits.get(name, "train"))
        for name, part in loaded.items()
        if not splits or name in splits
    ]
    return pd.concat(parts, ignore_index=True), f"hub {hub}@{revision}"
