"""A task card and its data -> the examples table: ids, texts, gold labels, splits."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from project.config.experiment import TaskConfig
from project.data.card import Card, as_label, load_card
from project.data.split import assign_splits
from project.data.tables import GOLD_PROBABILITY, check, with_class_columns
from project.stats.types import Floats
from project.support.errors import AssayError, unknown_value
from project.support.parquet import content_hash


@dataclass(frozen=True)
class Task:
    """Examples with splits and what is needed to label them.

    ``data_hash``: SHA-256 of all usable rows that were read; ``content_hash``: of the examples with their splits, without the shares of human
    votes: a card that gains them names the same examples, and a study of them goes on. ``counts``: rows read,
    dropped, of each split, training examples without a gold label. ``columns``: of text, label and id in the data, "" for none; ``values``: what
    the data write for a label. ``notes``: what a person should know of the data.
    """

    name: str
    title: str
    label_set: tuple[str, ...]
    description: str
    examples: pd.DataFrame
    defaults: Mapping[str, Any]
    source: str
    data_hash: str
    content_hash: str
    notes: tuple[str, ...]
    counts: Mapping[str, int]
    columns: Mapping[str, str]
    values: Mapping[str, str]
    licence: str
    citation: str

    def split(self, name: str) -> pd.DataFrame:
        """The rows of one split, index 0..n-1."""
        return self.examples[self.examples["split"] == name].reset_index(drop=True)


def load_task(config: TaskConfig) -> Task:
    """Read the card and its data, check every row, split.

    Raises AssayError for anything a person must settle: a missing column, an unknown or null label, an empty text,
    one class only, duplicate ids, too few examples, a file that is not UTF-8.
    """
    card = load_card(config.task)
    table, source = _read(card, config)
    table = _where(table, config.where)
    columns = _column_names(table, card, config)
    rows, counts = _rows(table, card, columns, config)
    sizes = {**card.sizes, **{k: v for k, v in _sizes(config).items() if v is not None}}
    splits, dropped = assign_splits(rows, card.labels, sizes, config.split_seed)
    examples = rows.assign(split=splits)
    counts["straddling_dropped"] = dropped
    data_hash = content_hash(rows.drop(columns="given").sort_values("example_id"))
    examples = (
        examples[examples["split"] != ""]
        .drop(columns="given")
        .sort_values("example_id", ignore_index=True)
    )
    for split, n in examples["split"].value_counts().items():
        counts[str(split)] = int(n)
    if config.unlabelled:
        counts["unlabelled"] = int(examples["gold_label"].isna().sum())
    check("examples", examples, card.labels)
    return Task(
        card.name,
        card.title,
        card.labels,
        card.description,
        examples,
        card.defaults,
        source,
        data_hash,
        content_hash(
            examples.drop(
                columns=[GOLD_PROBABILITY + label for label in card.labels], errors="ignore"
            )
        ),
        _absent(examples, card.labels) + _votes_missing(examples, card),
        counts,
        columns,
        card.values,
        card.licence,
        card.citation,
    )


def _absent(examples: pd.DataFrame, label_set: tuple[str, ...]) -> tuple[str, ...]:
    """A note for every class without an example in train or test."""
    return tuple(
        f"class {label!r} has no {split} example; macro-F1 runs over the whole label set and counts it all the same."
        for split in (("train", "test") if examples["gold_label"].notna().all() else ("test",))
        for label in label_set
        if not ((examples["split"] == split) & (examples["gold_label"] == label)).any()
    )


def _votes_missing(examples: pd.DataFrame, card: Card) -> tuple[str, ...]:
    """A note where the card promises human votes and the data have none, or not for every example."""
    if not card.gold_probabilities:
        return ()
    first = GOLD_PROBABILITY + card.labels[0]
    if first not in examples:
        return (
            f"the data have none of the columns {', '.join(card.gold_probabilities.values())}: how human votes are distributed is left out.",
        )
    nobody = int(examples[first].isna().sum())
    return (
        (f"{nobody} of {len(examples)} examples have no human votes; their distribution is null.",)
        if nobody
        else ()
    )


def _sizes(config: TaskConfig) -> dict[str, int | None]:
    return {"train": config.max_train, "validation": config.max_validation, "test": config.max_test}


def _read(card: Card, config: TaskConfig) -> tuple[pd.DataFrame, str]:
    """The raw table and a word on where it came from."""
    if config.data:
        path = Path(config.data).expanduser()
        # the file that the card describes may lack a header; any other file must bring its own
        return read_file(
            path, card.source.get("header") if path.name == card.source.get("file") else None
        ), f"file {path.name}"
    if "hub" in card.source:
        return _read_hub(card)
    if "download" in card.source:
        raise AssayError(
            f"task {card.name} cannot be fetched automatically: download {card.source.get('file', 'its file')} from "
            f"{card.source['download']} and run again with -P data=PATH."
        )
    path = (card.path.parent / str(card.source["file"])).resolve()
    if not path.is_relative_to(card.path.parent.resolve()):
        raise AssayError(
            f"task card {card.path.name}: source.file must lie beside the card, or in a folder there; {card.source['file']!r} leads elsewhere. "
            "If that is the file you want, say so with -P data=FILE."
        )
    return read_file(path, card.source.get("header")), f"file {path.name}"


def read_file(path: Path, header: list[str] | None = None) -> pd.DataFrame:
    """A .csv, .jsonl or .parquet file as it stands; only truly empty CSV cells are null, ``header`` names a CSV's columns."""
    if not path.is_file():
        raise AssayError(
            f"data file {path} does not exist. Give a path from the project's folder, or an absolute one."
        )
    try:
        if path.suffix == ".csv":
            return pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                na_values=[""],
                names=header,
                header=None if header else 0,
            )
        if path.suffix in (".jsonl", ".ndjson"):
            return pd.read_json(path, lines=True, dtype=False)
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
    except UnicodeDecodeError:
        raise AssayError(
            f"data file {path.name} must be UTF-8; byte {_first_bad_byte(path)} is not. Save it as UTF-8 and run again."
        ) from None
    except (ValueError, OSError) as error:
        raise AssayError(
            f"data file {path.name} cannot be read: {' '.join(str(error).split())}"
        ) from None
    raise AssayError(f"data file must end in .csv, .jsonl or .parquet; got {path.name!r}.")


def _first_bad_byte(path: Path) -> int:
    """Offset of the first byte that is not UTF-8; the reader's own error counts from the start of a cell."""
    try:
        path.read_bytes().decode()
    except UnicodeDecodeError as error:
        return error.start
    return -1


def _read_hub(card: Card) -> tuple[pd.DataFrame, str]:
    """Every wanted split of a hub data set in one table with a ``split`` column."""
    import datasets
    import huggingface_hub

    hub, revision = str(card.source["hub"]), str(card.source.get("revision", "main"))
    if Path(hub).exists():  # which would be read in its place
        raise AssayError(
            f"data set {hub} of the hub cannot be told from the folder {Path(hub).resolve()}. Run elsewhere, or give -P data=FILE."
        )
    wanted = card.source.get("splits")
    try:
        if (
            not huggingface_hub.constants.HF_HUB_OFFLINE
        ):  # asked first because it fails at once where there is no network
            revision = (
                huggingface_hub.HfApi().dataset_info(hub, revision=revision, timeout=10).sha
                or revision
            )
        loaded = datasets.load_dataset(hub, card.source.get("config"), revision=revision)
    except (
        Exception
    ) as error:  # the hub's client raises a dozen unrelated types when it cannot be reached
        raise AssayError(
            f"data set {hub} could not be read from the hub ({type(error).__name__}). Run where the hub can be reached, set "
            "HF_HUB_OFFLINE=1 to use a copy fetched before, or give a file with -P data=PATH."
        ) from error
    parts = [
        part.to_pandas().assign(split=(wanted or {}).get(name, "train"))
        for name, part in loaded.items()
        if not wanted or name in wanted
    ]
    return pd.concat(parts, ignore_index=True), f"hub {hub}@{revision}"


def _where(table: pd.DataFrame, where: str) -> pd.DataFrame:
    if not where:
        return table
    column, equals, value = where.partition("=")
    if not equals or column not in table.columns:
        raise unknown_value(
            "where's column", column, map(str, table.columns), "Write -P where=COLUMN=VALUE."
        )
    kept = table[table[column].astype(str) == value]
    if kept.empty:
        raise AssayError(
            f"where: no row has {column} = {value!r}; values there: {', '.join(sorted(map(str, table[column].unique()))[:5])}, ..."
        )
    return kept.reset_index(drop=True)


def _column_names(table: pd.DataFrame, card: Card, config: TaskConfig) -> dict[str, str]:
    """The columns of text, label and id, "" where there is none."""
    columns = {
        "text": config.text_column or card.columns["text"],
        "label": config.label_column or card.columns["label"],
        "id": config.id_column
        or (
            ""
            if config.data and card.columns.get("id") not in table.columns
            else card.columns.get("id", "")
        ),
    }
    for role, column in columns.items():
        if column and column not in table.columns:
            raise unknown_value(
                f"{role}_column",
                column,
                map(str, table.columns),
                f"Name the column with -P {role}_column=...",
            )
    return columns


def _rows(
    table: pd.DataFrame, card: Card, columns: Mapping[str, str], config: TaskConfig
) -> tuple[pd.DataFrame, dict[str, int]]:
    """Columns ``example_id, text, gold_label, given`` of the rows that can be used, some without gold label if need be, and what was dropped.

    One more column for each label where the data hold human votes.
    """
    text = table[columns["text"]]
    given_label = table[columns["label"]].astype(object)
    if config.unlabelled:  # files without nulls leave the cell blank
        given_label = given_label.where(given_label.astype(str).str.strip() != "", None)
    label = given_label.map(lambda value: _label(value, card), na_action="ignore")
    empty = text.isna() | (text.astype(str).str.strip() == "")
    null = label.isna() & (not config.unlabelled)
    counts = {
        "read": len(table),
        "empty_text_dropped": int(empty.sum()),
        "null_label_dropped": int((null & ~empty).sum()),
    }
    if config.bad_rows == "error" and (empty | null).any():
        first = int((empty | null).to_numpy().argmax())
        raise AssayError(
            f"{int(empty.sum())} rows have an empty text and {int(null.sum())} a null label, the first in row {first + 1}. "
            "Mend them, or leave them out with -P bad_rows=drop. Texts that nobody has labelled yet are trained on with -P unlabelled=true."
        )
    keep = ~(empty | null)
    given = _given_splits(table, card)
    rows = pd.DataFrame(
        {"text": text[keep].astype(str), "gold_label": label[keep], "given": given[keep]}
    )
    if rows["gold_label"].nunique() < 2:
        found = ", ".join(map(repr, rows["gold_label"].dropna().unique())) or "none"
        raise AssayError(
            f"{columns['label']} must hold at least two classes; found {found} in {len(rows)} rows."
        )
    rows.insert(
        0,
        "example_id",
        _ids(table.loc[keep, columns["id"]] if columns["id"] else None, rows["text"]),
    )
    rows = rows.reset_index(drop=True)
    voted = _vote_columns(table, card, config)
    return with_class_columns(
        rows, _shares(table[voted], keep.to_numpy()), card.labels, GOLD_PROBABILITY
    ) if voted else rows, counts


def _vote_columns(table: pd.DataFrame, card: Card, config: TaskConfig) -> list[str]:
    """The columns of the human votes in the order of the labels; none where the card names none or a file given with ``data`` has none of them."""
    columns = (
        [card.gold_probabilities[label] for label in card.labels] if card.gold_probabilities else []
    )
    missing = [column for column in columns if column not in table.columns]
    if missing and not (config.data and len(missing) == len(columns)):
        raise unknown_value(
            "gold_probabilities",
            missing[0],
            map(str, table.columns),
            "Name the columns of all labels in the task card, or leave the key out.",
        )
    return [] if missing else columns


def _shares(votes: pd.DataFrame, keep: np.ndarray) -> Floats:
    """The votes of the rows to ``keep`` (mask) divided by their sum, ``(n_kept, n_classes)``; a null vote is none, a row without any is null."""
    numbers = np.empty((int(keep.sum()), votes.shape[1]))
    for place, name in enumerate(votes.columns):
        given = votes[name].astype(object)
        given = given.where(
            given.notna() & (given.astype(str).str.strip() != ""), None
        )  # files without nulls leave the cell blank
        read = pd.to_numeric(given, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
        wrong = keep & given.notna().to_numpy() & ~((read >= 0) & (read < np.inf))
        if wrong.any():
            first = int(wrong.argmax())
            raise AssayError(
                f"column {name!r} must hold votes, numbers from 0 up; row {first + 1} has {given.iloc[first]!r}. "
                "Mend the data, or leave 'gold_probabilities' out of the task card."
            )
        numbers[:, place] = np.nan_to_num(read[keep])
    total = numbers.sum(axis=1, keepdims=True)
    return np.divide(numbers, total, out=np.full_like(numbers, np.nan), where=total > 0)


def _given_splits(table: pd.DataFrame, card: Card) -> pd.Series:
    """The split that the data name for every row, "" where they name none; a column ``split`` counts where the card names no other."""
    column = card.columns.get("split", "split")
    if column not in table.columns:
        if "split" in card.columns:
            raise unknown_value(
                "columns.split",
                column,
                map(str, table.columns),
                "Name the column in the task card.",
            )
        return pd.Series("", index=table.index)
    names = {
        "": "",
        "train": "train",
        "training": "train",
        "validation": "validation",
        "valid": "validation",
        "dev": "validation",
        "test": "test",
    }
    given = (
        table[column]
        .astype(object)
        .where(table[column].notna(), "")
        .map(lambda value: str(value).strip().casefold())
    )
    unknown = sorted(set(given) - names.keys())
    if unknown:
        raise AssayError(
            f"column {column!r} must name the splits train, validation and test; it holds {unknown[0]!r}. Rename the column or its values."
        )
    return given.map(names)


def _label(value: Any, card: Card) -> str:
    label = as_label(value, card.labels, card.values)
    if label is None:
        raise unknown_value(
            "label in the data",
            str(value).strip(),
            card.labels,
            "Map it to a label under 'values' in a task card of your own.",
        )
    return label


def _ids(given: pd.Series | None, text: pd.Series) -> list[str]:
    """Given ids, which must be unique; else a hash of the text, with a running number where a text comes again."""
    if given is not None:
        ids = given.astype(str)
        if given.isna().any() or ids.duplicated().any():
            twice = "a null" if given.isna().any() else repr(ids[ids.duplicated()].iloc[0])
            raise AssayError(
                f"id_column {given.name!r} must be unique; it holds {twice} more than once or nothing. Use another column, or none."
            )
        return list(ids)
    ids = text.map(
        lambda value: hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    )
    again = ids.groupby(ids).cumcount()
    return [f"{one}-{n}" if n else one for one, n in zip(ids, again, strict=True)]
