"""The raw table of a task, from a file or from the hub."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from project.config.task import TaskConfig
from project.data.card import Card
from project.data.csv_file import check_names, read_csv
from project.data.hub_tables import load_hub
from project.data.json_file import read_json_lines
from project.data.where import matching_rows
from project.support.errors import AssayError

_MAX_VALUES_SHOWN = 5  # of a column, in an error


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
    of a CSV file without a header. Names of columns are texts in every format.
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
            return read_csv(path, header)
        if ending in (".jsonl", ".ndjson"):
            table = read_json_lines(path)
        elif ending == ".parquet":
            table = _read_parquet(path)
        else:
            raise AssayError(
                "data file must end in .csv, .tsv, .jsonl or .parquet, or in one of these and "
                f".gz; got {path.name!r}. Save a spreadsheet as CSV UTF-8, and rename a table in "
                "a .txt file."
            )
    except AssayError:
        raise
    except (ValueError, OSError, pa.ArrowException) as error:
        reason = " ".join(str(error).split())
        raise AssayError(
            f"data file {path.name} cannot be read: {reason}. Write it again, or name another file."
        ) from None
    # Other formats than CSV may have numbers as names.
    table.columns = [str(name) for name in table.columns]
    check_names(path, list(table.columns))
    return table


def _read_parquet(path: Path) -> pd.DataFrame:
    """The table in a Parquet file; a named index becomes a column, categories their values."""
    check_names(path, pq.read_schema(path).names)
    table = pd.read_parquet(path)
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    for name, column in table.items():
        if isinstance(column.dtype, pd.CategoricalDtype):
            kind = column.cat.categories.dtype
            values = column.astype(object)
            is_text = pd.api.types.is_string_dtype(kind)
            table[name] = values.astype("str") if is_text and len(column.cat.categories) else values
    return table


def _read_hub(card: Card) -> tuple[pd.DataFrame, str]:
    """Every split of a hub data set that the card names, in one table with a column ``split``."""
    hub = card.source.hub
    loaded, commit = load_hub(hub, card.source.config, card.source.revision or "main")
    splits = card.source.splits
    parts = [
        part.to_pandas().assign(split=splits.get(name, "train"))
        for name, part in loaded.items()
        if not splits or name in splits
    ]
    return pd.concat(parts, ignore_index=True), f"hub {hub}@{commit}"
